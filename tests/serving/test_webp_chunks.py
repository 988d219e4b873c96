"""Extended WebPs whose chunks are not those that the header announces: one answer everywhere.

Pillow's decoder refuses most of them, TensorFlow's shows the first picture that it finds.
"""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image, features

from data_prep.pixels import headers, images, webp
from data_prep.pixels.errors import ImageError

pytestmark = pytest.mark.skipif(not features.check("webp"), reason="this Pillow has no WebP")

SIZE = 16


def chunk(name: bytes, content: bytes, length: int | None = None) -> bytes:
    head = name + struct.pack("<I", len(content) if length is None else length)
    return head + content + b"\0" * (len(content) % 2)


def picture() -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "WEBP", lossless=True)
    return buffer.getvalue()[12:]


def header(flags: int = 0) -> bytes:
    sides = struct.pack("<I", 31)[:3] + struct.pack("<I", 23)[:3]
    return chunk(b"VP8X", bytes([flags, 0, 0, 0]) + sides)


def file(*chunks: bytes, more: int = 0) -> bytes:
    """`more` bytes are announced, but not there."""
    content = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(content) + more) + content


PICTURE = picture()
TURNED = chunk(b"EXIF", b"MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0")
EMPTY_FRAME = chunk(b"ANMF", b"")
WHOLE = {
    "nothing else": file(header(), PICTURE),
    "a chunk of nobody before it": file(header(), chunk(b"abcd", b"odd"), PICTURE),
    "chunks of nobody behind it": file(header(), PICTURE, *[chunk(b"\0\0\0\0", b"")] * 9),
    "as many chunks as are looked at": file(
        header(), PICTURE, *[chunk(b"abcd", b"")] * (webp.MAX_CHUNKS - 2)
    ),
    "all flags but two": file(header(0x2C), PICTURE),
    "what follows the file": file(header(), PICTURE) + b"garbage",
}
REFUSED = {
    "a frame behind it": (file(header(), PICTURE, EMPTY_FRAME), webp.OTHER_CHUNKS),
    "a frame before it": (file(header(), EMPTY_FRAME, PICTURE), webp.OTHER_CHUNKS),
    "an animation": (file(header(), chunk(b"ANIM", bytes(6)), PICTURE), webp.OTHER_CHUNKS),
    "two pictures": (file(header(), PICTURE, PICTURE), webp.OTHER_CHUNKS),
    "no picture": (file(header(), TURNED), webp.OTHER_CHUNKS),
    "two headers": (file(header(), header(), PICTURE), webp.OTHER_CHUNKS),
    "an unknown flag": (file(header(0x40), PICTURE), webp.OTHER_CHUNKS),
    "a chunk that is cut off": (file(header(), PICTURE, TURNED)[:-9], webp.CUT_CHUNK),
    "a chunk that is too long": (
        file(header(), PICTURE, chunk(b"abcd", b"xx", 4_000_000_000)), webp.CUT_CHUNK,
    ),
    "a byte too many": (file(header(), PICTURE, b"x"), webp.CUT_CHUNK),
    "seven bytes too many": (file(header(), PICTURE, b"EXIF\1\0\0"), webp.CUT_CHUNK),
    "a file that ends too early": (file(header(), PICTURE, more=8), webp.CUT_CHUNK),
    "a chunk too many": (
        file(header(), PICTURE, *[chunk(b"abcd", b"")] * (webp.MAX_CHUNKS - 1)),
        webp.TOO_MANY_CHUNKS,
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def squares():
    tf = pytest.importorskip("tensorflow")
    from alexnet_tf.serving import decode_graph

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
    def stored(contents):
        return decode_graph.squares(contents, SIZE)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
    def upright(contents):
        return decode_graph.squares(contents, SIZE, upright=True)

    def run(contents, orientation="ignore"):
        found, reasons = (upright if orientation == "apply" else stored)(tf.constant(contents))
        return found.numpy(), [reason.decode() for reason in reasons.numpy()]

    return run


def test_what_is_whole_is_decoded_everywhere(squares):
    found, reasons = squares(list(WHOLE.values()))
    expected, _ = images.square(file(PICTURE), SIZE)
    for name, content in WHOLE.items():
        assert np.array_equal(images.square(content, SIZE)[0], expected), name
    if any("this TensorFlow does not decode" in reason for reason in reasons):
        pytest.skip("this TensorFlow does not decode WebP")
    assert reasons == [""] * len(WHOLE)
    for name, square in zip(WHOLE, found, strict=True):
        assert np.array_equal(square, expected), name


def test_what_is_not_is_refused_everywhere_for_one_reason(squares):
    _, reasons = squares([content for content, _ in REFUSED.values()])
    for (name, (content, reason)), of_the_graph in zip(REFUSED.items(), reasons, strict=True):
        assert of_the_graph == reason, name
        with pytest.raises(ImageError) as error:
            images.square(content, SIZE)
        assert str(error.value) == reason, name


def test_an_alpha_chunk_is_transparency_whatever_the_flags_say(squares):
    content = file(header(), chunk(b"ALPH", bytes([0]) + b"\x80" * (24 * 32)), PICTURE)
    found = headers.inspect(content)
    assert found.channels == 4 and not found.in_tensorflow
    assert "WebP with transparency" in squares([content])[1][0]


def test_an_orientation_counts_where_the_header_announces_it(squares):
    """Also in what the graph reads: a picture of 24x32 that is turned is one of 32x24."""
    contents = [
        file(header(flags), PICTURE, chunk(b"abcd", b"odd"), TURNED) for flags in (0x08, 0)
    ] + [file(PICTURE, TURNED)]
    assert [headers.inspect(content).orientation for content in contents] == [6, 1, 1]
    found, reasons = squares(contents, "apply")
    if any("this TensorFlow does not decode" in reason for reason in reasons):
        pytest.skip("this TensorFlow does not decode WebP")
    assert reasons == ["", "", ""]
    for content, square in zip(contents, found, strict=True):
        assert np.array_equal(images.square(content, SIZE, "apply")[0], square)
    assert not np.array_equal(found[0], found[1]) and np.array_equal(found[1], found[2])
