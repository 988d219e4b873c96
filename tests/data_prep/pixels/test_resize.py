"""The resize against filters written out by hand, and against OpenCV where it is installed."""

import math

import numpy as np
import pytest

from data_prep.pixels import resize


def whole(image: np.ndarray, size: int) -> np.ndarray:
    shape = resize.geometry(image.shape[0], image.shape[1], size)
    rows, columns = shape.rows, shape.columns
    return resize.central_square(image[rows[0] : rows[1], columns[0] : columns[1]], shape)


def area_by_repetition(image: np.ndarray, new: int, axis: int) -> np.ndarray:
    """Every source pixel `new` times over, then means of runs as long as the source."""
    length = image.shape[axis]
    repeated = np.repeat(image.astype(np.float64), new, axis=axis)
    split = np.stack(np.split(repeated, new, axis=axis), axis=axis)
    assert split.shape[axis + 1] == length
    return split.mean(axis=axis + 1)


def cubic_by_definition(line: list[float], new: int) -> list[float]:
    """Cubic convolution with a = -0.75 and repeated borders, in plain Python."""

    def kernel(x: float) -> float:
        x = abs(x)
        if x <= 1:
            return 1.25 * x**3 - 2.25 * x**2 + 1
        return -0.75 * x**3 + 3.75 * x**2 - 6 * x + 3 if x < 2 else 0.0

    result = []
    for i in range(new):
        centre = (i + 0.5) * len(line) / new - 0.5
        total = 0.0
        for tap in range(math.floor(centre) - 1, math.floor(centre) + 3):
            total += line[min(max(tap, 0), len(line) - 1)] * kernel(centre - tap)
        result.append(total)
    return result


@pytest.mark.parametrize(
    ("height", "width", "new_height", "new_width", "top", "left"),
    [
        (375, 500, 256, 341, 0, 42),  # 500 * 256 / 375 = 341.33
        (500, 375, 341, 256, 42, 0),
        (256, 256, 256, 256, 0, 0),
        (100, 301, 256, 771, 0, 257),  # 770.56, and floor(515 / 2)
        (512, 513, 256, 257, 0, 0),  # 256.5 rounds up
        (400, 1, 102400, 256, 51072, 0),
    ],
)
def test_sides_are_rounded_and_the_square_is_central(
    height: int, width: int, new_height: int, new_width: int, top: int, left: int
) -> None:
    shape = resize.geometry(height, width, 256)
    assert (shape.new_height, shape.new_width) == (new_height, new_width)
    assert (shape.top, shape.left) == (top, left)


@pytest.mark.parametrize(("height", "width"), [(75, 100), (64, 64), (97, 51), (33, 200)])
@pytest.mark.parametrize("size", [32, 13])
def test_shrinking_averages_areas(height: int, width: int, size: int) -> None:
    image = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    shape = resize.geometry(height, width, size)
    exact = area_by_repetition(image, shape.new_height, 0)
    exact = area_by_repetition(exact, shape.new_width, 1)
    square = exact[shape.top : shape.top + size, shape.left : shape.left + size]
    result = whole(image, size).astype(np.float64)
    # Half a level of rounding, and a little for weights of 15 bits.
    assert np.abs(result - square).max() <= 0.51


def test_halving_rounds_halves_up() -> None:
    image = np.zeros((16, 16, 3), np.uint8)
    image[::2, ::2] = 2  # every mean of four is 0.5
    assert np.all(whole(image, 8) == 1)


@pytest.mark.parametrize(("height", "width"), [(20, 27), (31, 9), (5, 5), (1, 7), (7, 1)])
def test_enlarging_is_cubic(height: int, width: int) -> None:
    image = np.random.default_rng(2).integers(0, 256, (height, width, 3), np.uint8)
    shape = resize.geometry(height, width, 32)
    exact = np.apply_along_axis(
        lambda line: cubic_by_definition(list(line), shape.new_height), 0, image.astype(float)
    )
    exact = np.apply_along_axis(
        lambda line: cubic_by_definition(list(line), shape.new_width), 1, exact
    )
    square = exact[shape.top : shape.top + 32, shape.left : shape.left + 32]
    expected = np.clip(square, 0, 255)
    assert np.abs(whole(image, 32) - expected).max() <= 0.51


@pytest.mark.parametrize("side", [32, 33, 47, 64, 20, 31, 500])
def test_a_plain_area_keeps_its_colour(side: int) -> None:
    colour = np.array([7, 128, 255], np.uint8)
    image = np.broadcast_to(colour, (side, side + 5, 3))
    assert np.all(whole(image, 32) == colour)


def test_an_image_of_the_right_size_is_not_touched() -> None:
    image = np.random.default_rng(3).integers(0, 256, (32, 32, 3), np.uint8)
    assert np.array_equal(whole(image, 32), image)
    wide = np.random.default_rng(3).integers(0, 256, (32, 43, 3), np.uint8)
    assert np.array_equal(whole(wide, 32), wide[:, 5:37])


def test_sums_stay_within_the_types_that_carry_them() -> None:
    """The claim of exactness: weights that sum to 2**15, products below 2**24 and 2**53."""
    for length, new in [(500, 341), (375, 256), (9000, 256), (100, 256), (3, 256), (257, 256)]:
        weights = resize._taps(length, new, 0, new)[1]
        assert np.all(weights.sum(axis=1) == 2**15)
        largest = np.abs(weights).sum(axis=1).max()
        assert 255 * largest < 2**24
        assert 255 * largest**2 < 2**53


def test_large_values_survive_the_first_product() -> None:
    image = np.full((375, 500, 3), 255, np.uint8)
    assert np.all(whole(image, 256) == 255)


@pytest.mark.parametrize(("height", "width"), [(375, 500), (480, 640), (600, 401), (180, 240)])
def test_agrees_with_opencv(height: int, width: int) -> None:
    cv2 = pytest.importorskip("cv2", reason="needs opencv-python-headless (extra: benchmark)")
    image = np.random.default_rng(4).integers(0, 256, (height, width, 3), np.uint8)
    shape = resize.geometry(height, width, 256)
    method = cv2.INTER_AREA if shape.new_height < height else cv2.INTER_CUBIC
    theirs = cv2.resize(image, (shape.new_width, shape.new_height), interpolation=method)
    theirs = theirs[shape.top : shape.top + 256, shape.left : shape.left + 256]
    difference = np.abs(whole(image, 256).astype(int) - theirs)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.01
