"""Views, mean subtraction and colour noise against NumPy."""

import numpy as np
import pytest
import tensorflow as tf
from ml_collections import ConfigDict

from alexnet_common.errors import UsageError
from alexnet_tf.input import preprocess
from data_prep import dataset
from tests.helpers import small_dataset


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("preprocess") / "data"
    return dataset.load(small_dataset.make(folder, image_size=12, store="uint8"))


def settings(**changes):
    return ConfigDict({"mean": "image", "color_noise": "none", "color_noise_stddev": 0.1} | changes)


def test_ten_views_are_four_corners_centre_and_mirrors():
    """Section 4.1: 224 of 256 puts the patches at offsets 0, 16 and 32."""
    images = np.random.default_rng(0).integers(0, 256, (2, 256, 256, 3), np.uint8)
    found = preprocess.views(images, 224, 10).numpy().reshape(10, 2, 224, 224, 3)
    places = [(0, 0), (0, 32), (16, 16), (32, 0), (32, 32)]
    for view, (y, x) in enumerate(places):
        patch = images[:, y : y + 224, x : x + 224]
        assert np.array_equal(found[view], patch)
        assert np.array_equal(found[view + 5], patch[:, :, ::-1])


def test_one_view_is_the_centre():
    images = np.random.default_rng(0).integers(0, 256, (1, 13, 13, 3), np.uint8)
    assert np.array_equal(np.asarray(preprocess.views(images, 8, 1)), images[:, 2:10, 2:10])


def test_views_of_images_that_are_not_square():
    images = np.arange(13 * 10 * 3).reshape(1, 13, 10, 3)
    assert np.array_equal(np.asarray(preprocess.views(images, 8, 1)), images[:, 2:10, 1:9])
    corners = [images[0, y : y + 8, x : x + 8] for y, x in ((0, 0), (0, 2), (2, 1), (5, 0), (5, 2))]
    expected = corners + [corner[:, ::-1] for corner in corners]
    assert np.array_equal(np.asarray(preprocess.views(images, 8, 10)), expected)


def test_other_numbers_of_views_are_refused():
    with pytest.raises(UsageError, match="1 or 10"):
        preprocess.views(np.zeros((1, 8, 8, 3), np.uint8), 8, 5)


def test_the_mean_image_is_subtracted_at_its_centre(data):
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), np.uint8)
    found = preprocess.Preprocess(data, settings(), 8)(images).numpy()
    expected = images.astype(np.float32) - data.mean_image()[2:10, 2:10]
    assert found.dtype == np.float32
    assert np.allclose(found, expected, atol=1e-5)


def test_the_channel_mean_is_subtracted(data):
    images = np.full((1, 8, 8, 3), 100, np.uint8)
    found = preprocess.Preprocess(data, settings(mean="channel"), 8)(images).numpy()
    assert np.allclose(found, 100 - data.channel_mean, atol=1e-4)


@pytest.mark.parametrize("kind", ["paper", "code2012"])
def test_colour_noise(data, kind):
    """Written out per image as [p1 p2 p3][a1 l1, a2 l2, a3 l3]^T (section 4.1)."""
    images = np.full((2, 8, 8, 3), 100, np.uint8)
    draws = np.array([[0.1, -0.2, 0.05], [0, 0.1, 0.3]], np.float32)
    deviations, vectors = data.pca_standard_deviations, data.pca_vectors
    found = preprocess.Preprocess(data, settings(mean="none", color_noise=kind), 8)
    for image, alpha in zip(found(images, draws).numpy(), draws, strict=True):
        if kind == "paper":
            # Eigenvalues of the covariance of pixels in [0, 1], the offset in the same units.
            offset = 255 * sum(
                vectors[:, i] * alpha[i] * (deviations[i] / 255) ** 2 for i in range(3)
            )
            expected = 100 + offset
        else:
            offset = sum(vectors[:, i] * alpha[i] * deviations[i] for i in range(3))
            expected = (100 + offset) / 1.1
        assert np.allclose(image, expected, atol=1e-4)


