"""The orientation that a camera wrote into a photograph's EXIF block, and how it is applied.

Source: CIPA DC-008 (EXIF), tag 0x0112 of the first directory of a TIFF structure.
"""

import struct

import numpy as np

AS_STORED = 1
_TAG = 0x0112
_BYTE_ORDERS = {b"II": "<", b"MM": ">"}
# Types that writers use for the tag: 8, 16 and 32 bits.
_FORMATS = {1: "B", 3: "H", 4: "I"}


def orientation(block: bytes) -> int:
    """The orientation 1..8 of a TIFF structure; 1, as stored, where it has none or is damaged.

    A photograph with a damaged EXIF block is still a photograph.
    """
    order = _BYTE_ORDERS.get(block[:2])
    if order is None:
        return AS_STORED
    try:
        begin = struct.unpack_from(order + "I", block, 4)[0]
        for entry in range(struct.unpack_from(order + "H", block, begin)[0]):
            at = begin + 2 + 12 * entry
            tag, kind, count = struct.unpack_from(order + "HHI", block, at)
            if tag == _TAG:
                if kind not in _FORMATS or count != 1:
                    return AS_STORED
                value = int(struct.unpack_from(order + _FORMATS[kind], block, at + 8)[0])
                return value if 1 <= value <= 8 else AS_STORED
    except struct.error:
        pass
    return AS_STORED


def upright(pixels: np.ndarray, value: int) -> np.ndarray:
    """Turns stored pixels [height, width, ...] the way that an orientation of 1..8 asks for.

    The standard says where row 0 and column 0 of the stored image belong in the scene: 2 top right,
    3 bottom right, 4 bottom left, 5 left top, 6 right top, 7 right bottom, 8 left bottom.
    """
    if value >= 5:
        # Stored rows are the scene's columns.
        pixels = pixels.swapaxes(0, 1)
    if value in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if value in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)
