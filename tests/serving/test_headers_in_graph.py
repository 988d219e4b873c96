"""Files that a graph must not decode, or decode as the converter does: the answer is per row."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image, features

from data_prep.pixels import headers, images
from data_prep.pixels.errors import ImageError
from tests.helpers import rare_jpegs

SIZE = 32


def pixels(height: int = 40, width: int = 60, channels: int = 3) -> np.ndarray:
    random = np.random.default_rng([height, width, channels])
    return random.integers(0, 256, (height, width, channels), np.uint8)


def encoded(array: np.ndarray, kind: str, mode: str = "RGB", **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def bmp(bits: int, compression: int = 0, header: int = 40, top_down: bool = False) -> bytes:
    """A BMP of 60x40 random bytes."""
    height, width = 40, 60
    body = pixels(height, (width * bits + 31) // 32 * 4, 1).tobytes()
    if header == 12:
        fields = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        signed = -height if top_down else height
        fields = struct.pack(
            "<IiiHHIIiiII", header, width, signed, 1, bits, compression, len(body), 0, 0, 0, 0
        )
    colours = bytes(range(256)) * 4 if bits <= 8 else b""
    masks = struct.pack("<III", 0x7C00, 0x3E0, 0x1F) if compression == 3 else b""
    extra = b"\0" * (header - len(fields))
    start = 14 + header + len(masks) + len(colours[: 4 << bits])
    head = b"BM" + struct.pack("<IHHI", start + len(body), 0, 0, start)
    return head + fields + extra + masks + colours[: 4 << bits] + body


def gif(
    frame_size: tuple[int, int], canvas: tuple[int, int], at: tuple[int, int] = (0, 0)
) -> bytes:
    """A GIF whose frame of `frame_size` lies at `at` on a `canvas`; width before height."""
    data = bytearray(encoded(pixels(frame_size[1], frame_size[0]), "GIF", mode="P"))
    data[6:10] = struct.pack("<HH", *canvas)
    place = data.index(b"," + struct.pack("<HHHH", 0, 0, *frame_size))
    data[place + 1 : place + 5] = struct.pack("<HH", *at)
    return bytes(data)


def frames(kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    pictures = [Image.fromarray(pixels(40, 60 + n)[:, :60]) for n in range(3)]
    pictures[0].save(buffer, kind, save_all=True, append_images=pictures[1:], **options)
    return buffer.getvalue()


def png_of_size(width: int, height: int) -> bytes:
    """A small PNG that says it is large."""
    data = bytearray(encoded(pixels(), "PNG"))
    data[16:24] = struct.pack(">II", width, height)
    return bytes(data)


def png_with(chunks: bytes, end: bytes | None = None) -> bytes:
    """A PNG with `chunks` behind its header chunk, and then, if not its own rest, `end`."""
    data = encoded(pixels(), "PNG")
    return data[:33] + chunks + (data[33:] if end is None else end)


def jpeg_of_size(width: int, height: int) -> bytes:
    data = bytearray(encoded(pixels(), "JPEG"))
    place = data.index(b"\xff\xc0")
    data[place + 5 : place + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def many_scans() -> bytes:
    """A progressive JPEG of 8000x8000 pixels with its last scan a hundred times."""
    data = encoded(np.zeros((8000, 8000), np.uint8), "JPEG", mode="L", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * 100 + data[-2:]


JPEG = encoded(pixels(), "JPEG")
TAIL = JPEG.index(b"\xff\xda")

# Decoded: the pixels must be the converter's.
GOOD = {
    "bytes behind a JPEG, with marks in them": JPEG + b"\0\xff\xd8\xff\xda" * 9,
    "JPEG in arithmetic coding": rare_jpegs.ARITHMETIC,
    "progressive JPEG in arithmetic coding": rare_jpegs.PROGRESSIVE_ARITHMETIC,
    "restart marks": encoded(pixels(), "JPEG", restart_marker_blocks=1),
    "fill bytes before a mark": JPEG[:TAIL] + b"\xff\xff" + JPEG[TAIL:],
    "a comment of zeros and marks": JPEG[:2] + b"\xff\xfe\0\x08\xff\xd9\xff\xda\0\0" + JPEG[2:],
    "BMP of 24 bits": bmp(24),
    "BMP of 24 bits, top row first": bmp(24, top_down=True),
    "BMP of 32 bits": bmp(32),
    "BMP with a long header": bmp(24, header=124),
    "bytes behind a BMP": bmp(24) + b"more",
    "GIF": gif((60, 40), (60, 40)),
    "animated GIF": frames("GIF"),
    "PNG of 16 bits": encoded(pixels(40, 60, 1)[:, :, 0].astype(np.uint16) * 257, "PNG", "I;16"),
    "PNG of 1 bit": encoded(pixels(), "PNG", mode="1"),
    "animated PNG": frames("PNG"),
}
# Refused: the graph's words, and whether the converter refuses it too.
BAD = {
    "nothing": (b"", "empty file", True),
    "one byte": (b"\xff", "not an image", True),
    "text": (b"these are words", "not an image", True),
    "signature alone": (b"\xff\xd8", "truncated JPEG", True),
    "JPEG of garbage": (b"\xff\xd8\xff\xe0" + b"garbage" * 20, "truncated JPEG", True),
    "JPEG without its end": (JPEG[:-2], "truncated JPEG", True),
    "JPEG cut in the scan": (JPEG[:-200], "truncated JPEG", True),
    "JPEG cut in its header": (JPEG[:TAIL], "truncated JPEG", True),
    "JPEG without a scan": (JPEG[:TAIL] + b"\xff\xd9", "damaged JPEG", True),
    "JPEG of 12 bits": (rare_jpegs.TWELVE_BITS, "not 8 bits", True),
    "lossless JPEG": (JPEG.replace(b"\xff\xc0", b"\xff\xc3"), "not decoded", True),
    "JPEG of a length 0": (b"\xff\xd8\xff\xe0\0\0" + JPEG[2:], "damaged JPEG", True),
    "large JPEG": (jpeg_of_size(65000, 65000), "more than the 67,108,864", True),
    "JPEG of no height": (jpeg_of_size(60, 0), "without pixels", True),
    "progressive JPEG of many scans": (many_scans(), "too many scans", True),
    "large PNG": (png_of_size(100_000, 100_000), "more than the 67,108,864", True),
    "PNG of no width": (png_of_size(0, 40), "without pixels", True),
    "truncated PNG": (encoded(pixels(), "PNG")[:-900], "truncated PNG", True),
    "PNG header alone": (b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR", "truncated PNG", True),
    "PNG chunk of 2 GB": (png_with(b"\x7f\xff\xff\xfftEXt"), "truncated PNG (a chunk", True),
    "PNG chunk of one byte too many": (png_with(b"\0\0\0\1tEXt", end=b"1234"), "a chunk", True),
    "PNG of many chunks": (png_with((bytes(4) + b"tEXt1234") * 30_000), "30,000 chunks", True),
    "BMP of 8 bits": (bmp(8), "BMP with a palette", False),
    "BMP of 4 bits": (bmp(4), "BMP with a palette", False),
    "BMP of 1 bit": (bmp(1), "BMP with a palette", False),
    "BMP of 16 bits": (bmp(16), "BMP with a palette, 16 bits", False),
    "BMP of 16 bits with masks": (bmp(16, compression=3), "BMP with a palette", False),
    "BMP of OS/2": (bmp(24, header=12), "BMP with a palette", False),
    "BMP that is cut off": (bmp(24)[:-50], "damaged or truncated", True),
    "GIF frame smaller than its canvas": (gif((60, 40), (70, 50)), "fill its canvas", False),
    "GIF frame beside the corner": (gif((60, 40), (70, 50), (10, 10)), "fill its canvas", False),
    "GIF without a frame": (gif((60, 40), (60, 40))[:13], "damaged", True),
}  # fmt: skip


@pytest.fixture(scope="module")
def squares():
    """Compiled as in an exported model: contents to pixels and reasons."""
    import tensorflow as tf

    from alexnet_tf.serving import decode_graph

    compiled = {
        upright: tf.function(
            lambda batch, upright=upright: decode_graph.squares(batch, SIZE, upright=upright),
            input_signature=[tf.TensorSpec([None], tf.string)],
            autograph=False,
        )
        for upright in (False, True)
    }

    def run(contents: list[bytes], upright: bool = False) -> tuple[np.ndarray, list[str]]:
        found, reasons = compiled[upright](tf.constant(contents))
        return found.numpy(), [reason.decode() for reason in reasons.numpy()]

    return run


def test_rows_keep_their_places(squares):
    """Good and bad files in one batch: each row has its own answer, in its own place."""
    good, bad = list(GOOD.items()), list(BAD.items())
    contents, expected = [], []
    for number in range(max(len(good), len(bad))):
        if number < len(bad):
            contents.append(bad[number][1][0])
            expected.append((bad[number][0], None, bad[number][1][1]))
        if number < len(good):
            contents.append(good[number][1])
            square = images.square_pixels(good[number][1], SIZE)
            expected.append((good[number][0], square, ""))
    found, reasons = squares(contents)
    for (name, square, words), row, reason in zip(expected, found, reasons, strict=True):
        assert (words in reason) if words else reason == "", (name, reason)
        blank = np.zeros((SIZE, SIZE, 3), np.uint8)
        np.testing.assert_array_equal(row, blank if square is None else square, name)


@pytest.mark.parametrize("name", BAD)
def test_the_converter_refuses_or_decodes_what_the_graph_refuses(name):
    content, _, refused = BAD[name]
    if refused:
        with pytest.raises(ImageError):
            images.square_pixels(content, SIZE)
    else:
        # Served all the same, by the converter's own decoder.
        assert not headers.inspect(content).in_tensorflow
        assert images.square_pixels(content, SIZE).shape == (SIZE, SIZE, 3)


def test_a_batch_of_bad_files_alone(squares):
    found, reasons = squares([b"", b"no", b"\xff\xd8"])
    assert not found.any() and all(reasons)


@pytest.mark.parametrize("place", [0, 14, 53])
def test_a_bmp_whose_pixels_begin_within_its_header_is_left_to_the_converter(squares, place):
    """TensorFlow would take the header for pixels; Pillow takes 0 for "behind the header"."""
    whole = bmp(24)
    moved = whole[:10] + struct.pack("<I", place) + whole[14:]
    assert not headers.inspect(moved).in_tensorflow and headers.inspect(whole).in_tensorflow
    found, reasons = squares([moved, whole])
    assert "begin within its header" in reasons[0] and reasons[1] == ""
    if place == 0:
        assert np.array_equal(images.square(moved, SIZE)[0], found[1])


webp = pytest.mark.skipif(not features.check("webp"), reason="this Pillow has no WebP")


@webp
def test_webp_of_a_kind_that_ends_processes_is_refused(squares):
    alpha = np.dstack([pixels(), pixels(40, 60, 1)])
    contents = [
        frames("WEBP"),
        encoded(alpha, "WEBP", mode="RGBA"),
        encoded(alpha, "WEBP", mode="RGBA", lossless=True),
    ]
    assert all("WebP with" in reason for reason in squares(contents)[1])
    for content in contents:
        assert images.square_pixels(content, SIZE).shape == (SIZE, SIZE, 3)


@webp
def test_webp_where_this_tensorflow_decodes_it(squares):
    contents = [encoded(pixels(), "WEBP"), encoded(pixels(), "WEBP", lossless=True)]
    found, reasons = squares(contents)
    if all("this TensorFlow does not decode" in reason for reason in reasons):
        pytest.skip("this TensorFlow does not decode WebP")
    assert reasons == ["", ""]
    for row, content in zip(found, contents, strict=True):
        np.testing.assert_array_equal(row, images.square_pixels(content, SIZE))


def exif_block(value: int, order: str = "<", kind: int = 3) -> bytes:
    """A TIFF structure whose one directory has the orientation between two other tags."""
    mark = b"II*\0" if order == "<" else b"MM\0*"
    code = {1: "B", 3: "H", 4: "I"}[kind]
    number = struct.pack(order + code, value)
    entries = [
        struct.pack(order + "HHII", 0x010F, 4, 1, 7),
        struct.pack(order + "HHI", 0x0112, kind, 1) + number.ljust(4, b"\0"),
        struct.pack(order + "HHII", 0x011A, 4, 1, 9),
    ]  # fmt: skip
    start = struct.pack(order + "I", 8)
    return mark + start + struct.pack(order + "H", len(entries)) + b"".join(entries) + b"\0" * 4


def with_exif(block: bytes) -> bytes:
    segment = b"Exif\0\0" + block
    return JPEG[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + JPEG[2:]


def test_photographs_are_turned_only_if_asked_for(squares):
    """Oracle: Pillow's own transposition by EXIF."""
    from PIL import ImageOps

    cases = {
        f"{value} {order} {kind}": exif_block(value, order, kind)
        for value in range(1, 9)
        for order in "<>"
        for kind in (1, 3, 4)
    }
    damaged = {
        "no directory": b"II*\0\xff\xff\xff\x7f",
        "many entries": b"MM\0*\0\0\0\x08\xff\xff" + b"\0" * 30,
        "of another value": exif_block(9),
        "no order": b"XX*\0" + exif_block(6)[4:],
        "cut off": exif_block(6)[:20],
        "empty": b"",
    }
    contents = [with_exif(block) for block in (*cases.values(), *damaged.values())]
    stored, reasons = squares(contents)
    assert not any(reasons)
    for row in stored:
        np.testing.assert_array_equal(row, images.square_pixels(JPEG, SIZE))
    found, reasons = squares(contents, upright=True)
    assert not any(reasons)
    for name, row in zip([*cases, *damaged], found, strict=True):
        upright = Image.open(io.BytesIO(JPEG))
        if name in cases:
            upright.getexif()[0x0112] = int(name[0])
            upright = ImageOps.exif_transpose(upright)
        expected = images.square_pixels(encoded(np.asarray(upright), "PNG"), SIZE)
        np.testing.assert_array_equal(row, expected, name)
    for content, row in zip(contents, found, strict=True):
        np.testing.assert_array_equal(row, images.square_pixels(content, SIZE, "apply"))


