"""Crop offset and flip that consecutive images share, read from coordinates in the pixels."""

import numpy as np
import pytest

from alexnet_common.errors import UsageError
from alexnet_tf import recipes
from alexnet_tf.input import pipeline
from alexnet_tf.input.pipeline import Augmentation, Replicas, Span
from alexnet_tf.train_loop import setup
from data_prep import dataset
from tests.helpers import cropped_batches, small_dataset

EXAMPLES, SIZE, CROP, BATCH = 50, 12, 8, 16
# 16 + 16 + 16 + 2: the last batch is short.
STEPS = 4
ALL = Replicas()


def coordinates(split, count, image_size, classes, seed=0):
    """Pixel (y, x) of example e is (y, x, e)."""
    rows, columns = np.mgrid[:image_size, :image_size].astype(np.uint8)
    images = [np.stack([rows, columns, np.full_like(rows, e)], axis=-1) for e in range(count)]
    return np.stack(images), np.arange(count) % classes


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chunk") / "data"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(small_dataset, "pixels", coordinates)
        small_dataset.make(folder, image_size=SIZE, train=EXAMPLES, store="uint8", shards=1)
    return dataset.load(folder)


def batches(data, chunk, first_step=0, last_step=STEPS, replicas=ALL, **changes):
    span = Span(EXAMPLES, BATCH, first_step, last_step, replicas)
    settings = Augmentation(CROP, crop_chunk=chunk, color_noise_stddev=0.1, **changes)
    return list(cropped_batches.crop(training_batches(data, span, settings), CROP))


def training_batches(data, span, settings):
    return pipeline.training_batches(data, span, settings, seed=3)


def read(found):
    """(example, y, x, mirrored) of every real image in order, checked pixel by pixel."""
    draws = []
    for batch in found:
        for image in batch["image"][batch["weight"] > 0]:
            y, first, last = image[0, 0, 0], image[0, 0, 1], image[0, -1, 1]
            mirrored = bool(first > last)
            x = min(first, last)
            window = np.mgrid[y : y + CROP, x : x + CROP].transpose(1, 2, 0)
            assert np.array_equal(image[:, ::-1, :2] if mirrored else image[..., :2], window)
            draws.append((int(image[0, 0, 2]), int(y), int(x), mirrored))
    return draws


def rows(found):
    """The real rows of every key, in order."""
    return {
        key: np.concatenate([batch[key][batch["weight"] > 0] for batch in found])
        for key in found[0]
    }


def assert_equal(first, second):
    assert first.keys() == second.keys()
    for key in first:
        assert np.array_equal(first[key], second[key]), key


@pytest.mark.parametrize("chunk", [2, 7, 32, 1000])
def test_consecutive_images_of_an_epoch_share_offset_and_flip(data, chunk):
    draws = read(batches(data, chunk, last_step=2 * STEPS))
    for epoch in (draws[:EXAMPLES], draws[EXAMPLES:]):
        assert sorted(draw[0] for draw in epoch) == list(range(EXAMPLES))
        for start in range(0, EXAMPLES, chunk):
            assert len({draw[1:] for draw in epoch[start : start + chunk]}) == 1


def test_chunks_draw_anew_in_every_epoch_and_all_offsets_and_flips_occur(data):
    draws = read(batches(data, 7, last_step=40 * STEPS))
    # 40 epochs of eight chunks, the last of them short.
    starts = [epoch * EXAMPLES + start for epoch in range(40) for start in range(0, EXAMPLES, 7)]
    chunks = np.array([draws[start][1:] for start in starts])
    for axis in (0, 1):
        counts = np.bincount(chunks[:, axis], minlength=5)
        # 64 of 320 expected each; four standard deviations of a binomial are 29.
        assert np.all(np.abs(counts - 64) < 30)
    assert abs(chunks[:, 2].sum() - 160) < 36


def test_a_chunk_of_one_gives_every_image_its_own(data):
    draws = read(batches(data, 1))
    # Of 49 pairs of neighbours, one in 50 shares all three by chance.
    assert sum(a[1:] == b[1:] for a, b in zip(draws, draws[1:], strict=False)) < 8


def test_order_and_noise_do_not_depend_on_the_chunk(data):
    one, many = rows(batches(data, 1)), rows(batches(data, 7))
    assert np.array_equal(one["noise"], many["noise"])
    assert np.array_equal(one["image"][:, 0, 0, 2], many["image"][:, 0, 0, 2])
    # One draw per image, also within a chunk.
    assert len(np.unique(many["noise"], axis=0)) == EXAMPLES


def test_offset_without_flip_and_flip_without_offset(data):
    flips = read(batches(data, 7, random_crop=False))
    assert {draw[1:3] for draw in flips} == {(2, 2)}
    assert {draw[3] for draw in flips} == {False, True}
    offsets = read(batches(data, 7, random_flip=False))
    assert {draw[3] for draw in offsets} == {False}
    assert [draw[1:3] for draw in offsets] == [draw[1:3] for draw in read(batches(data, 7))]


@pytest.mark.parametrize("chunk", [7, 32])
@pytest.mark.parametrize("total", [2, 3])
def test_replicas_and_workers_see_what_one_device_sees(data, chunk, total):
    whole = rows(batches(data, chunk))
    assert_equal(rows(batches(data, chunk, replicas=Replicas(total, 0, total))), whole)
    workers = [batches(data, chunk, replicas=Replicas(total, i, 1)) for i in range(total)]
    assert_equal(rows([part for step in zip(*workers, strict=True) for part in step]), whole)


@pytest.mark.parametrize("first", [1, 2, 3, 5])
def test_resuming_within_a_chunk_continues_it(data, first):
    """Steps begin at positions 16, 32 and 48; chunks of 7 at 14, 28 and 42."""
    whole = batches(data, 7, last_step=2 * STEPS)
    assert_equal(rows(batches(data, 7, first, 2 * STEPS)), rows(whole[first:]))


def test_the_batch_size_does_not_move_chunks(data):
    span, settings = Span(EXAMPLES, 5), Augmentation(CROP, crop_chunk=7)
    small = cropped_batches.crop(training_batches(data, span, settings), CROP)
    assert read(list(small)) == read(batches(data, 7))


@pytest.mark.parametrize("chunk", [0, -32])
def test_a_chunk_without_images_is_refused(tmp_path, chunk):
    config = recipes.load("demo")
    config.input.crop_chunk = chunk
    with pytest.raises(UsageError, match="config.input.crop_chunk must be at least 1"):
        setup.set_up(config, tmp_path)
