"""The markers of a JPEG file, walked in TensorFlow operations.

The same rules as `data_prep.pixels.jpeg`, which a test holds the two to: anything may follow the
end mark, a file without one is cut off, and only frames that libjpeg decodes pass.
Source: ITU-T T.81, annex B; CIPA DC-008 (EXIF) for the orientation.
"""

from __future__ import annotations

from typing import NamedTuple

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


class _Found(NamedTuple):
    """What the markers up to a place in the file say.

    Attributes:
        position: int64, behind the last marker segment.
        frame: int64 [4]: height, width, whether progressive, whether decoded; -1: no frame yet.
        scans: int64, how many began.
        exif: int64, where the TIFF structure of the EXIF block begins; 0: there was none.
        reason: string, why the file is refused; empty: it is not.
        done: bool; whether that is the end.
    """

    position: tf.Tensor
    frame: tf.Tensor
    scans: tf.Tensor
    exif: tf.Tensor
    reason: tf.Tensor
    done: tf.Tensor


def inspect(content: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Walks a JPEG file from its beginning to its end mark.

    Args:
        content: string, scalar.

    Returns:
        Why it is refused (string, empty: it is not), height and width (int64), and where its EXIF
        block's TIFF structure begins (int64; 0: it has none).
    """
    walk = _Walk(content)
    zero = tf.constant(0, tf.int64)
    start = _Found(
        position=zero + 2,
        frame=tf.constant([-1, -1, 0, 0], tf.int64),
        scans=zero,
        exif=zero,
        reason=tf.constant(""),
        done=tf.constant(False),
    )
    end = _Found(*tf.while_loop(lambda *found: tf.logical_not(found[-1]), walk.step, start))
    return end.reason, end.frame[0], end.frame[1], end.exif


class _Walk:
    """The bytes of a file, and its markers."""

    def __init__(self, content: tf.Tensor):
        self._content = content
        self._data = bytes_graph.vector(content)
        # Of every byte the next one, which is a marker's code behind 0xFF.
        self._codes = tf.concat([tf.cast(self._data[1:], tf.int32), [0]], 0)
        is_marker = tf.equal(self._data, 0xFF) & tf.logical_not(_is_any(self._codes, _PASSED_OVER))
        self._markers = tf.where(is_marker)[:, 0]

    def step(self, *fields: tf.Tensor) -> _Found:
        """Past the next marker and its segment."""
        found = _Found(*fields)
        index = tf.searchsorted(self._markers, found.position[None], out_type=tf.int64)[0]
        end = found._replace(done=tf.constant(True))

        def at_marker() -> _Found:
            place = self._markers[index]
            code = self._codes[place]
            return tf.cond(
                tf.equal(code, _END_OF_IMAGE),
                lambda: end._replace(reason=_at_the_end(found.frame, found.scans)),
                lambda: self._segment(found, place + 2, code),
            )

        return tf.cond(
            index >= tf.shape(self._markers, out_type=tf.int64)[0],
            lambda: end._replace(reason=tf.constant(TRUNCATED)),
            at_marker,
        )

    def _segment(self, found: _Found, body: tf.Tensor, code: tf.Tensor) -> _Found:
        """What the segment at `body` adds, which begins with its length."""
        length = bytes_graph.unsigned(self._data, body, 2, big=True)
        begins_frame = _is_any(code, _STARTS_OF_FRAME) & (found.frame[0] < 0)
        frame = tf.cond(begins_frame, lambda: _frame(self._data, body, code), lambda: found.frame)
        begins_scan = tf.equal(code, _START_OF_SCAN)
        scans = found.scans + tf.cast(begins_scan, tf.int64)
        too_many = begins_scan & (frame[2] > 0) & (scans > SCANS_ALWAYS_FREE)
        too_many &= scans * frame[0] * frame[1] > MAX_SCANNED_PIXELS
        reason = bytes_graph.first_true(
            [
                (length < 2, DAMAGED),
                (begins_scan & (frame[0] < 0), DAMAGED),
                (begins_frame & tf.equal(frame[3], 0), UNSUPPORTED),
                (too_many, TOO_MANY_SCANS),
            ]
        )
        # The first block counts.
        begins_exif = tf.equal(code, _APP1) & tf.equal(found.exif, 0) & (length >= 8)
        is_exif = tf.cond(begins_exif, lambda: self._is_exif(body), lambda: begins_exif)
        return _Found(
            position=body + length,
            frame=frame,
            scans=scans,
            exif=tf.where(is_exif, body + 8, found.exif),
            reason=reason,
            done=tf.not_equal(reason, ""),
        )

    def _is_exif(self, body: tf.Tensor) -> tf.Tensor:
        """Whether the segment at `body` has "Exif", two zeros, then a TIFF structure."""
        return tf.equal(bytes_graph.text(self._content, body + 2, 6), b"Exif\0\0")


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
