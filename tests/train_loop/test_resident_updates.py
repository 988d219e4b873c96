"""Many updates in one call with a set that lies on the device: what single updates compute."""

import numpy as np
import pytest

from alexnet_tf import recipes
from alexnet_tf.devices.distribution import Distribution
from alexnet_tf.runs.workdir import WorkFolder
from alexnet_tf.train_loop.setup import set_up
from alexnet_tf.train_loop.updates import Updates, fetch
from tests.helpers import small_dataset

STEPS_PER_EPOCH, BATCH = 4, 4
# Whole batches but the last of each epoch.
EXAMPLES = STEPS_PER_EPOCH * BATCH - 3


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("resident") / "data"
    return small_dataset.make(folder, image_size=28, train=EXAMPLES, classes=6)


def run_of(data, folder, *settings):
    """A small net with dropout, crops, mirror images and colour noise."""
    config = recipes.resolve(
        recipes.load("demo"),
        [
            ("data_dir", str(data)),
            ("batch_size", str(BATCH)),
            ("network.input_size", "24"),
            ("network.filters", "(4,4,4)"),
            ("network.hidden", "8"),
            ("preprocess.color_noise", "code2012"),
            ("train_epochs", "2"),
            *(setting.split("=", 1) for setting in settings),
        ],
    )
    with WorkFolder(folder) as work:
        return set_up(config, work)


def one_by_one(run):
    updates, batches = Updates(run), run.distribution.iterate(run.training_batches)
    return fetch([updates.one(next(batches), step) for step in range(run.last_step)])


def in_calls(run, *lengths):
    updates, epochs = Updates(run), run.distribution.iterate(run.training_epochs)
    results, step = [], 0
    for length in lengths:
        if step % run.steps_per_epoch == 0:
            epoch = next(epochs)
        results.append(updates.resident(epoch, step, length))
        step += length
    return fetch(results)


def weights(run):
    return [variable.numpy() for variable in run.model.trainable_variables]


def test_calls_of_several_updates_compute_what_single_ones_do(data, tmp_path):
    """But for last bits, which oneDNN may round in another way (docs/reliability.md)."""
    plain = run_of(data, tmp_path / "plain", "input.cache=none")
    resident = run_of(data, tmp_path / "resident", "input.cache=device", "steps_per_call=3")
    assert resident.is_resident and not plain.is_resident
    before = weights(plain)
    expected = one_by_one(plain)
    np.testing.assert_allclose(in_calls(resident, 3, 1, 2, 2), expected, rtol=1e-5)
    for old, one, other in zip(before, weights(plain), weights(resident), strict=True):
        assert np.any(old != one)
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)


@pytest.mark.slow
@pytest.mark.addons
def test_a_call_as_one_compiled_program_equals_compiled_updates(data, tmp_path, monkeypatch):
    """As on a GPU; XLA draws dropout masks of its own, the same in both."""
    settings = ("input.cache=device", "steps_per_call=4", "jit_compile=true")
    settings += ("implementation=towers", "lrn_kernel=tf", "pool_kernel=tf")
    settings += ("strided_convolution=direct", "precision=float32")
    single = run_of(data, tmp_path / "single", *settings)
    expected = one_by_one(single)
    monkeypatch.setattr(Distribution, "device_kinds", lambda self: {"GPU"})
    whole = run_of(data, tmp_path / "whole", *settings)
    np.testing.assert_allclose(in_calls(whole, 4, 1, 3), expected, rtol=1e-5)
    for one, other in zip(weights(single), weights(whole), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)
