"""Batches as a pure function of (seed, epoch, position)."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.input import pipeline
from alexnet_tf.input.pipeline import Augmentation, Replicas, Span
from data_prep import dataset
from tests.helpers import cropped_batches, small_dataset


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pipeline") / "data"
    return dataset.load(small_dataset.make(folder, image_size=12, train=20, store="uint8"))


@pytest.fixture(scope="module")
def images():
    """The training images by example index: shard 0 holds the even ones, shard 1 the odd ones."""
    pixels, labels = small_dataset.pixels("train", 20, 12, 3)
    order = [*range(0, 20, 2), *range(1, 20, 2)]
    return pixels[order], labels[order]


def batches(data, seed=5, crop=8, **changes):
    """Training batches of 8 of 20 examples; the changes are those of a span or augmentation."""
    span = {"examples": 20, "batch_size": 8, "last_step": 6}
    names = {field.name for field in dataclasses.fields(Span)}
    span |= {key: changes.pop(key) for key in names & changes.keys()}
    made = pipeline.training_batches(data, Span(**span), Augmentation(crop, **changes), seed=seed)
    return list(cropped_batches.crop(made, crop))


def same(first, second):
    return len(first) == len(second) and all(
        np.array_equal(a[key], b[key]) for a, b in zip(first, second, strict=True) for key in a
    )


def test_an_epoch_shows_every_example_once(data, images):
    found = batches(data, crop=12, random_flip=False, last_step=3)
    assert [batch["weight"].sum() for batch in found] == [8, 8, 4]
    seen = [
        image.tobytes()
        for batch in found
        for image, weight in zip(batch["image"], batch["weight"], strict=True)
        if weight
    ]
    assert sorted(seen) == sorted(image.tobytes() for image in images[0])


def test_no_thread_tunes_the_pipelines(data):
    """Nothing is left to it, and the end of an iterator would wait for it."""
    span = Span(20, 8)
    made = pipeline.training_batches(data, span, Augmentation(8), seed=5)
    for batches_of in (made, pipeline.evaluation_batches(data, "validation", span)):
        assert batches_of.options().autotune.enabled is False


def test_labels_belong_to_their_images(data, images):
    by_bytes = {image.tobytes(): label for image, label in zip(images[0], images[1], strict=True)}
    for batch in batches(data, crop=12, random_flip=False):
        for image, label in zip(batch["image"], batch["label"], strict=True):
            assert by_bytes[image.tobytes()] == label


def test_epochs_come_in_different_orders(data):
    found = batches(data, crop=12, random_flip=False)
    assert not np.array_equal(found[0]["image"], found[3]["image"])


def test_starting_in_the_middle_gives_the_rest(data):
    whole = batches(data, color_noise_stddev=0.1)
    for first in (1, 3, 5):
        assert same(batches(data, color_noise_stddev=0.1, first_step=first), whole[first:])


def test_the_seed_decides(data):
    assert same(batches(data), batches(data))
    assert not same(batches(data), batches(data, seed=6))


@pytest.mark.parametrize("total", [2, 3])
def test_replicas_together_see_the_batch_of_one(data, total):
    whole = batches(data, color_noise_stddev=0.1)
    rows = -(-8 // total)
    parts = batches(data, color_noise_stddev=0.1, replicas=Replicas(total, 0, total))
    assert all(len(part["label"]) == rows for part in parts)
    for step, batch in enumerate(whole):
        found = parts[step * total : (step + 1) * total]
        for key in batch:
            joined = np.concatenate([part[key][part["weight"] > 0] for part in found])
            assert np.array_equal(joined, batch[key][batch["weight"] > 0])


def test_processes_feed_their_own_replicas(data):
    both = batches(data, replicas=Replicas(2, 0, 2))
    for first in (0, 1):
        assert same(batches(data, replicas=Replicas(2, first, 1)), both[first::2])


def test_crops_are_windows_of_the_image_and_all_offsets_occur(data, images):
    """Offsets 0 ... 4 of 12 - 8, both ends included, each mirrored in half of the cases."""
    windows = {}
    for pixels in images[0]:
        for y in range(5):
            for x in range(5):
                window = pixels[y : y + 8, x : x + 8]
                windows[window.tobytes()] = (y, x, False)
                windows[window[:, ::-1].tobytes()] = (y, x, True)
    found = [
        windows[image.tobytes()]
        for batch in batches(data, last_step=120)
        for image, weight in zip(batch["image"], batch["weight"], strict=True)
        if weight
    ]
    assert len(found) == 800
    for axis in (0, 1):
        counts = np.bincount([place[axis] for place in found], minlength=5)
        # 160 expected each; four standard deviations of a binomial are 45.
        assert np.all(np.abs(counts - 160) < 46)
    assert abs(sum(place[2] for place in found) - 400) < 57


def test_no_random_crop_takes_the_centre(data, images):
    found = batches(data, random_crop=False, random_flip=False, last_step=3)
    centres = {pixels[2:10, 2:10].tobytes() for pixels in images[0]}
    assert {image.tobytes() for batch in found for image in batch["image"]} <= centres


def test_noise_is_normal_with_the_given_deviation(data):
    draws = np.concatenate(
        [batch["noise"] for batch in batches(data, color_noise_stddev=0.1, last_step=240)]
    )
    assert draws.shape[1] == 3
    assert abs(draws.std() - 0.1) < 0.005
    assert abs(draws.mean()) < 0.006
    # An example has another noise in the next epoch, and each of the three its own.
    assert len(np.unique(draws)) > 0.8 * draws.size


def test_evaluation_sees_everything_once_in_order(data, images):
    found = list(pipeline.evaluation_batches(data, "validation", Span(10, 4)).as_numpy_iterator())
    pixels, labels = small_dataset.pixels("validation", 10, 12, 3)
    order = [*range(0, 10, 2), *range(1, 10, 2)]
    seen = np.concatenate([batch["image"][batch["weight"] > 0] for batch in found])
    assert np.array_equal(seen, pixels[order])
    seen = np.concatenate([batch["label"][batch["weight"] > 0] for batch in found])
    assert np.array_equal(seen, labels[order])


@pytest.mark.parametrize("store", ["jpeg", "centered"])
def test_stores_reach_the_device_as_the_same_pixels(tmp_path, store):
    """JPEG: as TensorFlow decodes the stored bytes; centered: within float16's rounding."""
    other = dataset.load(small_dataset.make(tmp_path / "data", image_size=12, store=store))
    found = list(pipeline.evaluation_batches(other, "train", Span(20, 20)).as_numpy_iterator())[0][
        "image"
    ]
    pixels, _ = small_dataset.pixels("train", 20, 12, 3)
    order = [*range(0, 20, 2), *range(1, 20, 2)]
    if store == "jpeg":
        expected = np.stack(
            [
                tf.image.decode_jpeg(
                    tf.io.encode_jpeg(image, quality=95), dct_method="INTEGER_ACCURATE"
                ).numpy()
                for image in pixels[order]
            ]
        )
        assert np.array_equal(found, expected)
    else:
        # float16 holds 11 bits: up to 0.0625 of a value between 128 and 256.
        assert np.max(np.abs(found - pixels[order].astype(np.float32))) <= 0.0625


