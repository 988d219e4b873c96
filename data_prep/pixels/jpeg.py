"""The markers of a JPEG file: its frame, its EXIF block, and whether it reaches its end.

Source: ITU-T T.81, annex B. The coded data of a scan is passed over as the standard defines it (a
marker is 0xFF and a byte that is neither zero nor a restart), so anything may follow the end mark:
motion photographs hold a film there, cameras a second picture.
"""

import dataclasses
import struct

import numpy as np

from data_prep.pixels.errors import ImageError
from data_prep.pixels.limits import check_size

SIGNATURE = b"\xff\xd8"
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_APP1 = 0xE1
_STARTS_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH = frozenset([0x01, *range(0xD0, 0xD9)])
# Those that libjpeg decodes: baseline, extended and progressive, in Huffman or arithmetic coding.
_DECODED_FRAMES = frozenset([0xC0, 0xC1, 0xC2, 0xC9, 0xCA])
_PROGRESSIVE_FRAMES = frozenset([0xC2, 0xCA])
# A progressive file needs a dozen scans. Every scan goes over the whole image, so a small file of
# thousands would keep a decoder busy for minutes: beyond a dozen, all of them together may touch
# as many pixels as 32 images of the largest size.
SCANS_ALWAYS_FREE = 64
MAX_SCANNED_PIXELS = 1 << 31
# Coded data is searched in pieces, so that memory stays bounded whatever the data.
_WINDOW = 1 << 18


@dataclasses.dataclass(frozen=True)
class Frame:
    """What the frame header says, and the content of the EXIF block (empty: there is none)."""

    height: int
    width: int
    components: int
    exif: bytes


def read(data: bytes) -> Frame:
    """Walks the markers of a JPEG file from its beginning to its end mark.

    Raises:
        ImageError: it is cut off, damaged, or of a kind that is not decoded (12 bits, lossless,
            hierarchical, two components).
    """
    frame: Frame | None = None
    progressive = False
    scans = 0
    exif = b""
    position = 2
    while True:
        marker, position = _next_marker(data, position, "header" if frame is None else "markers")
        if marker in _WITHOUT_LENGTH:
            continue
        if marker == _END_OF_IMAGE:
            if frame is None:
                raise ImageError("damaged JPEG (no frame header)")
            if not scans:
                raise ImageError("damaged JPEG (no scan)")
            return frame
        length = _length(data, position, frame is None)
        if marker in _STARTS_OF_FRAME and frame is None:
            frame = _frame(data, position, marker, exif)
            progressive = marker in _PROGRESSIVE_FRAMES
        elif marker == _APP1 and frame is None and _is_exif(data, position) and not exif:
            exif = data[position + 8 : position + length]
        elif marker == _START_OF_SCAN:
            if frame is None:
                raise ImageError("damaged JPEG (no frame header)")
            scans += 1
            scanned = scans * frame.height * frame.width
            if progressive and scans > SCANS_ALWAYS_FREE and scanned > MAX_SCANNED_PIXELS:
                raise ImageError(
                    f"JPEG of more than {scans - 1} scans of {frame.width}x{frame.height} pixels, "
                    "which are not decoded"
                )
            position = _end_of_scan(data, position + length)
            continue
        position += length


def _next_marker(data: bytes, position: int, where: str) -> tuple[int, int]:
    """The next marker's code and the position behind it; libjpeg, too, skips stray bytes."""
    while True:
        position = data.find(b"\xff", position)
        if position < 0 or position + 1 >= len(data):
            missing = "ends within its header" if where == "header" else "no end-of-image mark"
            raise ImageError(f"truncated JPEG ({missing})")
        marker = data[position + 1]
        if marker == 0xFF:
            position += 1
        elif marker == 0x00:
            position += 2
        else:
            return marker, position + 2


def _length(data: bytes, position: int, in_header: bool) -> int:
    """Bytes of a marker segment, its two bytes of length among them."""
    if position + 2 > len(data):
        missing = "ends within its header" if in_header else "no end-of-image mark"
        raise ImageError(f"truncated JPEG ({missing})")
    length = int.from_bytes(data[position : position + 2], "big")
    if length < 2:
        raise ImageError("damaged JPEG (a marker segment without length)")
    return length


def _is_exif(data: bytes, position: int) -> bool:
    return data[position + 2 : position + 8] == b"Exif\0\0"


def _frame(data: bytes, position: int, marker: int, exif: bytes) -> Frame:
    if position + 8 > len(data):
        raise ImageError("truncated JPEG (ends within its header)")
    bits, height, width, components = struct.unpack_from(">BHHB", data, position + 2)
    if marker not in _DECODED_FRAMES:
        kind = "lossless" if marker in (0xC3, 0xCB) else "hierarchical"
        raise ImageError(f"{kind} JPEG, which is not decoded; save it as an ordinary JPEG")
    if bits != 8:
        raise ImageError(f"JPEG of {bits} bits per colour, expected 8")
    if components not in (1, 3, 4):
        raise ImageError(f"JPEG of {components} components, expected 1, 3 or 4")
    check_size("JPEG", width, height)
    return Frame(height, width, components, exif)


def _end_of_scan(data: bytes, position: int) -> int:
    """Where the coded data from `position` ends: at the next marker that is not a restart."""
    while position < len(data):
        # One byte more than the step, so that no pair falls between two windows.
        window = np.frombuffer(data, np.uint8)[position : position + _WINDOW + 1]
        marks = np.flatnonzero(window[:-1] == 0xFF)
        codes = window[marks + 1]
        # 0xFF 0xFF: the first is a fill byte, the pair is looked at from the second.
        ends = (codes != 0x00) & (codes != 0xFF) & ((codes < 0xD0) | (codes > 0xD7))
        first = marks[ends]
        if first.size:
            return position + int(first[0])
        position += _WINDOW
    raise ImageError("truncated JPEG (no end-of-image mark)")
