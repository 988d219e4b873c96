"""What an image file is, from its bytes, before any decoder sees them.

One rule for the converter, for an exported network and for a server: the kind of a file is what its
content says, never its name; what is not decoded is refused here, in one line; and where
TensorFlow's decoder gives other pixels than the converter, or none, the header says so.

Sources: ITU-T T.81 (JPEG), ISO/IEC 15948 (PNG), GIF89a, the BMP headers of Windows and OS/2 as
documented by Microsoft and IBM, and the WebP container (RFC 9649).
"""

import dataclasses
import struct

from data_prep.pixels import exif, jpeg, other_kinds, webp
from data_prep.pixels.errors import ImageError
from data_prep.pixels.limits import check_size

KINDS = ("JPEG", "PNG", "GIF", "BMP", "WebP")

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
# The largest image of 8 bits, stored without compression, has 24,576 of libpng's pieces of 8 kB.
MAX_PNG_CHUNKS = 30_000
# The headers of Windows and of OS/2 version 2; the first one of OS/2, of 12 bytes, is another.
BMP_HEADER_BYTES = (40, 52, 56, 64, 108, 124)


@dataclasses.dataclass(frozen=True)
class Header:
    """What the header of an image file says.

    Attributes:
        kind: "JPEG", "PNG", "GIF", "BMP" or "WebP".
        width, height: of the pixels as stored (of an animation its canvas).
        channels: colours and alpha as stored, a palette counting as 3: 1 grey, 2 grey and alpha,
            3 RGB, 4 RGB and alpha, or CMYK.
        orientation: EXIF's 1..8; 1, as stored, where the file says nothing.
        first_frame: left, top, width, height of a GIF's first frame; of all others None.
        animated: whether the file is an animated WebP.
        in_tensorflow: whether TensorFlow's own decoder gives the converter's pixels.
    """

    kind: str
    width: int
    height: int
    channels: int
    orientation: int = exif.AS_STORED
    first_frame: tuple[int, int, int, int] | None = None
    animated: bool = False
    in_tensorflow: bool = True


def inspect(data: bytes) -> Header:
    """Says what an image file is, or why it is not decoded; decodes nothing.

    Args:
        data: the content of the file.

    Raises:
        ImageError: in one line: empty, no image, cut off, of a variant that is not decoded, or of
            more than `limits.MAX_PIXELS` pixels.
    """
    if not data:
        raise ImageError("empty file")
    try:
        header = _read(data)
    except (struct.error, IndexError) as error:
        raise ImageError("truncated header") from error
    check_size(header.kind, header.width, header.height)
    return header


