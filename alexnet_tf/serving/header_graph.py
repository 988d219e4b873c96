"""What an image file is and whether it is decoded, from its header, in TensorFlow operations.

An exported network cannot trust its decoders: TensorFlow takes a BMP's palette for grey levels,
draws frames of a GIF that are smaller than its canvas wrongly, and writes beyond its buffer on
animated WebP. So each file is looked at before a decoder sees it, by the rules of
`data_prep.pixels.headers`; what TensorFlow would decode into other pixels than the converter is
refused.
"""

from __future__ import annotations

import tensorflow as tf

from alexnet_tf.serving import bytes_graph, exif_graph, jpeg_graph, webp_graph
from data_prep.pixels.headers import BMP_HEADER_BYTES, MAX_PNG_CHUNKS
from data_prep.pixels.limits import MAX_PIXELS

JPEG, PNG, GIF, BMP, WEBP, UNKNOWN = range(6)

# Bytes that all headers fit into.
_HEAD = 64
_GIF_END = b"\x3b"

NOT_AN_IMAGE = "not an image of a known kind"
EMPTY = "empty file"
WITHOUT_PIXELS = "an image without pixels"
TOO_LARGE = f"more than the {MAX_PIXELS:,} pixels that are decoded"
BMP_KIND = "BMP with a palette, 16 bits or compression: this model decodes 24 and 32 bits only"
BMP_PLACE = "BMP whose pixels begin within its header, which this model does not decode"
PNG_CHUNK = "truncated PNG (a chunk reaches beyond the end of the file)"
PNG_CHUNKS = f"PNG of more than {MAX_PNG_CHUNKS:,} chunks, which is not decoded"
GIF_FRAME = "GIF whose first frame does not fill its canvas, which this model does not decode"