def test_orientation_of_png_and_webp(squares):
    exif = Image.Exif()
    exif[0x0112] = 6
    contents = [encoded(pixels(), "PNG", exif=exif)]
    if features.check("webp"):
        contents.append(encoded(pixels(), "WEBP", lossless=True, exif=exif))
    found, reasons = squares(contents, upright=True)
    turned = encoded(np.rot90(pixels(), -1), "PNG")
    square = images.square_pixels(turned, SIZE)
    for row, reason in zip(found, reasons, strict=True):
        refused = "this TensorFlow" in reason
        assert refused or reason == ""
        np.testing.assert_array_equal(row, np.zeros_like(square) if refused else square)
    # TensorFlow 2.15 has no decoder of WebP; every one has that of PNG.
    assert reasons[0] == ""


def test_real_cases(squares, real_data):
    """The awkward files that were seen to go wrong, in one batch."""
    folder = real_data / "cases"
    names = ["star.png", "rgb24.bmp", "jpeg_with_trailer.jpg"]
    refused = ["animated_opaque.webp", "bomb_400_megapixels.png", "pal8.bmp", "mono1.bmp"]
    found, reasons = squares([(folder / name).read_bytes() for name in names + refused])
    assert reasons[: len(names)] == [""] * len(names) and all(reasons[len(names) :])
    for name, row in zip(names, found, strict=False):
        expected = images.square_pixels((folder / name).read_bytes(), SIZE)
        np.testing.assert_array_equal(row, expected)
