"""Batches lie on their device before a step asks for them, and are the same ones."""

import json
import os
import subprocess
import sys

import pytest

from alexnet_tf import recipes
from alexnet_tf.devices import distribution
from tests.helpers.python_path import extended


def check(repository, kind):
    """In a process of its own, since devices are split before TensorFlow starts."""
    done = subprocess.run(
        [sys.executable, str(repository / "tests/train_loop/prefetch_check.py"), kind],
        env=os.environ | {"PYTHONPATH": extended(repository)},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def test_batches_lie_on_their_devices(repository):
    """Logical CPUs stand for GPUs, whose memory is another one."""
    found = check(repository, "CPU")
    devices = {kind: values.pop("devices") for kind, values in found.items()}
    assert devices == {
        "host": [["CPU:0"]],
        "one device": [["CPU:1"]],
        "named device": [["CPU:2"]],
        "mirrored": [["CPU:0", "CPU:1", "CPU:2"]],
    }
    assert all(values == {"same": True, "same_in_loop": True} for values in found.values()), found


@pytest.mark.gpu
def test_batches_lie_on_the_gpu(repository):
    found = check(repository, "GPU")["one device"]
    assert found == {"devices": [["GPU:0"]], "same": True, "same_in_loop": True}


def test_what_repeats_is_said(monkeypatch):
    """On GPUs config.deterministic decides; on CPUs the order of sums is fixed anyway."""
    config = recipes.load("demo")
    gpus = []
    monkeypatch.setattr(distribution.tf.config, "list_logical_devices", lambda kind: gpus)
    for deterministic in (False, True):
        config.deterministic = deterministic
        assert distribution.repeatable(config).startswith("bit for bit on the same hardware")
    gpus.append("GPU:0")
    assert distribution.repeatable(config).startswith("bit for bit on the same hardware")
    config.deterministic = False
    assert "not bit for bit: GPUs add in random order" in distribution.repeatable(config)
