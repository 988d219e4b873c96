"""Zip archives read in place: the central directory lists them, members are inflated one by one.

What is refused of a tar is refused of a zip, too; so are encrypted members and methods other than
"stored" and "deflate".
"""

import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from alexnet_common.errors import one_line
from data_prep.sources import archives
from data_prep.sources.archives import FOLDER, ArchiveError, Member

MAGIC = (b"PK\x03\x04", b"PK\x05\x06")
# The fixed part of a member's header: signature, version, flags, method, time, date, CRC, stored
# size, size, lengths of name and extra field (PKWARE's APPNOTE.TXT, 4.3.7).
_HEADER = struct.Struct("<4s5H3I2H")
# What may follow the content: a mark, which writers may leave out, and its CRC (4.3.9).
_DESCRIPTOR, _DESCRIPTOR_MARK = struct.Struct("<2I"), 0x08074B50
_ENCRYPTED, _SIZES_FOLLOW = 0x1, 0x8
_STORED, _DEFLATED = 0, 8


def members(path: str) -> Iterator[Member]:
    """The files and folders of a zip archive; offset and size are those of the stored member.

    Raises:
        ArchiveError: it is damaged or cut off, or holds what is refused.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError) as error:
        raise ArchiveError(f"{path}: is not a whole zip archive ({one_line(error)})") from error
    end = os.path.getsize(path)
    for entry in entries:
        if not entry.filename:
            raise ArchiveError(f"{path}: refused, a member of it does not have a name")
        name = archives.plain_name(entry.orig_filename, path)
        if entry.is_dir():
            if name != ".":
                yield Member(name, FOLDER, 0)
            continue
        mode = entry.external_attr >> 16
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            raise ArchiveError(f"{path}: refused, {name!r} in it is a link or a special file")
        if entry.flag_bits & _ENCRYPTED:
            raise ArchiveError(f"{path}: refused, {name!r} in it is encrypted; unpack it")
        if entry.compress_type not in (_STORED, _DEFLATED):
            raise ArchiveError(
                f"{path}: refused, {name!r} in it is compressed by method {entry.compress_type}; "
                "only stored and deflated members are read in place, unpack it"
            )
        if entry.header_offset < 0 or entry.header_offset + entry.compress_size > end:
            raise ArchiveError(f"{path}: refused, {name!r} reaches beyond its end")
        yield Member(name, entry.header_offset, entry.compress_size)


def read_member(file: BinaryIO, offset: int, size: int, most: int) -> bytes:
    """The content of a member.

    Args:
        file: the archive.
        offset: of the member's header.
        size: bytes that it is stored in.
        most: a content of more bytes is refused, without being inflated.

    Raises:
        OSError: the member is not there, damaged, or too large.
    """
    descriptor = file.fileno()
    header = os.pread(descriptor, _HEADER.size, offset)
    if len(header) < _HEADER.size or header[:4] != MAGIC[0]:
        raise OSError("the zip archive does not hold it where its directory says")
    _, _, flags, method, _, _, crc, _, _, name_length, extra_length = _HEADER.unpack(header)
    if flags & _ENCRYPTED or method not in (_STORED, _DEFLATED):
        raise OSError("the zip archive's directory and its member contradict each other")
    begin = offset + _HEADER.size + name_length + extra_length
    stored = os.pread(descriptor, size, begin)
    if len(stored) != size:
        raise OSError(f"only {len(stored):,} of {size:,} bytes are there")
    data = stored if method == _STORED else _inflated(stored, most)
    if flags & _SIZES_FOLLOW:
        crc = _crc_behind(os.pread(descriptor, _DESCRIPTOR.size, begin + size))
    if zlib.crc32(data) != crc:
        raise OSError("damaged in the zip archive, its checksum differs")
    return data


def _crc_behind(descriptor: bytes) -> int | None:
    """The checksum that writers who stream state behind the content, with or without a mark."""
    if len(descriptor) < _DESCRIPTOR.size:
        return None
    first, second = _DESCRIPTOR.unpack(descriptor)
    return int(second if first == _DESCRIPTOR_MARK else first)


def _inflated(stored: bytes, most: int) -> bytes:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        data = inflater.decompress(stored, most + 1)
    except zlib.error as error:
        raise OSError(f"damaged in the zip archive ({error})") from error
    if len(data) > most:
        raise OSError(f"more than the {most:,} bytes that are read")
    if not inflater.eof:
        raise OSError("cut off in the zip archive")
    return data
