"""The author's resize: shorter side to `size`, then the central square, in exact arithmetic.

Krizhevsky's converter (cuda-convnet2, make-data/pyext) scales by size / shorter side with rounded
new sides, with OpenCV's INTER_AREA when shrinking and INTER_CUBIC when enlarging, and cuts the
central square at floor((new side - size) / 2). Here both filters are tables of weights, and only
the part of the source that the square needs is read.

The weights are integers and every intermediate sum fits the floating-point type that carries it,
so the matrix products are exact: the result is the same on every processor and with every BLAS,
which is what makes a shard a pure function of the plan.
"""

import dataclasses
import functools

import numpy as np

# Pixels (8 bits) times weights (15 bits, of which the cubic filter's absolute values sum to at
# most 1.5) stay below 2**24, exact in float32: the columns. A second product of 15 bits stays below
# 2**53, exact in float64: the rows.
WEIGHT_BITS = 15
# OpenCV's INTER_CUBIC has this parameter (the more usual value is -0.5).
CUBIC_A = -0.75
# Output rows or columns per matrix product: small enough that few of the weights are zero.
ROWS_PER_BLOCK = 8
COLUMNS_PER_BLOCK = 4
# Photographs of usual size are converted to float32 in one piece, huge ones (16 MB) piece by piece.
MAX_FLOATS = 1 << 22


@dataclasses.dataclass(frozen=True)
class Geometry:
    """Which part of a source image makes the central square.

    Attributes:
        rows, columns: (first, last + 1) source pixels that the square depends on.
        new_height, new_width: sides of the resized image, of which the square is cut.
        top, left: where the square begins in the resized image.
    """

    height: int
    width: int
    size: int
    new_height: int
    new_width: int
    top: int
    left: int
    rows: tuple[int, int]
    columns: tuple[int, int]


@dataclasses.dataclass(frozen=True)
class _Block:
    """Outputs [first, last) are `matrix` applied to sources [source_first, source_last)."""

    first: int
    last: int
    source_first: int
    source_last: int
    matrix: np.ndarray


@functools.lru_cache(maxsize=4096)
def geometry(height: int, width: int, size: int) -> Geometry:
    """The geometry of an image of `height` x `width` pixels for a square of `size` pixels."""
    shorter = min(height, width)
    new_height = _rounded_ratio(height * size, shorter)
    new_width = _rounded_ratio(width * size, shorter)
    top, left = (new_height - size) // 2, (new_width - size) // 2
    return Geometry(
        height=height,
        width=width,
        size=size,
        new_height=new_height,
        new_width=new_width,
        top=top,
        left=left,
        rows=_source_range(height, new_height, top, size),
        columns=_source_range(width, new_width, left, size),
    )


