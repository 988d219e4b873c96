"""WebP files of one colour and any size in a hundred bytes: what they cost is memory.

The lossless coding (RFC 9649) writes no bit for a pixel whose code is the only one, so the size in
the headers can be changed and the file stays whole.
"""

from __future__ import annotations

import io
import struct

from PIL import Image

COLOR = (200, 30, 60)
# As they are saved, before their size is changed.
SAVED = 16


def still(width: int, height: int) -> bytes:
    """One picture of COLOR."""
    return _resized(_saved(Image.new("RGB", (SAVED, SAVED), COLOR)), width, height)


def film(width: int, height: int) -> bytes:
    """An animation of two frames with transparency, the first one of COLOR."""
    frames = [Image.new("RGBA", (SAVED, SAVED), (*color, 90)) for color in (COLOR, (0, 0, 0))]
    data = _saved(frames[0], save_all=True, append_images=frames[1:])
    return _resized(data, width, height)


def _saved(picture: Image.Image, **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", lossless=True, exact=True, **options)
    return buffer.getvalue()


def _resized(data: bytes, width: int, height: int) -> bytes:
    changed = bytearray(data)
    canvas = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    # Where each chunk has its size: behind flags, behind its place, behind a signature.
    for name, offset in ((b"VP8X", 12), (b"ANMF", 14), (b"VP8L", 9)):
        at = changed.find(name)
        while at >= 0:
            place = at + offset
            if name == b"VP8L":
                kept = struct.unpack_from("<I", changed, place)[0] >> 28 << 28
                struct.pack_into("<I", changed, place, kept | (height - 1) << 14 | width - 1)
            else:
                changed[place : place + 6] = canvas
            at = changed.find(name, place)
    return bytes(changed)
