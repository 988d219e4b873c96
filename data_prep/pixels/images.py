"""Bytes of any image file to the square uint8 RGB pixels that the author's converter made.

What a file is, its content says and never its name: PNG, GIF, BMP and WebP are taken under any
name. JPEGs are decoded with the exact inverse DCT (`INTEGER_ACCURATE`) as OpenCV did in 2012; CMYK,
YCCK and grey become RGB; EXIF orientation is ignored, as it was. A file that is cut off is an
error, not an image with a grey bottom.
"""

import io
import struct
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image, UnidentifiedImageError

from data_prep.pixels import resize

# Decoded pixels beyond which a file is refused, so that a worker stays below 1.5 GB: a square of
# 8192 pixels, more than any photograph that a camera of ILSVRC's years took.
MAX_PIXELS = 1 << 26

_PNG = b"\x89PNG\r\n\x1a\n"
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH = frozenset([0x01, *range(0xD0, 0xD9)])
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9


class ImageError(Exception):
    """A file that cannot be converted; the message is the reason, without the file's name."""


def square_pixels(data: bytes, size: int) -> np.ndarray:
    """Decodes an image file, scales its shorter side to `size` and cuts the central square.

    Args:
      data: the content of the file.
      size: side of the square in pixels.

    Returns:
      uint8 [size, size, 3], RGB.

    Raises:
      ImageError: not an image, truncated, damaged, or larger than `MAX_PIXELS`.
    """
    pixels = decode(data)
    shape = resize.geometry(pixels.shape[0], pixels.shape[1], size)
    rows, columns = shape.rows, shape.columns
    return resize.central_square(pixels[rows[0] : rows[1], columns[0] : columns[1]], shape)


def decode(data: bytes) -> np.ndarray:
    """Decodes an image file to uint8 [height, width, 3], RGB; of an animation the first frame.

    Raises:
      ImageError: as `square_pixels`.
    """
    kind, height, width = measure(data)
    if height < 1 or width < 1:
        raise ImageError(f"{kind} without pixels ({width}x{height})")
    if height * width > MAX_PIXELS:
        raise ImageError(
            f"{width}x{height} pixels are more than the {MAX_PIXELS:,} that are decoded"
        )
    try:
        # A view of the tensor's memory: .numpy() would copy it.
        pixels = np.asarray(memoryview(_decode(kind, data)))
    except UnidentifiedImageError as error:
        # Its words hold a memory address, and reasons are kept in dataset.json.
        raise ImageError(f"damaged or truncated {kind}") from error
    except (tf.errors.OpError, OSError, ValueError, EOFError, struct.error) as error:
        raise ImageError(f"damaged or truncated {kind} ({_first_words(error)})") from error
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or pixels.size == 0:
        raise ImageError(f"{kind} of an unexpected kind ({pixels.dtype} {list(pixels.shape)})")
    if kind == "JPEG" and not _reaches_its_end(data):
        raise ImageError("truncated JPEG (no end-of-image mark)")
    return pixels


def encode_jpeg(pixels: np.ndarray, quality: int) -> bytes:
    """Encodes uint8 [height, width, 3] as a baseline 4:2:0 JPEG, as OpenCV's imencode does."""
    encoded = tf.raw_ops.EncodeJpeg(
        image=pixels, format="rgb", quality=quality, chroma_downsampling=True
    )
    return bytes(encoded.numpy())


def measure(data: bytes) -> tuple[str, int, int]:
    """Kind, height and width of an image file from its header alone, before any decoding.

    Raises:
      ImageError: empty, or no image that is known here.
    """
    if not data:
        raise ImageError("empty file")
    if data[:2] == b"\xff\xd8":
        return "JPEG", *_jpeg_size(data)
    try:
        if data[:8] == _PNG and data[12:16] == b"IHDR":
            width, height = struct.unpack_from(">II", data, 16)
            return "PNG", height, width
        if data[:6] in (b"GIF87a", b"GIF89a"):
            width, height = struct.unpack_from("<HH", data, 6)
            return "GIF", height, width
        if data[:2] == b"BM":
            # The first kind of header, OS/2's, has smaller numbers.
            small = data[14:18] == b"\x0c\0\0\0"
            width, height = struct.unpack_from("<HH" if small else "<ii", data, 18)
            return "BMP", abs(height), width
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return "WebP", *_webp_size(data)
    except struct.error as error:
        raise ImageError("truncated header") from error
    raise ImageError(f"not an image of a known kind (begins with {data[:8]!r})")


def _decode(kind: str, data: bytes) -> Any:
    if kind == "JPEG":
        # Given plain bytes, or the fraction as an integer (its own default), the operation would
        # go a slower way.
        return tf.raw_ops.DecodeJpeg(
            contents=tf.constant(data),
            channels=3,
            dct_method="INTEGER_ACCURATE",
            acceptable_fraction=1.0,
        )
    if kind == "PNG":
        return tf.raw_ops.DecodePng(contents=data, channels=3)
    if kind == "GIF":
        return tf.io.decode_image(data, channels=3, expand_animations=False)
    # TensorFlow takes the numbers of a BMP's palette for grey levels, refuses a WebP with an alpha
    # channel, decodes all frames of an animation, and before 2.21 no WebP.
    with Image.open(io.BytesIO(data), formats=[kind]) as image:
        return np.array(image.convert("RGB"))


def _jpeg_size(data: bytes) -> tuple[int, int]:
    """Height and width from the first frame header."""
    position = 2
    while True:
        # libjpeg skips stray bytes before a mark, so they are skipped here too.
        position = data.find(b"\xff", position)
        if position < 0 or position + 1 >= len(data):
            raise ImageError("truncated JPEG (ends within its header)")
        marker = data[position + 1]
        if marker in (0x00, 0xFF):
            position += 1
            continue
        position += 2
        if marker in _WITHOUT_LENGTH:
            continue
        if marker in (_START_OF_SCAN, _END_OF_IMAGE):
            raise ImageError("damaged JPEG (no frame header)")
        if position + 7 > len(data):
            raise ImageError("truncated JPEG (ends within its header)")
        if marker in _START_OF_FRAME:
            height, width = struct.unpack_from(">HH", data, position + 3)
            return height, width
        position += struct.unpack_from(">H", data, position)[0]


def _reaches_its_end(data: bytes) -> bool:
    """Whether an end-of-image mark follows the last scan; within a scan it cannot occur."""
    # Sought from the end, where it is: the other way round would read all of the file.
    end = data.rfind(b"\xff\xd9")
    return end >= 0 and data.find(b"\xff\xda", end) < 0


def _webp_size(data: bytes) -> tuple[int, int]:
    kind = data[12:16]
    if kind == b"VP8X":
        width = int.from_bytes(data[24:27], "little") + 1
        return int.from_bytes(data[27:30], "little") + 1, width
    if kind == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return height & 0x3FFF, width & 0x3FFF
    raise ImageError("damaged WebP (unknown first chunk)")


def _first_words(error: Exception) -> str:
    text = getattr(error, "message", None) or str(error)
    return " ".join(str(text).split("[Op:")[0].split("{{")[-1].split("}}")[-1].split())[:120]
