"""Numbers and texts at places of a byte string, in TensorFlow operations.

A place outside of the data is an error of the row (`tf.errors.InvalidArgumentError`).
"""

from __future__ import annotations

import tensorflow as tf


def vector(content: tf.Tensor) -> tf.Tensor:
    """A string's bytes, uint8 [n]."""
    return tf.io.decode_raw(content, tf.uint8)


def unsigned(data: tf.Tensor, at: tf.Tensor | int, length: int, *, big: bool = False) -> tf.Tensor:
    """The unsigned number of `length` bytes at `at`, int64; little-endian unless `big`."""
    parts = tf.cast(tf.gather(data, at + tf.range(length, dtype=tf.int64)), tf.int64)
    powers = [256**index for index in range(length)]
    return tf.reduce_sum(parts * tf.constant(powers[::-1] if big else powers, tf.int64))


def signed(data: tf.Tensor, at: tf.Tensor | int) -> tf.Tensor:
    """The signed little-endian number of 4 bytes at `at`, int64."""
    value = unsigned(data, at, 4)
    return tf.where(value >= 1 << 31, value - (1 << 32), value)


def text(content: tf.Tensor, at: tf.Tensor | int, length: int) -> tf.Tensor:
    """`length` bytes of a string from `at`, string."""
    return tf.strings.substr(content, tf.cast(at, tf.int32), length)


def first_true(cases: list[tuple[tf.Tensor, str]]) -> tf.Tensor:
    """The text of the first condition that holds, or an empty one: string, scalar."""
    reason = tf.constant("")
    for condition, words in reversed(cases):
        reason = tf.where(condition, words, reason)
    return reason
