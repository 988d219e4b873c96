"""Statistics of the training pixels from exact integer sums that may be added in any order."""

import dataclasses
from typing import Any

import numpy as np

# The author's own values (cuda-convnet2, make-data/input_meta): which images he averaged is not
# stated, so they are a sanity check, not an expectation.
AUTHOR_CHANNEL_MEAN = (127.305, 119.715, 104.913)
AUTHOR_PCA_STANDARD_DEVIATIONS = (19.7208, 37.0939, 121.7801)

# Products summed in float32 at a time: 256 * 255**2 stays below 2**24, so the sum is exact.
_EXACT_RUN = 256
# Eigenvectors of different linear algebra libraries agree far beyond this many decimals.
_DECIMALS = 9


@dataclasses.dataclass(eq=False)
class PixelSums:
    """Sums over images: of every pixel, and of the products of the colours of one pixel.

    Attributes:
        count: number of images.
        image: uint64 [size, size, 3], sum of the images.
        products: int64 [3, 3], sum over all pixels of colour i times colour j.
    """

    count: int
    image: np.ndarray
    products: np.ndarray

    @classmethod
    def zero(cls, size: int) -> "PixelSums":
        """The sums of no image."""
        return cls(0, np.zeros((size, size, 3), np.uint64), np.zeros((3, 3), np.int64))

    def merge(self, other: "PixelSums") -> None:
        """Adds the sums of other images."""
        self.count += other.count
        self.image += other.image
        self.products += other.products


class Accumulator:
    """Adds up the images of one shard."""

    def __init__(self, size: int) -> None:
        self._count = 0
        # 32 bits hold 16.8 million images at 255; they are half the work of 64 bits.
        self._image = np.zeros((size, size, 3), np.uint32)
        self._products = np.zeros((3, 3), np.int64)

    def add(self, pixels: np.ndarray) -> None:
        """Adds one image, uint8 [size, size, 3]."""
        self._count += 1
        self._image += pixels
        self._products += colour_products(pixels)

    def sums(self) -> PixelSums:
        """What was added so far."""
        return PixelSums(self._count, self._image.astype(np.uint64), self._products.copy())


def colour_products(pixels: np.ndarray) -> np.ndarray:
    """Sum over the pixels of colour i times colour j, exact: int64 [3, 3] for uint8 [h, w, 3]."""
    levels = pixels.reshape(len(pixels), -1).astype(np.float32)
    result = np.zeros((3, 3), np.int64)
    for begin in range(0, len(levels), _EXACT_RUN):
        rows = levels[begin : begin + _EXACT_RUN]
        # In a row r g b r g b ... neighbours at distances 0, 1 and 2 are all pairs of colours.
        for distance in range(3):
            left, right = rows[:, : rows.shape[1] - distance], rows[:, distance:]
            products = np.einsum("rk,rk->k", left, right)
            for first in range(3 - distance):
                second = first + distance
                total = int(products[first::3].sum(dtype=np.float64))
                result[first, second] += total
                if distance:
                    result[second, first] += total
    return result


def mean_image(sums: PixelSums) -> np.ndarray:
    """Mean of the images, float32 [size, size, 3]."""
    return (sums.image / np.float64(sums.count)).astype(np.float32)


def summarize(sums: PixelSums) -> dict[str, Any]:
    """Channel means and the principal components of RGB, as `dataset.json` holds them.

    Standard deviations are square roots of the eigenvalues of the covariance of all pixels, in
    grey levels of 0..255, ascending; column j of the vectors belongs to deviation j (the paper's
    section 4.1; the 2012 code's `color_pca`). The largest component of every vector is positive.

    Raises:
        ValueError: no image was added.
    """
    if sums.count == 0:
        raise ValueError("no image")
    size = sums.image.shape[0]
    pixels = sums.count * size * size
    channels = [int(total) for total in sums.image.sum(axis=(0, 1), dtype=np.uint64)]
    # Python's integers keep the difference of two huge products exact.
    covariance = np.array(
        [
            [
                (pixels * int(sums.products[i, j]) - channels[i] * channels[j]) / pixels**2
                for j in range(3)
            ]
            for i in range(3)
        ]
    )
    eigenvalues, vectors = np.linalg.eigh(covariance)
    largest = np.abs(vectors).argmax(axis=0)
    vectors = vectors * np.sign(vectors[largest, np.arange(3)])
    deviations = np.sqrt(np.maximum(eigenvalues, 0))
    return {
        "channel_mean": [total / pixels for total in channels],
        "pca_standard_deviations": [round(float(value), _DECIMALS) for value in deviations],
        "pca_vectors": [[round(float(v), _DECIMALS) for v in row] for row in vectors],
    }
