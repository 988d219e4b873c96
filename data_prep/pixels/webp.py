"""The chunks of an extended WebP (RFC 9649), walked before a decoder sees them.

Decoders differ in what they do with a file whose chunks are not those that its header announces:
libwebp's demultiplexer, which Pillow uses, refuses it, its plain decoder, which TensorFlow uses,
takes the first picture that it finds. So such a file is refused by its chunks.
"""

import collections
import struct

from data_prep.pixels.errors import ImageError

# The flags of RFC 9649: colour profile, alpha, EXIF, XMP, animation.
ANIMATION, EXIF, ALPHA, ALL_FLAGS = 0x02, 0x08, 0x10, 0x3E
# A file with more is not a photograph.
MAX_CHUNKS = 10_000
# Where the first chunk of an extended file begins.
FIRST_CHUNK = 12
CUT_CHUNK = "truncated WebP (a chunk reaches beyond the end of the file)"
OTHER_CHUNKS = "damaged WebP (its chunks are not those that its header announces)"
TOO_MANY_CHUNKS = f"WebP of more than {MAX_CHUNKS:,} chunks, which is not decoded"
PICTURES = (b"VP8 ", b"VP8L")
# Of an animation.
NOT_IN_A_STILL = (b"ANIM", b"ANMF")


def has_transparency(data: bytes) -> bool:
    """Walks the chunks of an extended WebP without animation or alpha in its flags.

    Returns:
        Whether there is an alpha chunk all the same.

    Raises:
        ImageError: in one line: a chunk is cut off, there is not exactly one picture, or there
            are chunks that the header does not announce.
    """
    end = 8 + struct.unpack_from("<I", data, 4)[0]
    position, names = FIRST_CHUNK, collections.Counter[bytes]()
    while position + 8 <= end <= len(data):
        if names.total() == MAX_CHUNKS:
            raise ImageError(TOO_MANY_CHUNKS)
        name, length = struct.unpack_from("<4sI", data, position)
        if name == b"ALPH":
            return True
        names[name] += 1
        position += 8 + length + length % 2
    if position != end or end > len(data):
        raise ImageError(CUT_CHUNK)
    pictures, others = (sum(names[n] for n in some) for some in (PICTURES, NOT_IN_A_STILL))
    if (pictures, names[b"VP8X"], others, data[20] & ~ALL_FLAGS) != (1, 1, 0, 0):
        raise ImageError(OTHER_CHUNKS)
    return False