def test_the_popular_noise_whatever_the_data(data):
    """fb.resnet.torch adds, to pixels in [0, 1], sum_i alpha_i lambda_i p_i, alpha ~ N(0, 0.1).

    Its deviations in grey levels, by the reference page: 5.5, 0.48 and 0.11, the authors' 12.2.
    """
    images = np.full((4, 8, 8, 3), 100, np.uint8)
    draws = np.array([[0.1, 0, 0], [0, 0.1, 0], [0, 0, 0.1], [0.1, 0.1, 0.1]], np.float32)
    found = preprocess.Preprocess(data, settings(mean="none", color_noise="popular"), 8)
    offsets = found(images, draws).numpy()[:, 0, 0] - 100
    assert np.linalg.norm(offsets[:3], axis=1) == pytest.approx([5.546, 0.479, 0.115], rel=5e-3)
    # Light and dark alike first; then red against blue; the three are at right angles.
    assert np.ptp(offsets[0]) < 0.2 and abs(offsets[1, 1]) < 0.01 and offsets[1, 0] > 0
    directions = offsets[:3] / np.linalg.norm(offsets[:3], axis=1, keepdims=True)
    assert np.allclose(directions @ directions.T, np.eye(3), atol=2e-3)
    assert np.allclose(offsets[3], offsets[:3].sum(axis=0), atol=1e-4)


@pytest.mark.parametrize(
    ("kind", "mean"),
    # torchvision's 0.485, 0.456, 0.406 of 255; the channels of Caffe's ilsvrc_2012_mean.npy.
    [("torchvision", (123.675, 116.28, 103.53)), ("caffe", (122.67891, 116.66877, 104.00699))],
)
def test_published_means_are_subtracted_whatever_the_data(data, kind, mean):
    images = np.full((2, 8, 8, 3), 100, np.uint8)
    prepare = preprocess.Preprocess(data, settings(mean=kind), 8)
    assert np.allclose(prepare(images).numpy(), 100 - np.array(mean), atol=1e-4)


@pytest.mark.parametrize("factor", [0.0, 0.5, 1.0])
def test_noise_that_a_schedule_lowers_no_longer_scales_the_image_down(data, factor):
    # The 2012 code divides by 1 + a, a the noise's own deviation: where it is off, by 1.
    images = np.full((1, 8, 8, 3), 100, np.uint8)
    draws = np.array([[0.1, -0.2, 0.05]], np.float32)
    prepare = preprocess.Preprocess(data, settings(mean="none", color_noise="code2012"), 8)
    deviations, vectors = data.pca_standard_deviations, data.pca_vectors
    offset = sum(vectors[:, i] * draws[0, i] * factor * deviations[i] for i in range(3))
    expected = (100 + offset) / (1 + 0.1 * factor)
    assert np.allclose(prepare(images, draws, factor).numpy(), expected, atol=1e-4)


def test_the_authors_components_give_his_noise():
    """cuda-convnet2's input_meta: sd 121.78 along the first component; 0.1 of it is 12.2 levels."""

    class Author:
        pca_standard_deviations = np.array([19.7208, 37.0939, 121.7801])
        pca_vectors = np.eye(3)

    directions, shrink = preprocess.color_noise_directions(Author(), "code2012")
    assert shrink == 1
    assert np.isclose(0.1 * np.linalg.norm(directions[2]), 12.178)
    # By magnitude the constants of fb.resnet.torch, .2175 .0188 .0045: eigenvalues in [0, 1].
    directions, _ = preprocess.color_noise_directions(Author(), "paper")
    assert np.allclose(
        np.linalg.norm(directions, axis=1) / 255, [0.00598, 0.02116, 0.22807], rtol=2e-3
    )


def test_evaluation_has_no_noise(data):
    images = np.full((1, 8, 8, 3), 100, np.uint8)
    found = preprocess.Preprocess(data, settings(mean="none", color_noise="code2012"), 8)
    assert np.all(found(images).numpy() == 100)


def test_a_crop_larger_than_the_images_is_refused(data):
    with pytest.raises(UsageError, match="reads 13x13.*have 12x12.*--image_size=13"):
        preprocess.Preprocess(data, settings(), 13)


