"""Decoding: what a file is, its content says; what is cut off or damaged is an error."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from data_prep.pixels import headers, images, limits
from data_prep.pixels.errors import ImageError
from tests.helpers import flat_webps, imagenet_standin, rare_jpegs


@pytest.fixture(scope="module")
def photograph() -> np.ndarray:
    return imagenet_standin.picture(np.random.default_rng(0), 300, 200)


def by_pillow(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def measured(data: bytes) -> tuple[str, int, int]:
    header = headers.inspect(data)
    return header.kind, header.height, header.width


def saved(picture: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("quirk", [None, *imagenet_standin.QUIRKS])
def test_every_kind_of_file_is_decoded_as_pillow_does(
    photograph: np.ndarray, quirk: str | None
) -> None:
    data = imagenet_standin.encoded(photograph, quirk)
    decoded = images.decode(data)
    expected = by_pillow(data)
    assert decoded.shape == expected.shape
    difference = np.abs(decoded.astype(int) - expected)
    # The same libjpeg underneath; CMYK goes through two formulas that round differently.
    assert difference.max() <= (2 if quirk == "cmyk" else 0)


def test_cmyk_is_not_a_negative(photograph: np.ndarray) -> None:
    decoded = images.decode(imagenet_standin.encoded(photograph, "cmyk")).astype(float)
    assert np.corrcoef(decoded.ravel(), photograph.ravel())[0, 1] > 0.95


def test_ycck_is_told_from_cmyk(photograph: np.ndarray) -> None:
    """The same four planes, called YCCK by the Adobe mark: luma and chroma of an inverted RGB."""
    data = bytearray(imagenet_standin.encoded(photograph, "cmyk"))
    adobe = data.index(b"\xff\xee") + 4
    assert data[adobe : adobe + 5] == b"Adobe" and data[adobe + 11] == 0
    data[adobe + 11] = 2
    decoded = images.decode(bytes(data)).astype(int)
    assert np.abs(decoded - by_pillow(bytes(data))).max() <= 2
    as_cmyk = images.decode(imagenet_standin.encoded(photograph, "cmyk")).astype(int)
    assert np.abs(decoded - as_cmyk).mean() > 10


@pytest.mark.parametrize(
    "options", [{"quality": 90}, {"lossless": True}, {"lossless": True, "exif": b"Exif\0\0MM"}]
)
def test_webp(photograph: np.ndarray, options: dict[str, Any]) -> None:
    data = saved(Image.fromarray(photograph), "WEBP", **options)
    assert measured(data) == ("WebP", 200, 300)
    decoded = images.decode(data)
    if "lossless" in options:
        assert np.array_equal(decoded, photograph)
    else:
        assert np.abs(decoded.astype(int) - photograph).mean() < 10
    with pytest.raises(ImageError, match="truncated WebP"):
        images.decode(data[:-200])


def test_the_palette_of_a_bmp_is_applied(photograph: np.ndarray) -> None:
    """TensorFlow takes the numbers of the colours for grey levels."""
    for colors in (2, 16, 200):
        picture = Image.fromarray(photograph).quantize(colors)
        decoded = images.decode(saved(picture, "BMP"))
        assert np.array_equal(decoded, np.reshape(picture.getpalette(), (-1, 3))[picture])


def test_a_bmp_of_os2() -> None:
    """The first kind of header: sizes of 16 bits; rows from the bottom, BGR, filled up to four."""
    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    header = struct.pack("<IHHHH", 12, 3, 2, 1, 24)
    rows = b"".join(row[:, ::-1].tobytes().ljust(12, b"\0") for row in pixels[::-1])
    data = b"BM" + struct.pack("<IHHI", 26 + len(rows), 0, 0, 26) + header + rows
    assert measured(data) == ("BMP", 2, 3)
    assert np.array_equal(images.decode(data), pixels)


def test_exif_orientation_is_ignored(photograph: np.ndarray) -> None:
    assert images.decode(imagenet_standin.encoded(photograph, "exif")).shape == photograph.shape


@pytest.mark.parametrize("data", [rare_jpegs.ARITHMETIC, rare_jpegs.PROGRESSIVE_ARITHMETIC])
def test_arithmetic_coding_is_decoded(data: bytes) -> None:
    pixels = images.decode(data)
    rows, columns = np.mgrid[0:16, 0:24]
    picture = np.stack([columns * 10, rows * 15, (rows + columns) * 6], axis=-1)
    assert np.abs(pixels - picture.astype(float)).mean() < 8  # quality 60
    assert np.array_equal(pixels, by_pillow(data))


def test_twelve_bits_are_refused() -> None:
    with pytest.raises(ImageError, match="^JPEG of 12 bits per colour, expected 8$"):
        images.decode(rare_jpegs.TWELVE_BITS)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "BMP"])
def test_alpha_is_dropped(photograph: np.ndarray, kind: str) -> None:
    rgba = np.dstack([photograph, np.full(photograph.shape[:2], 9, np.uint8)])
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    assert np.array_equal(images.decode(saved(Image.fromarray(rgba), kind, **options)), photograph)


def test_16_bits_become_8(photograph: np.ndarray) -> None:
    data = saved(Image.fromarray(photograph[..., 0].astype(np.uint16) * 257), "PNG")
    assert np.array_equal(images.decode(data), np.repeat(photograph[..., :1], 3, axis=2))


@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
def test_the_first_frame_of_an_animation(photograph: np.ndarray, kind: str) -> None:
    frames = [Image.fromarray(photograph), Image.fromarray(255 - photograph)]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = saved(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    first = photograph if kind == "WEBP" else by_pillow(data)
    assert np.array_equal(images.decode(data), first)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "BMP"])
def test_strips_make_the_same_picture(
    photograph: np.ndarray, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 7 rows, which 200 are no multiple of."""
    data = saved(Image.fromarray(photograph), kind)
    monkeypatch.setattr(images, "STRIP_PIXELS", 7 * 300 + 50)
    assert np.array_equal(images.decode(data), by_pillow(data))


