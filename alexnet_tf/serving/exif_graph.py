"""The orientation in an EXIF block, read and applied in TensorFlow operations.

The same rules as `data_prep.pixels.exif`, which a test holds the two to.
"""

from __future__ import annotations

import tensorflow as tf

from alexnet_tf.serving import bytes_graph

_TAG = 0x0112
# More than the block of a JPEG can have.
_MAX_BYTES = 1 << 16
# An entry of a directory, and a directory whose offset is damaged.
_BEYOND = 16


def orientation(content: tf.Tensor, begin: tf.Tensor) -> tf.Tensor:
    """The orientation 1..8, int64; 1 (as stored) where there is none or the block is damaged.

    Args:
        content: the file, string, scalar.
        begin: where the block's TIFF structure begins, int64; 0: there is no block.
    """
    block = tf.strings.substr(content, tf.cast(begin, tf.int32), _MAX_BYTES)
    data = bytes_graph.vector(block)
    size = tf.shape(data, out_type=tf.int64)[0]
    # Padded, and places kept inside: what a damaged block points at reads as zeros.
    data = tf.concat([data, tf.zeros([_BEYOND], tf.uint8)], 0)
    order = bytes_graph.text(tf.strings.join([block, b"\0\0"]), 0, 2)
    big = tf.equal(order, b"MM")

    def number(at: tf.Tensor, length: int) -> tf.Tensor:
        at = tf.minimum(at, size)
        return tf.where(
            big,
            bytes_graph.unsigned(data, at, length, big=True),
            bytes_graph.unsigned(data, at, length, big=False),
        )

    directory = number(tf.constant(4, tf.int64), 4)
    # No more entries than fit into the block.
    count = tf.minimum(number(directory, 2), size // 12)

    def is_other(entry: tf.Tensor) -> tf.Tensor:
        return (entry < count) & tf.not_equal(number(directory + 2 + 12 * entry, 2), _TAG)

    entry = tf.while_loop(is_other, lambda entry: (entry + 1,), (tf.constant(0, tf.int64),))[0]
    at = directory + 2 + 12 * entry
    kind = number(at + 2, 2)
    value = tf.where(
        tf.equal(kind, 3),
        number(at + 8, 2),
        tf.where(tf.equal(kind, 1), number(at + 8, 1), number(at + 8, 4)),
    )
    valid = (begin > 0) & (big | tf.equal(order, b"II"))
    valid &= (entry < count) & (at + 12 <= size)
    valid &= tf.equal(kind, 1) | tf.equal(kind, 3) | tf.equal(kind, 4)
    valid &= tf.equal(number(at + 4, 4), 1) & (value >= 1) & (value <= 8)
    return tf.where(valid, value, tf.ones_like(value))


def upright(pixels: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    """Turns stored pixels [height, width, 3] the way that an orientation of 1..8 asks for."""

    def is_any(*values: int) -> tf.Tensor:
        return tf.reduce_any(tf.equal(value, tf.constant(values, tf.int64)))

    # Stored rows are the scene's columns.
    pixels = tf.cond(value >= 5, lambda: tf.transpose(pixels, [1, 0, 2]), lambda: pixels)
    now = pixels
    pixels = tf.cond(is_any(3, 4, 7, 8), lambda: tf.reverse(now, [0]), lambda: now)
    turned = pixels
    return tf.cond(is_any(2, 3, 6, 7), lambda: tf.reverse(turned, [1]), lambda: turned)