def inspect(
    content: tf.Tensor, *, upright: bool = False
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Looks at the header of one file.

    Args:
        content: string, scalar.
        upright: whether the orientation is read; without it it is 1, as stored.

    Returns:
        kind: one of the constants above, int32.
        reason: why it is refused, string; empty: it is not.
        content: what the decoder shall see: without what follows the first picture.
        orientation: EXIF's, 1..8, int64.
    """
    padded = tf.strings.join([content, b"\0" * _HEAD])
    head = bytes_graph.vector(tf.strings.substr(padded, 0, _HEAD))
    stored = tf.constant(1, tf.int64)

    def starts(word: bytes, at: int = 0) -> tf.Tensor:
        return tf.equal(tf.strings.substr(padded, at, len(word)), word)

    def answer(kind, reason, height, width, cut=content, exif=None):
        sizes = [
            ((height < 1) | (width < 1), WITHOUT_PIXELS),
            (height * width > MAX_PIXELS, TOO_LARGE),
        ]
        reason = tf.where(tf.equal(reason, ""), bytes_graph.first_true(sizes), reason)
        turn = stored if exif is None else exif_graph.orientation(content, exif)
        return tf.constant(kind), reason, cut, turn

    def jpeg():
        reason, height, width, exif = jpeg_graph.inspect(content)
        return answer(JPEG, reason, height, width, exif=exif if upright else None)

    def png():
        width = bytes_graph.unsigned(head, 16, 4, big=True)
        height = bytes_graph.unsigned(head, 20, 4, big=True)
        reason, exif = _png(content)
        return answer(PNG, reason, height, width, exif=exif if upright else None)

    def gif():
        width, height = bytes_graph.unsigned(head, 6, 2), bytes_graph.unsigned(head, 8, 2)
        reason, end = _first_frame(bytes_graph.vector(content), head, height, width)
        # Of an animation the decoder would unpack all frames.
        cut = tf.strings.join([tf.strings.substr(content, 0, tf.cast(end, tf.int32)), _GIF_END])
        return answer(GIF, reason, height, width, cut)

    def bmp():
        reason, height, width, cut = _bmp(content, head)
        return answer(BMP, reason, height, width, cut)

    def webp():
        reason, height, width, has_exif = webp_graph.inspect(content, padded, head)
        exif = None
        if upright:
            nowhere = tf.constant(0, tf.int64)
            exif = tf.cond(has_exif, lambda: webp_graph.exif(content), lambda: nowhere)
        return answer(WEBP, reason, height, width, exif=exif)

    def other():
        reason = tf.where(tf.equal(content, ""), EMPTY, NOT_AN_IMAGE)
        return tf.constant(UNKNOWN), reason, content, stored

    return tf.case(
        [
            (starts(b"\xff\xd8"), jpeg),
            (starts(b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR"), png),
            (starts(b"GIF87a") | starts(b"GIF89a"), gif),
            (starts(b"BM"), bmp),
            (starts(b"RIFF") & starts(b"WEBP", 8), webp),
        ],
        default=other,
    )


def _first_frame(
    data: tf.Tensor, head: tf.Tensor, height: tf.Tensor, width: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Why a GIF is refused (string), and where its first picture's data ends (int64)."""

    def byte(at):
        return bytes_graph.unsigned(data, at, 1)

    def colours(flags):
        """Bytes of the colour table that these flags announce."""
        table = 3 * tf.bitwise.left_shift(tf.ones_like(flags), flags % 8 + 1)
        return tf.where(flags >= 128, table, tf.zeros_like(table))

    def past_blocks(position):
        """Behind the empty block that ends a series of them."""
        return 1 + _walk(lambda at: byte(at) > 0, lambda at: at + 1 + byte(at), position)

    begin = 13 + colours(bytes_graph.unsigned(head, 10, 1))
    # Extensions, such as comments and the delay of a frame, come before it.
    at = _walk(lambda at: tf.equal(byte(at), 0x21), lambda at: past_blocks(at + 2), begin)

    def frame():
        left, top = bytes_graph.unsigned(data, at + 1, 2), bytes_graph.unsigned(data, at + 3, 2)
        fills = tf.equal(left + top, 0)
        fills &= tf.equal(bytes_graph.unsigned(data, at + 5, 2), width)
        fills &= tf.equal(bytes_graph.unsigned(data, at + 7, 2), height)
        end = past_blocks(at + 11 + colours(byte(at + 9)))
        return bytes_graph.first_true([(tf.logical_not(fills), GIF_FRAME)]), end

    return tf.cond(
        tf.equal(byte(at), 0x2C), frame, lambda: (tf.constant("damaged GIF (no frame)"), at)
    )


def _bmp(content: tf.Tensor, head: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """Reason, height, width, and the content up to the end of the pixels."""
    begin = bytes_graph.unsigned(head, 10, 4)
    width, height = bytes_graph.signed(head, 18), tf.abs(bytes_graph.signed(head, 22))
    bits = bytes_graph.unsigned(head, 28, 2)
    decoded = tf.equal(bits, 24) | tf.equal(bits, 32)
    decoded &= tf.equal(bytes_graph.unsigned(head, 30, 4), 0)
    # The first kind of header, OS/2's, has smaller numbers, which TensorFlow does not read.
    decoded &= tf.reduce_any(tf.equal(bytes_graph.unsigned(head, 14, 4), BMP_HEADER_BYTES))
    within = begin < 14 + bytes_graph.unsigned(head, 14, 4)
    reason = bytes_graph.first_true([(tf.logical_not(decoded), BMP_KIND), (within, BMP_PLACE)])
    end = begin + (width * bits + 31) // 32 * 4 * height
    # The decoder refuses a file that is longer than its pixels.
    length = tf.strings.length(content)
    end = tf.cast(tf.clip_by_value(end, 0, tf.cast(length, tf.int64)), tf.int32)
    return reason, height, width, tf.strings.substr(content, 0, end)


def _png(content: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Why a PNG is refused (string), and where its EXIF block begins (int64; 0: it has none).

    libpng takes as much memory as a chunk claims to have, up to 2 GB, before it reads it.
    """
    data = bytes_graph.vector(content)
    size = tf.cast(tf.strings.length(content), tf.int64)
    zero = tf.constant(0, tf.int64)

    def chunk(at):
        """Whether it is one before the end, whether the file holds all of it, where it ends."""

        def look():
            end = at + 12 + bytes_graph.unsigned(data, at, 4, big=True)
            before_end = tf.not_equal(bytes_graph.text(content, at + 4, 4), b"IEND")
            return before_end, end <= size, end

        nothing = (tf.constant(False), tf.constant(False), at)
        return tf.cond(at + 8 <= size, look, lambda: nothing)

    def step(at, exif, before_end, whole, end):
        is_exif = tf.equal(exif, 0) & tf.equal(bytes_graph.text(content, at + 4, 4), b"eXIf")
        return end, tf.where(is_exif, at + 8, exif), *chunk(end)

    begin = tf.constant(8, tf.int64)
    _, exif, before_end, whole, _ = tf.while_loop(
        lambda at, exif, before_end, whole, end: before_end & whole,
        step, (begin, zero, *chunk(begin)),
        maximum_iterations=MAX_PNG_CHUNKS, parallel_iterations=1,
    )  # fmt: skip
    reason = bytes_graph.first_true(
        [(before_end & tf.logical_not(whole), PNG_CHUNK), (before_end & whole, PNG_CHUNKS)]
    )
    return reason, exif


def _walk(goes_on, step, begin: tf.Tensor, most: int | None = None) -> tf.Tensor:
    """The first place from `begin` on, by steps, where `goes_on` does not hold: int64."""
    return tf.while_loop(
        goes_on, lambda at: (step(at),), (begin,), maximum_iterations=most, parallel_iterations=1
    )[0]