def test_flat_webps_are_whole() -> None:
    """They stand for the largest ones in test_mutations."""
    for data in (flat_webps.still(500, 70), flat_webps.film(500, 70)):
        assert len(data) < 200 and measured(data) == ("WebP", 70, 500)
        assert (images.decode(data) == flat_webps.COLOR).all()


@pytest.mark.parametrize("kind", ["WEBP", "BMP"])
def test_the_reason_is_the_same_in_every_run(photograph: np.ndarray, kind: str) -> None:
    """Reasons are kept in dataset.json."""
    data = saved(Image.fromarray(photograph), kind)
    for kept in range(12, 60):
        with pytest.raises(ImageError) as raised:
            images.decode(data[:kept])
        assert " at 0x" not in str(raised.value)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WEBP"])
@pytest.mark.parametrize("kept", [0.0, 0.001, 0.1, 0.5, 0.9, 0.99])
def test_a_truncated_file_is_an_error(photograph: np.ndarray, kind: str, kept: float) -> None:
    buffer = io.BytesIO()
    Image.fromarray(photograph).save(buffer, kind)
    data = buffer.getvalue()
    with pytest.raises(ImageError):
        images.decode(data[: int(len(data) * kept)])


def test_a_truncated_progressive_jpeg_is_an_error(photograph: np.ndarray) -> None:
    data = imagenet_standin.encoded(photograph, "progressive")
    for length in range(1, len(data) - 1, len(data) // 40):
        with pytest.raises(ImageError):
            images.decode(data[:length])


def test_the_missing_end_mark_alone_is_an_error(photograph: np.ndarray) -> None:
    with pytest.raises(ImageError, match="truncated"):
        images.decode(imagenet_standin.encoded(photograph)[:-2])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"hello, this is text", "not an image"),
        (b"<html><body>404</body></html>", "not an image"),
        (bytes(5000), "not an image"),
        (b"\xff\xd8\xff", "truncated JPEG"),
        (b"\xff\xd8" + b"\xff\xd9" * 40, "no frame header"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "damaged PNG"),
        (b"\x00\x00\x01\x00" + bytes(40), "not an image"),
    ],
)
def test_what_is_no_image_is_named(data: bytes, reason: str) -> None:
    with pytest.raises(ImageError, match=reason):
        images.decode(data)


def png_header(width: int, height: int) -> bytes:
    content = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    crc = struct.pack(">I", zlib.crc32(content))
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + content + crc


@pytest.mark.parametrize(
    "data",
    [
        png_header(60_000, 60_000),
        png_header(2**31 - 1, 2**31 - 1),
        b"\xff\xd8\xff\xc0" + struct.pack(">HBHHB", 17, 8, 65_535, 65_535, 3) + bytes(9),
        b"GIF89a" + struct.pack("<HH", 65_535, 65_535) + bytes(20),
        b"BM" + bytes(12) + struct.pack("<iii", 40, 2**30, -(2**30)) + bytes(28),
    ],
)
def test_huge_images_are_refused_before_they_are_decoded(data: bytes) -> None:
    with pytest.raises(ImageError, match="more than"):
        images.decode(data)


def test_a_photograph_of_sixty_million_pixels_passes() -> None:
    assert measured(png_header(9500, 6300)) == ("PNG", 6300, 9500)
    assert 9500 * 6300 <= limits.MAX_PIXELS


def test_the_size_is_read_past_long_and_stray_headers(photograph: np.ndarray) -> None:
    data = imagenet_standin.encoded(photograph)
    comment = b"\xff\xfe" + struct.pack(">H", 60_000) + b"\xff\xc0" * 29_999
    for header in (comment, b"\x00\x01\x02", b"\xff\xff\xff"):
        assert measured(data[:2] + header + data[2:]) == ("JPEG", 200, 300)


def test_encoding_is_baseline_420_of_the_asked_quality(photograph: np.ndarray) -> None:
    encoded = images.encode_jpeg(photograph, 95)
    theirs = io.BytesIO()
    Image.fromarray(photograph).save(theirs, "JPEG", quality=95, subsampling="4:2:0")
    ours = Image.open(io.BytesIO(encoded))
    reference = Image.open(io.BytesIO(theirs.getvalue()))
    assert ours.quantization == reference.quantization
    assert np.array_equal(np.asarray(ours), np.asarray(reference))


def test_square_pixels_of_a_narrow_image() -> None:
    line = np.arange(0, 200, dtype=np.uint8)[:, None, None].repeat(3, axis=2)
    square = images.square_pixels(imagenet_standin.encoded(line, "png"), 64)
    assert square.shape == (64, 64, 3)
    # One pixel of width becomes 64, and so does one of height: the middle row, all over.
    assert np.abs(square.astype(int) - 100).max() <= 1