def central_square(pixels: np.ndarray, shape: Geometry) -> np.ndarray:
    """Resizes and crops.

    Args:
        pixels: uint8 [rows, columns, 3], only the source pixels `shape.rows` x `shape.columns`.
        shape: the geometry of the whole source image.

    Returns:
        uint8 [size, size, 3], halves rounded up.
    """
    size = shape.size
    if shape.height == shape.new_height:
        return pixels.copy()
    narrow = np.empty((len(pixels), size * 3), np.float32)
    step = max(1, MAX_FLOATS // (pixels.shape[1] * 3))
    for begin in range(0, len(pixels), step):
        source = pixels[begin : begin + step].astype(np.float32).reshape(-1, pixels.shape[1] * 3)
        target = narrow[begin : begin + step]
        for block in _column_blocks(shape.width, shape.new_width, shape.left, size):
            columns = source[:, block.source_first : block.source_last]
            np.matmul(columns, block.matrix, out=target[:, block.first : block.last])
    result = np.empty((size, size * 3), np.uint8)
    for block in _row_blocks(shape.height, shape.new_height, shape.top, size):
        rows = narrow[block.source_first : block.source_last].astype(np.float64)
        levels = np.matmul(block.matrix, rows)
        levels += 0.5
        if shape.height < shape.new_height:  # only the cubic filter overshoots
            np.clip(levels, 0, 255, out=levels)
        result[block.first : block.last] = levels
    return result.reshape(size, size, 3)


def _rounded_ratio(numerator: int, denominator: int) -> int:
    """The quotient rounded, halves up, without going through floating point."""
    return (2 * numerator + denominator) // (2 * denominator)


def _source_range(length: int, new_length: int, first: int, count: int) -> tuple[int, int]:
    positions = _taps(length, new_length, first, count)[0]
    return int(positions.min()), int(positions.max()) + 1


@functools.lru_cache(maxsize=1024)
def _column_blocks(width: int, new_width: int, left: int, size: int) -> tuple[_Block, ...]:
    """The horizontal filter for interleaved colours, in units of 2**-15, to be applied first."""
    blocks = []
    for block in _blocks(width, new_width, left, size, COLUMNS_PER_BLOCK):
        # The same weights for each of the colours, side by side.
        matrix = np.kron(block.matrix, np.eye(3)).T.astype(np.float32)
        first, last = 3 * block.first, 3 * block.last
        source = 3 * block.source_first, 3 * block.source_last
        blocks.append(_Block(first, last, *source, np.ascontiguousarray(matrix)))
    return tuple(blocks)


@functools.lru_cache(maxsize=1024)
def _row_blocks(height: int, new_height: int, top: int, size: int) -> tuple[_Block, ...]:
    """The vertical filter, which also brings the sums back to grey levels (a power of two)."""
    return tuple(
        dataclasses.replace(block, matrix=block.matrix * 0.5 ** (2 * WEIGHT_BITS))
        for block in _blocks(height, new_height, top, size, ROWS_PER_BLOCK)
    )


def _blocks(length: int, new_length: int, first: int, count: int, step: int) -> list[_Block]:
    """A filter as a band of small matrices, counted from the first source pixel needed."""
    positions, weights = _taps(length, new_length, first, count)
    origin = positions.min()
    blocks = []
    for begin in range(0, count, step):
        end = min(count, begin + step)
        part = positions[begin:end] - origin
        low, high = int(part.min()), int(part.max()) + 1
        matrix = np.zeros((end - begin, high - low))
        for row, (taps, values) in enumerate(zip(part, weights[begin:end], strict=True)):
            np.add.at(matrix[row], taps - low, values)  # a clamped position may occur twice
        blocks.append(_Block(begin, end, low, high, matrix))
    return blocks


def _taps(length: int, new_length: int, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Source positions and integer weights (summing to 2**15) of `count` outputs from `first`."""
    outputs = np.arange(first, first + count, dtype=np.int64)[:, None]
    if new_length <= length:
        positions, weights = _area_taps(length, new_length, outputs)
    else:
        positions, weights = _cubic_taps(length, new_length, outputs)
    whole = np.rint(weights * 2**WEIGHT_BITS).astype(np.int64)
    # Rounding may miss the sum by a few units; the largest weight takes the difference, so that a
    # plain area keeps its colour exactly.
    largest = np.argmax(whole, axis=1)
    whole[np.arange(count), largest] += 2**WEIGHT_BITS - whole.sum(axis=1)
    return np.clip(positions, 0, length - 1), whole


def _area_taps(length: int, new_length: int, outputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weight = how much of output pixel i, [i, i + 1) * length / new_length, a source covers."""
    start, end = outputs * length, (outputs + 1) * length  # in units of 1 / new_length
    positions = start // new_length + np.arange(length // new_length + 2)
    overlap = np.minimum(end, (positions + 1) * new_length) - np.maximum(
        start, positions * new_length
    )
    overlap = np.maximum(overlap, 0)
    # A position without overlap must not widen the range of source pixels.
    positions = np.where(overlap > 0, positions, start // new_length)
    return positions, overlap / length


def _cubic_taps(length: int, new_length: int, outputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Four neighbours of the output pixel's centre, the border repeated."""
    centre = (outputs + 0.5) * (length / new_length) - 0.5
    base = np.floor(centre).astype(np.int64)
    positions = base + np.arange(-1, 3)
    distance = np.abs(centre - positions)
    a = CUBIC_A
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = a * (((distance - 5) * distance + 8) * distance - 4)
    return positions, np.where(distance <= 1, near, far)
