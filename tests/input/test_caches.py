"""Images that are decoded once: kept in memory, or on the device."""

import numpy as np
import pytest
import tensorflow as tf

from alexnet_common.errors import UserError
from alexnet_tf.input import images, pipeline, resident
from alexnet_tf.input.pipeline import Augmentation, Replicas, Span
from data_prep import dataset
from tests.helpers import small_dataset

EXAMPLES, BATCH = 20, 8
ONE = Replicas()


@pytest.fixture(scope="module", params=["jpeg", "uint8", "centered"])
def data(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("caches") / "data"
    return dataset.load(small_dataset.make(folder, image_size=12, store=request.param))


def batches(data, cache="none", replicas=ONE, examples=EXAMPLES):
    """Three epochs."""
    span = Span(examples, BATCH, 0, 3 * pipeline.steps_per_epoch(examples, BATCH), replicas)
    settings = Augmentation(8, color_noise_stddev=0.1)
    return pipeline.training_batches(data, span, settings, seed=3, cache=cache)


def assert_equal(first, second):
    assert len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        assert a.keys() == b.keys()
        for key in a:
            assert a[key].dtype == b[key].dtype and np.array_equal(a[key], b[key]), key


@pytest.mark.parametrize("replicas", [Replicas(), Replicas(3, 1, 2)])
@pytest.mark.parametrize("examples", [EXAMPLES, 13])
def test_memory_yields_what_the_files_hold(data, replicas, examples):
    found = list(batches(data, "memory", replicas, examples).as_numpy_iterator())
    assert_equal(found, list(batches(data, "none", replicas, examples).as_numpy_iterator()))


def test_memory_reads_every_file_once(data, monkeypatch):
    reads = []
    original = images.records.RecordReader.read_contents

    def count(self, numbers):
        reads.extend(numbers)
        return original(self, numbers)

    if data.store == "jpeg":
        monkeypatch.setattr(images.records.RecordReader, "read_contents", count)
        list(batches(data, "memory").as_numpy_iterator())
        # Four batches are under way at once: where an epoch ends, some are read twice.
        assert sorted(set(reads)) == list(range(EXAMPLES))
        assert len(reads) <= EXAMPLES + 4 * BATCH
    else:
        source = images.Images(data, "train", EXAMPLES)
        numbers = tf.range(EXAMPLES, dtype=tf.int64)
        read = tf.function(lambda: source.batch(numbers, EXAMPLES))
        first = [value.numpy() for value in read()]
        source._reader.close()
        monkeypatch.setattr(images.records.RecordReader, "read_pixels", None)
        assert all(np.array_equal(a, b) for a, b in zip(first, read(), strict=True))


def test_evaluation_from_memory(data):
    plain = pipeline.evaluation_batches(data, "validation", Span(10, 4))
    kept = pipeline.evaluation_batches(data, "validation", Span(10, 4), cache="memory")
    for _ in range(2):
        assert_equal(list(kept.as_numpy_iterator()), list(plain.as_numpy_iterator()))


def test_chosen_examples_from_memory(data):
    """In any order, the last one of the split among them."""
    chosen = {"numbers": np.array([9, 2, 0, 7])}
    plain = pipeline.evaluation_batches(data, "validation", Span(4, 4), **chosen)
    kept = pipeline.evaluation_batches(data, "validation", Span(4, 4), cache="memory", **chosen)
    for _ in range(2):
        assert_equal(list(kept.as_numpy_iterator()), list(plain.as_numpy_iterator()))


def test_a_resident_set_completes_batches_to_the_same(data, monkeypatch):
    # In three parts, of which the last is filled up with examples of weight 0.
    monkeypatch.setattr(resident, "_DECODED_TOGETHER", 8)
    whole = resident.Resident(data, EXAMPLES)
    named = list(batches(data, "device"))
    assert all("image" not in batch and "label" not in batch for batch in named)
    found = [
        {key: value.numpy() for key, value in whole.complete(batch).items()} for batch in named
    ]
    assert_equal(found, list(batches(data).as_numpy_iterator()))


@pytest.mark.parametrize("first_step", [0, 3])
@pytest.mark.parametrize("chunk", [1, 4])
def test_an_epoch_is_its_batches_one_behind_the_other(data, first_step, chunk):
    settings = Augmentation(8, color_noise_stddev=0.1, crop_chunk=chunk)
    span = Span(EXAMPLES, BATCH, first_step, 7)
    (*whole, last) = pipeline.training_epochs(data, span, settings, seed=3).as_numpy_iterator()
    assert len(whole) == 2 - first_step // 3
    batches = pipeline.training_batches(data, span, settings, seed=3, cache="device")
    expected = list(batches.as_numpy_iterator())
    for epoch, three in zip(whole, (expected[:3], expected[3:6])[first_step // 3 :], strict=False):
        three = three if first_step == 0 else expected[:3]
        for key, rows in epoch.items():
            assert np.array_equal(rows, np.concatenate([batch[key] for batch in three])), key
    for key, rows in last.items():
        assert np.array_equal(rows[:BATCH], expected[-1][key]), key


def test_what_does_not_fit_is_refused(data, monkeypatch):
    size = EXAMPLES * 12 * 12 * 3 * (4 if data.store == "centered" else 1)
    for module in (images, resident):
        monkeypatch.setattr(module, "free_memory", lambda: size - 1)
    with pytest.raises(UserError, match="20 images need .*config.input.cache=memory"):
        resident.Resident(data, EXAMPLES)
    with pytest.raises(UserError, match="20 decoded images need .*config.input.cache=none"):
        batches(data, "memory")


def test_what_fits_is_kept(data, monkeypatch):
    size = EXAMPLES * 12 * 12 * 3 * (4 if data.store == "centered" else 1)
    monkeypatch.setattr(images, "free_memory", lambda: size)
    batches(data, "memory")
    # A resident set is decoded on the host: into half of the memory at most.
    with pytest.raises(UserError, match="20 images need "):
        monkeypatch.setattr(resident, "free_memory", lambda: 2 * size - 1)
        resident.Resident(data, EXAMPLES)
    monkeypatch.setattr(resident, "free_memory", lambda: 2 * size)
    resident.Resident(data, EXAMPLES)


def test_arrays_are_used_again_only_when_their_tensor_is_gone():
    arrays = images._Arrays()

    @tf.function
    def tensor(value):
        def fill(value):
            array = arrays.take((64, 64), np.uint8)
            array[:] = value
            return array

        return tf.numpy_function(fill, [value], tf.uint8)

    held = [tensor(tf.constant(value, tf.uint8)) for value in range(5)]
    for value, array in enumerate(held):
        assert np.all(array.numpy() == value)
    assert len(arrays._lent) == 5
    del held, array
    for value in range(20):
        assert np.all(tensor(tf.constant(value, tf.uint8)).numpy() == value)
    assert len(arrays._lent) <= 6


def test_arrays_become_tensors_without_a_copy():
    arrays = images._Arrays()
    array = arrays.take((128, 128), np.float32)
    assert array.ctypes.data % 64 == 0
    assert array.shape == (128, 128) and array.dtype == np.float32
