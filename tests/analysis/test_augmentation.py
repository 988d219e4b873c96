"""The augmentation figure shows the very pixels that training sees."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("tensorflow")

from alexnet_tf import recipes
from alexnet_tf.analysis import augmentation, plots
from alexnet_tf.input.preprocess import Preprocess
from data_prep import dataset
from tests.helpers import small_dataset

STORED, CROP = 16, 12


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("augmentation") / "data"
    return dataset.load(small_dataset.make(folder, image_size=STORED, train=5, store="uint8"))


def collect(data, **changes):
    config = recipes.resolve(recipes.load("demo"), list(changes.items()))
    prepare = Preprocess(data, config.preprocess, CROP)
    return config, augmentation.collect(config, data, prepare, CROP, 3, 4)


def stored():
    # The converter's shards of this dataset hold every second image: 0, 2, 4, 1, 3.
    return small_dataset.pixels("train", 5, STORED, 3)[0][[0, 2, 4]]


def crops(image):
    for flipped in (image, image[:, ::-1]):
        for y in range(STORED - CROP + 1):
            for x in range(STORED - CROP + 1):
                yield flipped[y : y + CROP, x : x + CROP].astype(np.float32)


def test_every_variant_is_a_crop_or_mirrored_crop_of_its_image(data):
    _, shown = collect(data, **{"preprocess.color_noise": "none"})
    np.testing.assert_array_equal(shown.whole, stored())
    places = set()
    for image, variants in zip(stored(), shown.variants, strict=True):
        for variant in variants:
            matches = [n for n, c in enumerate(crops(image)) if np.abs(c - variant).max() < 1e-3]
            assert len(matches) == 1
            places.add(matches[0])
    assert len(places) > 6


def test_colour_noise_moves_all_pixels_of_a_variant_alike(data):
    _, shown = collect(data, **{"preprocess.color_noise": "code2012"})
    _, plain = collect(data, **{"preprocess.color_noise": "none"})
    mean = data.mean_image()[2:14, 2:14]
    # The 2012 code adds the noise to centred pixels and divides by 1.1.
    moved = (shown.variants - mean) * 1.1 - (plain.variants - mean)
    assert np.abs(moved - moved.mean(axis=(2, 3), keepdims=True)).max() < 1e-3
    assert np.abs(moved).max() > 1


def test_without_augmentation_every_epoch_shows_the_centre(data):
    config, shown = collect(
        data,
        **{
            "input.random_crop": "false",
            "input.random_flip": "false",
            "preprocess.color_noise": "none",
        },
    )
    centre = stored()[:, None, 2:14, 2:14]
    np.testing.assert_allclose(shown.variants, np.repeat(centre, 4, axis=1), atol=1e-3)
    picture = Image.open(io.BytesIO(plots.png(augmentation.draw(shown, config), dpi=50)))
    assert picture.width > picture.height
