"""The markers of a JPEG file, walked in TensorFlow operations.

The same rules as `data_prep.pixels.jpeg`, which a test holds the two to: anything may follow the
end mark, a file without one is cut off, and only frames that libjpeg decodes pass.
Source: ITU-T T.81, annex B; CIPA DC-008 (EXIF) for the orientation.
"""

from __future__ import annotations

import tensorflow as tf

from alexnet_tf.serving import bytes_graph
from data_prep.pixels.jpeg import MAX_SCANNED_PIXELS, SCANS_ALWAYS_FREE

_START_OF_SCAN, _END_OF_IMAGE, _APP1 = 0xDA, 0xD9, 0xE1
# Markers without a length, which are passed over: 01, the restarts, and the start of an image.
_PASSED_OVER = (0x00, 0x01, *range(0xD0, 0xD9), 0xFF)
_STARTS_OF_FRAME = tuple(c for c in range(0xC0, 0xD0) if c not in (0xC4, 0xC8, 0xCC))
_DECODED_FRAMES = (0xC0, 0xC1, 0xC2, 0xC9, 0xCA)
_PROGRESSIVE_FRAMES = (0xC2, 0xCA)

TRUNCATED = "truncated JPEG (no end-of-image mark)"
DAMAGED = "damaged JPEG"
UNSUPPORTED = (
    "JPEG of a kind that is not decoded (lossless, hierarchical, not 8 bits, 2 components)"
)
TOO_MANY_SCANS = "progressive JPEG of too many scans"


def inspect(content: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Walks a JPEG file from its beginning to its end mark.

    Args:
        content: string, scalar.

    Returns:
        Why it is refused (string, empty: it is not), height and width (int64), and where its EXIF
        block's TIFF structure begins (int64; 0: it has none).
    """
    data = bytes_graph.vector(content)
    codes = tf.concat([tf.cast(data[1:], tf.int32), [0]], 0)
    is_marker = tf.equal(data, 0xFF) & tf.logical_not(_is_any(codes, _PASSED_OVER))
    markers = tf.where(is_marker)[:, 0]
    count = tf.shape(markers, out_type=tf.int64)[0]

    def one_marker(position, frame, scans, exif, reason, done):
        index = tf.searchsorted(markers, position[None], out_type=tf.int64)[0]

        def at_end():
            return position, frame, scans, exif, tf.constant(TRUNCATED), tf.constant(True)

        def at_marker():
            place = markers[index]
            code = codes[place]
            is_end = tf.equal(code, _END_OF_IMAGE)
            return tf.cond(
                is_end,
                lambda: (
                    position,
                    frame,
                    scans,
                    exif,
                    _at_the_end(frame, scans),
                    tf.constant(True),
                ),
                lambda: segment(place + 2, code),
            )

        def segment(body, code):
            length = bytes_graph.unsigned(data, body, 2, big=True)
            seen = frame[0] >= 0
            begins_frame = _is_any(code, _STARTS_OF_FRAME) & tf.logical_not(seen)
            begins_scan = tf.equal(code, _START_OF_SCAN)
            new_frame = tf.cond(begins_frame, lambda: _frame(data, body, code), lambda: frame)
            # "Exif", two zeros, then a TIFF structure.
            is_exif = tf.equal(code, _APP1) & tf.equal(exif, 0) & (length >= 8)
            is_exif &= tf.cond(
                is_exif,
                lambda: tf.equal(bytes_graph.text(content, body + 2, 6), b"Exif\0\0"),
                lambda: tf.constant(False),
            )
            new_scans = scans + tf.cast(begins_scan, tf.int64)
            scanned = new_scans * new_frame[0] * new_frame[1]
            too_many = (
                begins_scan
                & (new_frame[2] > 0)
                & (new_scans > SCANS_ALWAYS_FREE)
                & (scanned > MAX_SCANNED_PIXELS)
            )
            why = bytes_graph.first_true(
                [
                    (length < 2, DAMAGED),
                    (begins_scan & (new_frame[0] < 0), DAMAGED),
                    (begins_frame & tf.equal(new_frame[3], 0), UNSUPPORTED),
                    (too_many, TOO_MANY_SCANS),
                ]
            )
            return (
                body + length,
                new_frame,
                new_scans,
                tf.where(is_exif, body + 8, exif),
                why,
                tf.not_equal(why, ""),
            )

        return tf.cond(index >= count, at_end, at_marker)

    zero = tf.constant(0, tf.int64)
    # Height, width, whether progressive, whether decoded; -1: no frame yet.
    frame = tf.constant([-1, -1, 0, 0], tf.int64)
    start = (zero + 2, frame, zero, zero, tf.constant(""), tf.constant(False))
    _, frame, _, exif, reason, _ = tf.while_loop(
        lambda *state: tf.logical_not(state[-1]), one_marker, start
    )
    return reason, frame[0], frame[1], exif


def _at_the_end(frame: tf.Tensor, scans: tf.Tensor) -> tf.Tensor:
    return bytes_graph.first_true([((frame[0] < 0) | tf.equal(scans, 0), DAMAGED)])


def _frame(data: tf.Tensor, body: tf.Tensor, code: tf.Tensor) -> tf.Tensor:
    """Height, width, whether progressive, whether decoded, of the frame header at `body`."""
    bits = bytes_graph.unsigned(data, body + 2, 1)
    height = bytes_graph.unsigned(data, body + 3, 2, big=True)
    width = bytes_graph.unsigned(data, body + 5, 2, big=True)
    components = tf.cast(bytes_graph.unsigned(data, body + 7, 1), tf.int32)
    decoded = _is_any(code, _DECODED_FRAMES) & tf.equal(bits, 8) & _is_any(components, (1, 3, 4))
    progressive = _is_any(code, _PROGRESSIVE_FRAMES)
    return tf.stack([height, width, tf.cast(progressive, tf.int64), tf.cast(decoded, tf.int64)])


def _is_any(value: tf.Tensor, choices: tuple[int, ...]) -> tf.Tensor:
    """Whether each byte (int32) is one of `choices`."""
    table = [code in choices for code in range(256)]
    return tf.gather(tf.constant(table), value)