def _read(data: bytes) -> Header:
    if data[:2] == jpeg.SIGNATURE:
        frame = jpeg.read(data)
        return Header(
            "JPEG", frame.width, frame.height, frame.components, exif.orientation(frame.exif)
        )
    if data[:8] == _PNG and data[8:16] == b"\0\0\0\x0dIHDR":
        return _png(data)
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return _gif(data)
    if data[:2] == b"BM":
        return _bmp(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _webp(data)
    other = other_kinds.name(data)
    if other is not None:
        raise ImageError(f"not an image of a known kind but {other}; known are {_listed()}")
    if data[:8] == _PNG:
        raise ImageError("damaged PNG (it does not begin with its header)")
    raise ImageError(
        f"not an image of a known kind (begins with {data[:8]!r}); known are {_listed()}"
    )


def _listed() -> str:
    return f"{', '.join(KINDS[:-1])} and {KINDS[-1]}"


def _png(data: bytes) -> Header:
    width, height, bits, colours = struct.unpack_from(">IIBB", data, 16)
    channels = _PNG_CHANNELS.get(colours)
    if channels is None or bits not in (1, 2, 4, 8, 16):
        raise ImageError(f"damaged PNG ({bits} bits of colour type {colours})")
    block = None
    position = 8
    for _ in range(MAX_PNG_CHUNKS):
        length, chunk = 0, b"IEND"
        if position + 8 <= len(data):
            length, chunk = struct.unpack_from(">I4s", data, position)
        if chunk == b"IEND":
            break
        # libpng takes as much memory as a chunk claims to have, up to 2 GB, before it reads it.
        if position + 12 + length > len(data):
            raise ImageError("truncated PNG (a chunk reaches beyond the end of the file)")
        if chunk == b"eXIf" and block is None:
            block = data[position + 8 : position + 8 + length]
        position += length + 12
    else:
        raise ImageError(f"PNG of more than {MAX_PNG_CHUNKS:,} chunks, which is not decoded")
    orientation = exif.AS_STORED if block is None else exif.orientation(block)
    return Header("PNG", width, height, channels, orientation)


def _gif(data: bytes) -> Header:
    """The canvas, and the place of the first frame, which extensions may stand before."""
    canvas_width, canvas_height, flags = struct.unpack_from("<HHB", data, 6)
    if canvas_width and canvas_height:
        check_size("GIF", canvas_width, canvas_height)
    position = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    while data[position] != 0x2C:
        if data[position] != 0x21:
            raise ImageError("damaged or truncated GIF (no frame)")
        position += 2
        while data[position]:
            position += data[position] + 1
        position += 1
    left, top, width, height = struct.unpack_from("<HHHH", data, position + 1)
    check_size("GIF", width, height)
    # As browsers and Pillow do: a frame that reaches beyond the canvas enlarges it.
    canvas_width, canvas_height = max(canvas_width, left + width), max(canvas_height, top + height)
    # TensorFlow's decoder cuts the canvas to the frames, keeps all frames of a film in memory, and
    # refuses files that browsers show (with an empty comment, or without a palette).
    return Header(
        "GIF", canvas_width, canvas_height, 3, first_frame=(left, top, width, height),
        in_tensorflow=False,
    )  # fmt: skip


def _bmp(data: bytes) -> Header:
    size = struct.unpack_from("<I", data, 14)[0]
    if size == 12:
        # The first kind of header, OS/2's, has smaller numbers.
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        compression = 0
    elif size not in BMP_HEADER_BYTES:
        raise ImageError(f"BMP of a variant that is not decoded (a header of {size:,} bytes)")
    else:
        width, height, _, bits = struct.unpack_from("<iiHH", data, 18)
        compression = struct.unpack_from("<I", data, 30)[0]
    # TensorFlow takes palette indices for grey levels, and any bit fields for blue, green, red.
    plain = size == 40 and compression == 0 and bits in (24, 32)
    # Where the place of the pixels is not said, Pillow takes them from behind the header.
    plain = plain and struct.unpack_from("<I", data, 10)[0] >= 14 + size
    channels = 4 if bits == 32 else 3
    return Header("BMP", width, abs(height), channels, in_tensorflow=plain)


def _webp(data: bytes) -> Header:
    kind = data[12:16]
    if kind == b"VP8X":
        flags = data[20]
        width = int.from_bytes(data[24:27], "little") + 1
        height = int.from_bytes(data[27:30], "little") + 1
        if len(data) < 30:
            raise ImageError("truncated header")
        animated, alpha = bool(flags & webp.ANIMATION), bool(flags & webp.ALPHA)
        if not animated and not alpha:
            alpha = webp.has_transparency(data)
        orientation = _webp_orientation(data) if flags & webp.EXIF else exif.AS_STORED
        return Header(
            "WebP", width, height, 4 if alpha else 3, orientation, animated=animated,
            in_tensorflow=not animated and not alpha,
        )  # fmt: skip
    if kind == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        alpha = bool(bits >> 28 & 1)
        return Header(
            "WebP", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, 4 if alpha else 3,
            in_tensorflow=not alpha,
        )  # fmt: skip
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return Header("WebP", width & 0x3FFF, height & 0x3FFF, 3)
    raise ImageError("damaged WebP (unknown first chunk)")


def _webp_orientation(data: bytes) -> int:
    position = webp.FIRST_CHUNK
    for _ in range(webp.MAX_CHUNKS):
        if position + 8 > len(data):
            break
        chunk, length = struct.unpack_from("<4sI", data, position)
        if chunk == b"EXIF":
            block = data[position + 8 : position + 8 + length]
            return exif.orientation(block.removeprefix(b"Exif\0\0"))
        position += 8 + length + length % 2
    return exif.AS_STORED
