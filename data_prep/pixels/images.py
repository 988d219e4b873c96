"""Bytes of any image file to the square uint8 RGB pixels that the author's converter made.

`headers` says what a file is and refuses what is not decoded; here it is decoded. JPEGs are decoded
with the exact inverse DCT (`INTEGER_ACCURATE`) as OpenCV did in 2012; CMYK, YCCK and grey become
RGB; EXIF orientation is ignored, as it was, unless asked for. A file that is cut off is an error,
not an image with a grey bottom.
"""

import io
import warnings

import numpy as np
import tensorflow as tf
from PIL import Image, UnidentifiedImageError

from data_prep.pixels import exif, headers, resize
from data_prep.pixels.errors import ImageError
from data_prep.pixels.headers import Header

# As much of a picture is turned from Pillow's form into RGB at once: as a whole, the largest that
# are decoded would be in memory six times.
STRIP_PIXELS = 1 << 22


def square_pixels(data: bytes, size: int, exif_orientation: str = "ignore") -> np.ndarray:
    """Decodes an image file, scales its shorter side to `size` and cuts the central square.

    Args:
        data: the content of the file.
        size: side of the square in pixels.
        exif_orientation: "ignore" or "apply", as `decode` takes it.

    Returns:
        uint8 [size, size, 3], RGB.

    Raises:
        ImageError: not an image, truncated, damaged, too large, or of a kind that is not decoded.
    """
    return square(data, size, exif_orientation)[0]


def square(data: bytes, size: int, exif_orientation: str = "ignore") -> tuple[np.ndarray, Header]:
    """As `square_pixels`, and the header of the file."""
    header = headers.inspect(data)
    pixels = _upright(header, data, exif_orientation)
    shape = resize.geometry(pixels.shape[0], pixels.shape[1], size)
    rows, columns = shape.rows, shape.columns
    part = pixels[rows[0] : rows[1], columns[0] : columns[1]]
    return resize.central_square(part, shape), header


def decode(data: bytes, exif_orientation: str = "ignore") -> np.ndarray:
    """Decodes an image file to uint8 [height, width, 3], RGB; of an animation the first frame.

    Args:
        data: the content of the file.
        exif_orientation: "ignore" gives the pixels as they are stored, "apply" turns them upright
            as the file's EXIF block asks.

    Raises:
        ImageError: as `square_pixels`.
    """
    return _upright(headers.inspect(data), data, exif_orientation)


def encode_jpeg(pixels: np.ndarray, quality: int) -> bytes:
    """Encodes uint8 [height, width, 3] as a baseline 4:2:0 JPEG, as OpenCV's imencode does."""
    encoded = tf.raw_ops.EncodeJpeg(
        image=pixels, format="rgb", quality=quality, chroma_downsampling=True
    )
    return bytes(encoded.numpy())


def _upright(header: Header, data: bytes, exif_orientation: str) -> np.ndarray:
    pixels = _decoded(header, data)
    expected = (header.height, header.width, 3)
    if pixels.shape != expected or pixels.dtype != np.uint8:
        raise ImageError(
            f"{header.kind} of an unexpected kind ({pixels.dtype} {list(pixels.shape)}, its header "
            f"says {list(expected)})"
        )
    if exif_orientation == "apply" and header.orientation != exif.AS_STORED:
        return exif.upright(pixels, header.orientation)
    return pixels


def _decoded(header: Header, data: bytes) -> np.ndarray:
    if header.kind in ("JPEG", "PNG"):
        try:
            return _by_tensorflow(header.kind, data)
        except tf.errors.OpError as error:
            raise ImageError(f"damaged or truncated {header.kind} ({_reason(error)})") from error
    try:
        return _by_pillow(header, data)
    except MemoryError as error:
        raise ImageError(f"not enough memory to decode this {header.kind}") from error
    except UnidentifiedImageError as error:
        # Its words hold a memory address, and reasons are kept in dataset.json.
        raise ImageError(f"damaged or truncated {header.kind}") from error
    except Exception as error:
        # What Pillow's readers raise at damaged files is not documented; all of it means this.
        reason = _reason(error)
        if reason.startswith("Unsupported"):
            raise ImageError(
                f"{header.kind} of a variant that is not decoded ({reason})"
            ) from error
        raise ImageError(f"damaged or truncated {header.kind} ({reason})") from error


def _by_tensorflow(kind: str, data: bytes) -> np.ndarray:
    if kind == "JPEG":
        # Given plain bytes, or the fraction as an integer (its own default), the operation would
        # go a slower way.
        decoded = tf.raw_ops.DecodeJpeg(
            contents=tf.constant(data),
            channels=3,
            dct_method="INTEGER_ACCURATE",
            acceptable_fraction=1.0,
        )
    else:
        decoded = tf.raw_ops.DecodePng(contents=data, channels=3)
    # A view of the tensor's memory: .numpy() would copy it.
    return np.asarray(memoryview(decoded))


def _by_pillow(header: Header, data: bytes) -> np.ndarray:
    """BMP, GIF and WebP.

    TensorFlow takes the numbers of a BMP's palette for grey levels and cuts the canvas of a GIF to
    its frames; it refuses a WebP with an alpha channel, writes beyond its memory at an animated
    one, decodes all frames of an animation, and before 2.21 no WebP.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(data), formats=[header.kind]) as image:
            pixels = _rgb(image)
            if header.first_frame is None:
                return pixels
            # As libraries without transparency show a GIF: black where nothing is drawn.
            seen = np.zeros(pixels.shape[:2], bool)
            left, top, width, height = header.first_frame
            right, bottom = left + width, top + height
            transparent = image.info.get("transparency")
            seen[top:bottom, left:right] = True
            if transparent is not None:
                drawn = np.asarray(image.crop((left, top, right, bottom)))
                seen[top:bottom, left:right] = drawn != transparent
            pixels[~seen] = 0
            return pixels


def _rgb(image: Image.Image) -> np.ndarray:
    """The pixels of an open file, uint8 [height, width, 3]."""
    image.load()
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    rows = max(1, STRIP_PIXELS // image.width)
    for top in range(0, image.height, rows):
        bottom = min(top + rows, image.height)
        strip = image if rows >= image.height else image.crop((0, top, image.width, bottom))
        pixels[top:bottom] = np.asarray(strip.convert("RGB"))
    return pixels


def _reason(error: Exception) -> str:
    text = getattr(error, "message", None) or str(error)
    return " ".join(str(text).split("[Op:")[0].split("{{")[-1].split("}}")[-1].split())[:120]
