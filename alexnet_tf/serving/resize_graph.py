"""Bytes of image files to the converter's square pixels, in TensorFlow operations only.

`data_prep.pixels` defines how an image becomes a square: the exact inverse DCT, shorter side to
`size`, area filter when shrinking and cubic when enlarging, central square at the floored offset.
Here the same rule is a graph, so that an exported model treats a file as the converter treated
those it was trained on. Both compute with integer weights in exact arithmetic, so their pixels are
equal, bit by bit.
"""

from __future__ import annotations

import tensorflow as tf

# As in data_prep.pixels.resize: these fix the rule, and a test holds the two equal.
WEIGHT_BITS = 15
CUBIC_A = -0.75

_PNG = b"\x89PNG"


def squares(contents: tf.Tensor, size: int) -> tf.Tensor:
    """Decodes and resizes a batch of image files.

    Args:
        contents: string [B], each the content of a JPEG, PNG, BMP or GIF file (its first frame),
            or of a WebP where this TensorFlow decodes it. What a file is, its content says.
        size: side of the squares in pixels.

    Returns:
        uint8 [B, size, size, 3], RGB.

    Raises:
        tf.errors.InvalidArgumentError: when run, if one of them is no image or is damaged.
    """
    # The decoders run on CPUs only, and a GPU's matrix products are not exact (TensorFloat-32).
    with tf.device("/CPU:0"):
        return tf.map_fn(
            lambda content: central_square(decode(content), size),
            contents,
            fn_output_signature=tf.TensorSpec([size, size, 3], tf.uint8),
            # Bounds the memory: an image of 12 million pixels takes 150 MB while it is resized.
            parallel_iterations=4,
        )


def decode(content: tf.Tensor) -> tf.Tensor:
    """Decodes one image file to uint8 [height, width, 3], RGB.

    Grey, CMYK and YCCK become RGB, transparency is dropped, EXIF orientation is ignored.
    """
    is_jpeg = tf.equal(tf.strings.substr(content, 0, 2), b"\xff\xd8")
    is_png = tf.equal(tf.strings.substr(content, 0, 4), _PNG)
    pixels = tf.case(
        [
            (
                is_jpeg,
                lambda: tf.io.decode_jpeg(content, channels=3, dct_method="INTEGER_ACCURATE"),
            ),
            (is_png, lambda: tf.io.decode_png(content, channels=3)),
        ],
        default=lambda: _decode_other(content),
    )
    return tf.ensure_shape(pixels, [None, None, 3])


def _decode_other(content: tf.Tensor) -> tf.Tensor:
    """BMP and GIF, and the error for what is none; BMP may have 1 or 4 channels."""
    pixels = tf.io.decode_image(content, channels=0, expand_animations=False)
    pixels = tf.ensure_shape(pixels, [None, None, None])
    grey = tf.equal(tf.shape(pixels)[2], 1)
    return tf.cond(grey, lambda: tf.repeat(pixels, 3, axis=2), lambda: pixels[:, :, :3])


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
    flat = tf.reshape(tf.cast(source, tf.float32), [_length(rows), -1])
    narrow = tf.matmul(tf.cast(rows, tf.float32), flat)
    narrow = tf.reshape(tf.cast(narrow, tf.float64), [size, -1, 3])
    summed = tf.einsum("oj,ijc->ioc", columns, narrow)
    result = tf.floor(summed * 0.5 ** (2 * WEIGHT_BITS) + 0.5)
    result = tf.cast(tf.clip_by_value(result, 0.0, 255.0), tf.uint8)
    return tf.ensure_shape(result, [size, size, 3])


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
