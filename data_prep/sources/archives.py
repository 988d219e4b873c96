"""Tar archives read in place: one pass over the headers, then every file by its offset.

Nothing is ever extracted, so an archive cannot write anywhere; names become keys of images and are
refused where they are not plain relative paths. An archive that is not what it claims (damaged
headers, files that reach beyond its end, links, devices, a name twice, a missing end, another
archive behind its end) is refused as a whole, because a part of it would be a silently smaller
dataset.
"""

import itertools
import os
from collections.abc import Iterator
from typing import NamedTuple

from alexnet_common import files, hidden_files
from alexnet_common.errors import UserError

BLOCK = 512
_REGULAR = (b"0", b"\0", b"7")
# With the names in an incremental backup as its content; the name of the archive, as --label.
_DIRECTORY, _LISTED_DIRECTORY, _VOLUME = b"5", b"D", b"V"
_LONG_NAME, _LONG_LINK = b"L", b"K"
_PAX, _PAX_GLOBAL = b"x", b"g"
_REFUSED = {
    b"1": "a hard link; tar --hard-dereference stores the file",
    b"2": "a symbolic link; tar --dereference stores the file",
    b"3": "a device", b"4": "a device", b"6": "a pipe",
    b"S": "a sparse file; tar without --sparse stores it as any other",
    b"M": "a continued volume; join the volumes",
}  # fmt: skip
# Names and extended headers are short; a longer one is an attack on memory.
_MAX_EXTENSION_BYTES = 1 << 20
_MAX_LENGTH_DIGITS = len(str(_MAX_EXTENSION_BYTES))

FOLDER = -1
_COMPRESSED = (
    (b"\x1f\x8b", "a gzip"), (b"BZh", "a bzip2"), (b"\xfd7zXZ", "an xz"),
    (b"\x28\xb5\x2f\xfd", "a zstd"), (b"PK\x03\x04", "a zip"), (b"7z\xbc\xaf", "a 7z"),
    (b"Rar!", "a RAR"), (b"\x04\x22\x4d\x18", "an lz4"), (b"\x1f\x9d", "a compress (.Z)"),
    (b"\x5d\0\0", "an lzma"), (b"PK\x07\x08", "a split zip"), (b"07070", "a cpio"),
)  # fmt: skip
# Pieces in which what follows an end mark is read; mostly some kB.
_PIECE = 1 << 20


class Member(NamedTuple):
    """A regular file within an archive: `size` bytes from `offset` of the archive's file.

    The offset of a folder is `FOLDER`.
    """

    name: str
    offset: int
    size: int


class ArchiveError(UserError):
    """An archive that is refused, in one line: which one, which member, and why."""


def members(path: str, begin: int = 0, end: int | None = None) -> list[Member]:
    """The regular files and the folders of a tar archive, by reading its headers only.

    Args:
        path: the archive's file.
        begin, end: the part of the file that is the archive, for one within another.

    Raises:
        ArchiveError: anything about it is not as it should be.
    """
    with files.open_regular(path) as file:
        stop = os.fstat(file.fileno()).st_size if end is None else end
        entries = list(_scan(file.fileno(), path, begin, stop))
    names = set()
    for member in entries:
        if member.offset != FOLDER:
            if member.name in names:
                raise ArchiveError(f"{path}: refused, {member.name!r} is in it twice")
            names.add(member.name)
    return entries


def first_members(path: str, count: int) -> list[Member]:
    """The first regular files of an archive, at most `count`, in their order.

    Raises:
        ArchiveError: something is not as it should be before them.
    """
    with files.open_regular(path) as file:
        stop = os.fstat(file.fileno()).st_size
        entries = _scan(file.fileno(), path, 0, stop)
        regular = (member for member in entries if member.offset != FOLDER)
        return list(itertools.islice(regular, count))


def class_archives(path: str, begin: int, end: int, folder: str) -> Iterator[Member]:
    """The files of a class archive, in the folder of its class.

    Args:
        path, begin, end: as `members`.
        folder: name of the class.

    Raises:
        ArchiveError: as `members`, or it is empty.
    """
    inside = members(path, begin, end)
    if not any(inner.offset != FOLDER for inner in inside):
        raise ArchiveError(f"{path}: refused, {folder + '.tar'!r} in it is empty")
    # An archive of class archives that hold a folder of their class once more.
    again = all(f"{inner.name}/".startswith(f"{folder}/") for inner in inside)
    for inner in inside:
        yield inner if again else inner._replace(name=f"{folder}/{inner.name}")


