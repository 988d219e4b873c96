"""ALEXNET_REQUIRE_GPU: a forgotten --gpus is one line, wherever something computes."""

import pytest
import tensorflow as tf

from alexnet_common.errors import UserError
from alexnet_tf import recipes
from alexnet_tf.devices import distribution, required
from alexnet_tf.inference import network
from alexnet_tf.serving import loaded


def without_gpus(monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])


def with_one(monkeypatch):
    gpu = tf.config.PhysicalDevice("/physical_device:GPU:0", "GPU")
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [gpu])


@pytest.mark.parametrize("value", [None, "", "0"])
def test_off_nothing_is_asked(monkeypatch, value):
    without_gpus(monkeypatch)
    required.check({} if value is None else {"ALEXNET_REQUIRE_GPU": value})


def test_on_a_gpu_will_do(monkeypatch):
    with_one(monkeypatch)
    required.check({"ALEXNET_REQUIRE_GPU": "1"})


def test_on_without_a_gpu_one_line_says_what_to_do(monkeypatch):
    without_gpus(monkeypatch)
    with pytest.raises(UserError) as caught:
        required.check({"ALEXNET_REQUIRE_GPU": "1"})
    line = str(caught.value)
    assert "--gpus all" in line and "ALEXNET_REQUIRE_GPU=0" in line and "\n" not in line


def test_another_value_is_refused(monkeypatch):
    with_one(monkeypatch)
    with pytest.raises(UserError, match="must be 0 or 1, not 'yes'"):
        required.check({"ALEXNET_REQUIRE_GPU": "yes"})


@pytest.mark.parametrize(
    "compute",
    [
        # Training and evaluation; a loaded network; what serve and predict load.
        lambda folder: distribution.make(recipes.load("demo")),
        lambda folder: network.load(folder),
        lambda folder: loaded.load(str(folder)),
    ],
)
def test_everything_that_computes_asks(monkeypatch, tmp_path, compute):
    without_gpus(monkeypatch)
    monkeypatch.setenv("ALEXNET_REQUIRE_GPU", "1")
    with pytest.raises(UserError, match="no GPU is visible"):
        compute(tmp_path)