def test_cropping_a_jpeg_equals_cropping_its_decoded_pixels(tmp_path):
    """TensorFlow's fused decode-and-crop fails this at the crop's last column."""
    other = dataset.load(small_dataset.make(tmp_path / "data", image_size=48))
    arguments = {"seed": 1, "batch_size": 20, "last_step": 1}
    (cropped,) = batches(other, crop=44, **arguments)
    (whole,) = batches(other, crop=48, random_flip=False, **arguments)
    for part, image in zip(cropped["image"], whole["image"], strict=True):
        windows = [image[y : y + 44, x : x + 44] for y in range(5) for x in range(5)]
        windows += [window[:, ::-1] for window in windows]
        assert any(np.array_equal(part, window) for window in windows)


def test_a_split_of_one_image_fills_its_batch_with_that_image(tmp_path):
    folder = small_dataset.make(tmp_path / "data", image_size=12, validation=1, shards=1)
    span = Span(1, 4)
    (batch,) = pipeline.evaluation_batches(dataset.load(folder), "validation", span)
    assert batch["weight"].numpy().tolist() == [1, 0, 0, 0]
    assert np.all(batch["image"] == batch["image"][0])


def test_seeds_of_epochs_do_not_meet():
    """2^20 epochs of 2^43 examples share the 63 bits of a positive int64."""

    def number(epoch, example):
        return int(pipeline._numbers(tf.constant(epoch, tf.int64), tf.constant(example, tf.int64)))

    assert number(0, 5) == 5
    assert number(1, 0) == number(0, 2**43 - 1) + 1 == 2**43
    assert number(2**20 - 1, 2**43 - 1) == 2**63 - 1