def nested_members(path: str) -> Iterator[Member]:
    """As `members`, and every member `NAME.tar` becomes the files in it, as `NAME/file`.

    One archive after the other is listed, so memory is bounded by the largest of them. Names that
    are in the archive twice are left to the caller to find.

    Raises:
        ArchiveError: as `members`, or an archive mixes nested archives with other files.
    """
    with files.open_regular(path) as file:
        stop = os.fstat(file.fileno()).st_size
        nested = other = None
        for member in _scan(file.fileno(), path, 0, stop):
            if member.offset == FOLDER or hidden_files.is_hidden(member.name):
                yield member
                continue
            if is_tar_name(member.name):
                nested = member.name
            else:
                other = member.name
            if nested and other:
                raise ArchiveError(
                    f"{path}: refused, holds archives and other files (as {other!r})"
                )
            if nested:
                folder = os.path.basename(member.name)[: -len(".tar")]
                yield from class_archives(path, member.offset, member.offset + member.size, folder)
            else:
                yield member


def is_tar_name(name: str) -> bool:
    """Whether a file is a class archive by its name, in any case."""
    return name.casefold().endswith(".tar")


def _scan(descriptor: int, path: str, begin: int, end: int) -> Iterator[Member]:
    position = begin
    long_name: str | None = None
    extended: dict[str, str] = {}
    while True:
        header = os.pread(descriptor, BLOCK, position) if position + BLOCK <= end else b""
        if len(header) < BLOCK:
            if position == 0:
                raise _too_short(descriptor, path)
            raise ArchiveError(
                f"{path}: refused, it ends at byte {position:,} without its end mark (truncated?)"
            )
        if header == bytes(BLOCK):
            _refuse_another(descriptor, path, position, end)
            return
        kind = header[156:157]
        size = _checked_size(header, path, position)
        name = long_name or _name(header)
        if kind in (_LONG_NAME, _LONG_LINK, _PAX, _PAX_GLOBAL):
            if size > _MAX_EXTENSION_BYTES or position + BLOCK + size > end:
                raise ArchiveError(f"{path}: refused, a name of {size:,} bytes at {position:,}")
            content = os.pread(descriptor, size, position + BLOCK)
            if kind == _LONG_NAME:
                long_name = content.rstrip(b"\0").decode("utf-8", "surrogateescape")
            elif kind == _PAX:
                extended = _pax(content, path, position)
        else:
            name = extended.get("path", name)
            if "size" in extended:
                size = _pax_size(extended["size"], path, name)
            if any(key.startswith("GNU.sparse") for key in extended):
                kind, name = b"S", extended.get("GNU.sparse.name", name)
            if kind not in (*_REGULAR, _DIRECTORY, _LISTED_DIRECTORY, _VOLUME):
                what = _REFUSED.get(kind, f"of an unknown type {kind!r}")
                raise ArchiveError(f"{path}: refused, {name!r} in it is {what}")
            name = "." if kind == _VOLUME else plain_name(name, path)
            if kind in (_DIRECTORY, _LISTED_DIRECTORY, _VOLUME):
                size = size if kind == _LISTED_DIRECTORY else 0
                if name != ".":
                    yield Member(name, FOLDER, 0)
            elif position + BLOCK + size > end:
                raise ArchiveError(
                    f"{path}: refused, {name!r} claims {size:,} bytes, "
                    f"{end - position - BLOCK:,} are left"
                )
            else:
                yield Member(name, position + BLOCK, size)
            long_name, extended = None, {}
        position += BLOCK + -(-size // BLOCK) * BLOCK


def _checked_size(header: bytes, path: str, position: int) -> int:
    """The size that a header states, after the header's own checksum."""
    if not is_header(header):
        if position == 0 and header[257:262] != b"ustar":
            raise ArchiveError(f"{path}: is not an uncompressed tar archive{compression(header)}")
        raise ArchiveError(f"{path}: refused, damaged header at byte {position:,}")
    field = header[124:136]
    if field[0] & 0x80:
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
    try:
        size = int(field.rstrip(b"\0 ").strip() or b"0", 8)
    except ValueError:
        size = -1
    if size < 0:
        raise ArchiveError(f"{path}: refused, no size in the header at byte {position:,}")
    return size


def is_header(block: bytes) -> bool:
    """Whether a block is the header of a member, by its own checksum."""
    try:
        stated = int(block[148:156].rstrip(b"\0 ").strip() or b"-1", 8)
    except ValueError:
        return False
    total = sum(block) - sum(block[148:156]) + 8 * ord(" ")
    # Some old writers summed signed bytes.
    return stated == total or stated == _signed_sum(block)


def _refuse_another(descriptor: int, path: str, position: int, end: int) -> None:
    """Refuses what would be left out: tar reads to the end mark, of archives joined by cat too."""
    begin = position
    while begin < end:
        piece = os.pread(descriptor, min(_PIECE, end - begin), begin)
        if not piece:
            return
        if piece.count(0) < len(piece):
            first = begin + len(piece) - len(piece.lstrip(b"\0"))
            at = first - (first - position) % BLOCK
            if is_header(os.pread(descriptor, BLOCK, at)):
                raise ArchiveError(
                    f"{path}: refused, another archive begins at byte {at:,}, behind its end mark "
                    "(joined by cat?); tar --concatenate joins archives, or name a folder of both"
                )
            return
        begin += len(piece)


def compressed_kind(header: bytes) -> str | None:
    """What a file that begins like this is, with its article, if it is a compressed one."""
    return next((f"{name} file" for mark, name in _COMPRESSED if header.startswith(mark)), None)


def compression(header: bytes) -> str:
    """What to say of a file that begins like this, if it is a compressed one."""
    kind = compressed_kind(header)
    if kind is not None:
        return f" but {kind}; unpack it, or name an uncompressed .tar"
    return "; expected a folder of class folders, or a tar, tar.gz or zip of them"


def _too_short(descriptor: int, path: str) -> ArchiveError:
    """The error of a file that is shorter than a header."""
    header = os.pread(descriptor, BLOCK, 0)
    if not header:
        return ArchiveError(f"{path}: is empty (0 bytes)")
    return ArchiveError(f"{path}: is not an uncompressed tar archive{compression(header)}")


def _signed_sum(header: bytes) -> int:
    blank = header[:148] + b" " * 8 + header[156:]
    return sum(byte - 256 if byte > 127 else byte for byte in blank)


def _name(header: bytes) -> str:
    name = header[:100].split(b"\0")[0]
    prefix = header[345:500].split(b"\0")[0]
    if header[257:263] == b"ustar\0" and prefix:
        name = prefix + b"/" + name
    return name.decode("utf-8", "surrogateescape")


def plain_name(name: str, path: str) -> str:
    """The name without a leading `./`, if it stays within its folder.

    Raises:
        ArchiveError: it does not.
    """
    trimmed = name.rstrip("/")
    while trimmed.startswith("./"):
        trimmed = trimmed[2:]
    parts = trimmed.split("/")
    if trimmed in ("", "."):
        return "."
    if name.startswith("/") or ".." in parts or "" in parts or "\0" in name or "\\" in name:
        slashes = "; it has backslashes for slashes, unpack it" if "\\" in name else ""
        raise ArchiveError(f"{path}: refused, {name!r} in it is not a plain relative path{slashes}")
    return trimmed


def _pax(content: bytes, path: str, position: int) -> dict[str, str]:
    """The records `length key=value` of an extended header."""
    result = {}
    begin = 0
    while begin < len(content):
        space = content.find(b" ", begin, begin + _MAX_LENGTH_DIGITS + 1)
        digits = content[begin : max(begin, space)]
        end = begin + (int(digits) if digits.isdigit() else 0)
        line = content[space + 1 : end]
        key, equals, value = line.partition(b"=")
        if not begin < end <= len(content) or not equals or line[-1:] != b"\n":
            raise ArchiveError(f"{path}: refused, damaged extended header at byte {position:,}")
        result[key.decode("utf-8", "replace")] = value[:-1].decode("utf-8", "surrogateescape")
        begin = end
    return result


def _pax_size(text: str, path: str, name: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise ArchiveError(f"{path}: refused, {name!r} claims a size of {text!r}")
    return int(text)
