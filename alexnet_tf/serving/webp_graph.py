"""The header and the chunks of a WebP, in TensorFlow operations, by `data_prep.pixels.webp`."""

from __future__ import annotations

import tensorflow as tf

from alexnet_tf.serving import bytes_graph
from data_prep.pixels import webp

KIND = "WebP with transparency or of several frames, which this model does not decode"
UNKNOWN_CHUNK = "damaged WebP (unknown first chunk)"


def inspect(content: tf.Tensor, padded: tf.Tensor, head: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """Looks at the header of a WebP.

    Args:
        content: string, scalar.
        padded: the same with zeros behind it.
        head: its first bytes, uint8.

    Returns:
        reason: why it is refused, string; empty: it is not.
        height: in pixels, int64.
        width: in pixels, int64.
        has_exif: bool; whether the header announces an EXIF chunk.
    """
    first = tf.strings.substr(padded, webp.FIRST_CHUNK, 4)
    no = tf.constant(False)

    def extended():
        flags = bytes_graph.unsigned(head, 20, 1)
        width, height = bytes_graph.unsigned(head, 24, 3), bytes_graph.unsigned(head, 27, 3)
        announced = _has(flags, webp.ANIMATION) | _has(flags, webp.ALPHA)
        reason = tf.cond(announced, lambda: tf.constant(KIND), lambda: _chunks(content, flags))
        return reason, height + 1, width + 1, _has(flags, webp.EXIF)

    def lossless():
        bits = bytes_graph.unsigned(head, 21, 4)
        reason = bytes_graph.first_true([(_has(bits, 1 << 28), KIND)])
        return reason, (bits // (1 << 14)) % (1 << 14) + 1, bits % (1 << 14) + 1, no

    def lossy():
        width, height = bytes_graph.unsigned(head, 26, 2), bytes_graph.unsigned(head, 28, 2)
        return tf.constant(""), height % (1 << 14), width % (1 << 14), no

    def other():
        one = tf.constant(1, tf.int64)
        return tf.constant(UNKNOWN_CHUNK), one, one, no

    return tf.case(
        [
            (tf.equal(first, b"VP8X"), extended),
            (tf.equal(first, b"VP8L"), lossless),
            (tf.equal(first, b"VP8 "), lossy),
        ],
        default=other,
    )


def exif(content: tf.Tensor) -> tf.Tensor:
    """Where the TIFF structure of a WebP's EXIF chunk begins, int64; 0: it has none."""
    data = bytes_graph.vector(content)
    size = tf.cast(tf.strings.length(content), tf.int64)

    def is_other(at):
        look = lambda: tf.not_equal(bytes_graph.text(content, at, 4), b"EXIF")  # noqa: E731
        return tf.cond(at + 8 <= size, look, lambda: tf.constant(False))

    begin = tf.constant(webp.FIRST_CHUNK, tf.int64)
    at = tf.while_loop(
        is_other, lambda at: (_behind(data, at),), (begin,),
        maximum_iterations=webp.MAX_CHUNKS, parallel_iterations=1,
    )[0]  # fmt: skip
    there = (at + 8 <= size) & tf.logical_not(is_other(at))
    begin = tf.where(there, at + 8, tf.zeros_like(at))
    padded = tf.strings.join([content, b"\0" * 8])
    prefixed = tf.equal(bytes_graph.text(padded, begin, 6), b"Exif\0\0")
    return tf.where(there & prefixed, begin + 6, begin)


def _chunks(content: tf.Tensor, flags: tf.Tensor) -> tf.Tensor:
    """Why a still picture without alpha in its flags is refused by its chunks: string."""
    data = bytes_graph.vector(content)
    size = tf.cast(tf.strings.length(content), tf.int64)
    end = 8 + bytes_graph.unsigned(data, 4, 4)

    def step(at, alpha, pictures, headers, others):
        name = bytes_graph.text(content, at, 4)

        def more(count, *names):
            return count + tf.reduce_sum(tf.cast(tf.equal(name, list(names)), tf.int64))

        return (
            _behind(data, at), more(alpha, b"ALPH"), more(pictures, *webp.PICTURES),
            more(headers, b"VP8X"), more(others, *webp.NOT_IN_A_STILL),
        )  # fmt: skip

    none = tf.constant(0, tf.int64)
    at, alpha, pictures, headers, others = tf.while_loop(
        lambda at, *_: (at + 8 <= end) & (end <= size), step,
        (tf.constant(webp.FIRST_CHUNK, tf.int64), none, none, none, none),
        maximum_iterations=webp.MAX_CHUNKS, parallel_iterations=1,
    )  # fmt: skip
    announced = tf.equal(pictures, 1) & tf.equal(headers, 1) & tf.equal(others, 0)
    known = tf.equal(tf.bitwise.bitwise_and(flags, ~webp.ALL_FLAGS), 0)
    return bytes_graph.first_true(
        [
            (alpha > 0, KIND),
            ((at + 8 <= end) & (end <= size), webp.TOO_MANY_CHUNKS),
            (tf.not_equal(at, end) | (end > size), webp.CUT_CHUNK),
            (tf.logical_not(announced & known), webp.OTHER_CHUNKS),
        ]
    )


def _has(flags: tf.Tensor, flag: int) -> tf.Tensor:
    return tf.equal(flags // flag % 2, 1)


def _behind(data: tf.Tensor, at: tf.Tensor) -> tf.Tensor:
    """Where the chunk that begins at `at` ends; odd ones are filled up by a byte."""
    length = bytes_graph.unsigned(data, at + 4, 4)
    return at + 8 + length + length % 2
