"""The bytes of one file, wherever it lies: on its own, in a tar, in a zip, in a record."""

import os

from alexnet_common import files
from data_prep.sources import zips
from data_prep.sources.image_table import WHOLE_FILE, ZIP_MEMBER, Place

# Files larger than this are not read: no photograph comes near, and memory stays bounded.
MAX_FILE_BYTES = 1 << 26


def read_place(place: Place) -> bytes:
    """The bytes of a file.

    Raises:
        OSError: it cannot be read, is not a regular file, is shorter than it was, is damaged, or is
            larger than `MAX_FILE_BYTES`.
    """
    if files.is_remote(place.path):
        return files.read_bytes(place.path)
    with files.open_regular(place.path) as file:
        whole = place.offset == WHOLE_FILE
        size = os.fstat(file.fileno()).st_size if whole else place.size
        if size > MAX_FILE_BYTES:
            raise OSError(f"{size:,} bytes are more than the {MAX_FILE_BYTES:,} that are read")
        if place.coding == ZIP_MEMBER:
            return zips.read_member(file, place.offset, size, MAX_FILE_BYTES)
        data = os.pread(file.fileno(), size, max(place.offset, 0))
    if len(data) != size:
        raise OSError(f"only {len(data):,} of {size:,} bytes are there")
    return data
