"""The converter's resize in TensorFlow operations only.

`data_prep.pixels.resize` defines how an image becomes a square: shorter side to `size`, area filter
when shrinking and cubic when enlarging, central square at the floored offset. Here the same rule is
a graph, so that an exported model treats a file as the converter treated those it was trained on.
Both compute with integer weights in exact arithmetic, so their pixels are equal, bit by bit.
"""

from __future__ import annotations

import tensorflow as tf

from data_prep.pixels.resize import CUBIC_A, MAX_FLOATS, WEIGHT_BITS


def central_square(pixels: tf.Tensor, size: int) -> tf.Tensor:
    """Scales the shorter side to `size` and cuts the central square.

    Args:
        pixels: uint8 [height, width, 3].
        size: in pixels.

    Returns:
        uint8 [size, size, 3]; halves are rounded up.
    """
    shape = tf.shape(pixels, out_type=tf.int64)
    height, width = shape[0], shape[1]
    shorter = tf.minimum(height, width)
    rows, top = _filter(height, _rounded_ratio(height * size, shorter), size)
    columns, left = _filter(width, _rounded_ratio(width * size, shorter), size)
    source = pixels[top : top + _length(rows), left : left + _length(columns)]
    # Integers throughout: below 2^24 after the first product, below 2^53 after the second.
    narrow = _narrow(tf.cast(rows, tf.float32), tf.reshape(source, [_length(rows), -1]))
    narrow = tf.reshape(tf.cast(narrow, tf.float64), [size, -1, 3])
    summed = tf.einsum("oj,ijc->ioc", columns, narrow)
    result = tf.floor(summed * 0.5 ** (2 * WEIGHT_BITS) + 0.5)
    result = tf.cast(tf.clip_by_value(result, 0.0, 255.0), tf.uint8)
    return tf.ensure_shape(result, [size, size, 3])


def _narrow(rows: tf.Tensor, flat: tf.Tensor) -> tf.Tensor:
    """`rows` @ `flat`, float32, with only some rows of the pixels as floats at a time.

    The sums are exact, so that it does not matter in which parts they are made.
    """
    width = tf.shape(flat, out_type=tf.int64)[1]
    height = _length(rows)
    step = tf.maximum(tf.constant(1, tf.int64), MAX_FLOATS // width)

    def add(begin: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        part = tf.cast(flat[begin : begin + step], tf.float32)
        return begin + step, total + tf.matmul(rows[:, begin : begin + step], part)

    start = (tf.constant(0, tf.int64), tf.zeros([rows.shape[0], width], tf.float32))
    return tf.while_loop(lambda begin, _: begin < height, add, start, parallel_iterations=1)[1]


def _length(matrix: tf.Tensor) -> tf.Tensor:
    return tf.shape(matrix, out_type=tf.int64)[1]


def _rounded_ratio(numerator: tf.Tensor, denominator: tf.Tensor) -> tf.Tensor:
    return (2 * numerator + denominator) // (2 * denominator)


def _filter(length: tf.Tensor, new_length: tf.Tensor, size: int) -> tuple[tf.Tensor, tf.Tensor]:
    """The filter along one side for the central `size` outputs of `new_length`.

    Returns:
        float64 [size, n] of integers that sum to 2^15 in each row, over n source positions, and
        the first of these positions (int64).
    """
    first = (new_length - size) // 2
    outputs = first + tf.range(size, dtype=tf.int64)[:, None]
    positions, weights = tf.cond(
        new_length <= length,
        lambda: _area(length, new_length, outputs),
        lambda: _cubic(length, new_length, outputs),
    )
    whole = tf.round(weights * 2.0**WEIGHT_BITS)
    # What rounding missed goes to the first of the largest weights.
    missed = 2.0**WEIGHT_BITS - tf.reduce_sum(whole, axis=1, keepdims=True)
    largest = tf.equal(whole, tf.reduce_max(whole, axis=1, keepdims=True))
    first_largest = largest & tf.equal(tf.cumsum(tf.cast(largest, tf.int32), axis=1), 1)
    whole += tf.where(first_largest, missed, tf.zeros_like(whole))
    positions = tf.clip_by_value(positions, tf.zeros_like(length), length - 1)
    low = tf.reduce_min(positions)
    taps = tf.shape(positions, out_type=tf.int64)[1]
    row = tf.repeat(tf.range(size, dtype=tf.int64)[:, None], taps, axis=1)
    # scatter_nd adds up, as it must where a position was clipped to the border twice.
    matrix = tf.scatter_nd(
        tf.stack([row, positions - low], axis=2),
        whole,
        tf.stack([tf.constant(size, tf.int64), tf.reduce_max(positions) - low + 1]),
    )
    return matrix, low


def _area(
    length: tf.Tensor, new_length: tf.Tensor, outputs: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Weight = the part of output pixel [i, i + 1) * length / new_length that a source covers."""
    start, end = outputs * length, (outputs + 1) * length
    first = start // new_length
    positions = first + tf.range(length // new_length + 2)
    overlap = tf.minimum(end, (positions + 1) * new_length) - tf.maximum(
        start, positions * new_length
    )
    # A position without overlap must not widen the range of source pixels.
    positions = tf.where(overlap > 0, positions, first)
    overlap = tf.maximum(overlap, tf.zeros_like(overlap))
    return positions, tf.cast(overlap, tf.float64) / tf.cast(length, tf.float64)


def _cubic(
    length: tf.Tensor, new_length: tf.Tensor, outputs: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Four neighbours of the output pixel's centre, before the border is repeated."""
    scale = tf.cast(length, tf.float64) / tf.cast(new_length, tf.float64)
    centre = (tf.cast(outputs, tf.float64) + 0.5) * scale - 0.5
    positions = tf.floor(centre) + tf.constant([-1.0, 0.0, 1.0, 2.0], tf.float64)
    distance = tf.abs(centre - positions)
    a = CUBIC_A
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = a * (((distance - 5) * distance + 8) * distance - 4)
    return tf.cast(positions, tf.int64), tf.where(distance <= 1, near, far)
