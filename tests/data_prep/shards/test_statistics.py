"""Exact sums and principal components, against NumPy on all pixels at once."""

import numpy as np
import pytest

from data_prep.shards import statistics


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    rng = np.random.default_rng(5)
    mixed = rng.normal(size=(7, 24, 24, 3)) @ rng.normal(size=(3, 3)) * 40 + 128
    return np.clip(mixed, 0, 255).astype(np.uint8)


def summed(pictures: np.ndarray) -> statistics.PixelSums:
    accumulator = statistics.Accumulator(pictures.shape[1])
    for picture in pictures:
        accumulator.add(picture)
    return accumulator.sums()


def test_sums_are_exact(pictures: np.ndarray) -> None:
    sums = summed(pictures)
    wide = pictures.astype(np.int64)
    flat = wide.reshape(-1, 3)
    assert sums.count == 7
    assert np.array_equal(sums.image, wide.sum(axis=0))
    assert np.array_equal(sums.products, flat.T @ flat)


@pytest.mark.parametrize("value", [255, 254, 1])
@pytest.mark.parametrize("size", [8, 33, 256])
def test_products_do_not_overflow(value: int, size: int) -> None:
    pixels = np.full((size, size, 3), value, np.uint8)
    assert np.all(statistics.colour_products(pixels) == value * value * size * size)


@pytest.mark.parametrize("shape", [(1, 700), (700, 1), (257, 3)])
def test_products_of_pictures_that_are_not_square(shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    flat = pixels.reshape(-1, 3).astype(np.int64)
    assert np.array_equal(statistics.colour_products(pixels), flat.T @ flat)


def test_merging_in_any_order_gives_the_sums_of_all(pictures: np.ndarray) -> None:
    everything = summed(pictures)
    for order in ([0, 1, 2], [2, 0, 1]):
        parts = [summed(pictures[:3]), summed(pictures[3:4]), summed(pictures[4:])]
        total = statistics.PixelSums.zero(24)
        for part in order:
            total.merge(parts[part])
        assert total.count == everything.count
        assert np.array_equal(total.image, everything.image)
        assert np.array_equal(total.products, everything.products)


def test_mean_image(pictures: np.ndarray) -> None:
    mean = statistics.mean_image(summed(pictures))
    assert mean.dtype == np.float32
    np.testing.assert_array_equal(mean, pictures.mean(axis=0).astype(np.float32))


def test_components_are_those_of_numpys_covariance(pictures: np.ndarray) -> None:
    summary = statistics.summarize(summed(pictures))
    flat = pictures.reshape(-1, 3).astype(np.float64)
    np.testing.assert_allclose(summary["channel_mean"], flat.mean(axis=0), rtol=1e-12)
    covariance = np.cov(flat.T, bias=True)
    deviations = np.array(summary["pca_standard_deviations"])
    vectors = np.array(summary["pca_vectors"])
    assert np.all(np.diff(deviations) >= 0)
    rebuilt = vectors @ np.diag(deviations**2) @ vectors.T
    np.testing.assert_allclose(rebuilt, covariance, rtol=1e-6)
    # A component's standard deviation is that of the pixels projected on its vector.
    np.testing.assert_allclose((flat @ vectors).std(axis=0), deviations, rtol=1e-6)


def test_grey_pictures_have_one_component() -> None:
    grey = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)
    summary = statistics.summarize(summed(grey))
    expected = np.sqrt(3 * np.arange(256).var())
    np.testing.assert_allclose(summary["pca_standard_deviations"], [0, 0, expected], atol=1e-5)
    vectors = np.array(summary["pca_vectors"])
    np.testing.assert_allclose(vectors[:, 2], np.full(3, 3**-0.5), rtol=1e-6)


def test_no_image_has_no_statistics() -> None:
    with pytest.raises(ValueError, match="no image"):
        statistics.summarize(statistics.PixelSums.zero(8))


def test_the_authors_figures_are_those_of_his_file() -> None:
    # cuda-convnet2's input_meta, printed beside a dataset's own: RGB, and ascending.
    assert statistics.AUTHOR_CHANNEL_MEAN == (127.305, 119.715, 104.913)
    assert statistics.AUTHOR_PCA_STANDARD_DEVIATIONS == (19.7208, 37.0939, 121.7801)


def test_the_largest_component_of_every_vector_is_positive() -> None:
    for seed in range(20):
        random = np.random.default_rng(seed)
        mixed = random.normal(size=(1, 8, 8, 3)) @ random.normal(size=(3, 3)) * 40 + 128
        summary = statistics.summarize(summed(np.clip(mixed, 0, 255).astype(np.uint8)))
        for vector in np.array(summary["pca_vectors"]).T:
            assert vector[np.abs(vector).argmax()] > 0


def test_components_are_kept_to_nine_decimals(pictures: np.ndarray) -> None:
    """Beyond them libraries of linear algebra differ, and two conversions would."""
    summary = statistics.summarize(summed(pictures))
    covariance = np.cov(pictures.reshape(-1, 3).T.astype(np.float64), bias=True)
    expected = np.sqrt(np.linalg.eigvalsh(covariance))
    for value, exact in zip(summary["pca_standard_deviations"], expected, strict=True):
        assert f"{value:.9f}" == f"{exact:.9f}" and value == float(f"{value:.9f}")
    values = np.ravel(summary["pca_vectors"])
    assert all(value == float(f"{value:.9f}") for value in values)
    assert any(value != float(f"{value:.8f}") for value in values)