@pytest.mark.parametrize("kind", ["none", "paper", "code2012"])
@pytest.mark.parametrize("mean", ["image", "none"])
def test_a_training_batch_is_cut_by_hand_and_then_as_any_other(data, kind, mean):
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (6, 12, 12, 3), np.uint8)
    offset = np.array([[0, 0], [4, 4], [0, 4], [3, 1], [2, 2], [4, 0]], np.int32)
    flip = np.array([False, True, True, False, True, False])
    noise = random.normal(0, 0.1, (6, 3)).astype(np.float32)
    crops = []
    for image, (y, x), mirrored in zip(images, offset, flip, strict=True):
        crop = image[y : y + 8, x : x + 8]
        crops.append(crop[:, ::-1] if mirrored else crop)
    prepare = preprocess.Preprocess(data, settings(mean=mean, color_noise=kind), 8)
    batch = {"image": images, "offset": offset, "flip": flip, "noise": noise}
    batch = {key: tf.constant(value) for key, value in batch.items()}
    once = prepare.training(batch)
    assert np.array_equal(once, prepare.training(batch, 1.0))
    for factor in (1.0, 0.5, tf.constant(0.0)):
        found = prepare.training(batch, factor)
        assert np.array_equal(found, prepare(tf.constant(np.stack(crops)), noise, factor))


def test_a_training_batch_without_draws_is_the_centre(data):
    images = tf.constant(np.random.default_rng(0).integers(0, 256, (3, 12, 12, 3), np.uint8))
    prepare = preprocess.Preprocess(data, settings(), 8)
    assert np.array_equal(prepare.training({"image": images}), prepare(images[:, 2:10, 2:10]))
    mirrored = prepare.training({"image": images, "flip": tf.constant([True, False, True])})
    expected = tf.stack([images[0, :, ::-1], images[1], images[2, :, ::-1]])
    assert np.array_equal(mirrored, prepare(expected[:, 2:10, 2:10]))


def test_the_one_view_is_the_centre_among_the_ten():
    images = np.random.default_rng(1).integers(0, 256, (1, 13, 13, 3), np.uint8)
    for count in (1, 10):
        found = np.asarray(preprocess.views(images, 8, count)).reshape(count, 8, 8, 3)
        assert np.array_equal(found[preprocess.centre_view(count)], images[0, 2:10, 2:10])


def test_images_may_be_as_small_as_the_crop(data):
    prepare = preprocess.Preprocess(data, settings(), 12)
    images = np.random.default_rng(0).integers(0, 256, (2, 12, 12, 3), np.uint8)
    assert np.allclose(prepare(images), images.astype(np.float32) - data.mean_image(), atol=1e-5)


def test_without_colour_noise_nothing_is_drawn(data):
    assert preprocess.Preprocess(data, settings(), 8).noise_stddev == 0
    assert preprocess.Preprocess(data, settings(color_noise="paper"), 8).noise_stddev == 0.1


def test_batches_that_name_their_images_are_completed(data):
    prepare = preprocess.Preprocess(data, settings(), 8)
    images = tf.constant(np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3)), tf.uint8)
    labels = tf.constant([3, 5])
    whole = {"image": tf.reverse(images, [0]), "label": tf.reverse(labels, [0])}
    expected = prepare.training(whole)
    assert prepare.labels(whole).numpy().tolist() == [5, 3]

    class Set:
        def complete(self, batch):
            chosen = batch["example"]
            return {"image": tf.gather(images, chosen), "label": tf.gather(labels, chosen)}

    prepare.resident = Set()
    batch = {"example": tf.constant([1, 0])}
    assert np.array_equal(prepare.training(batch), expected)
    assert prepare.labels(batch).numpy().tolist() == [5, 3]


def test_crops_without_mirrors_are_cut_at_their_places(data):
    images = tf.constant(np.random.default_rng(2).integers(0, 256, (2, 12, 12, 3), np.uint8))
    found = preprocess.cut(images, tf.constant([[0, 4], [3, 1]]), None, 8)
    assert np.array_equal(found, np.stack([images[0, :8, 4:], images[1, 3:11, 1:9]]))
