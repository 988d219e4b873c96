"""What cannot be read by offset is unpacked once, into one flat file beside the dataset.

A gzip stream (`.tar.gz`) has no entry points, so a shuffled order would begin at its start for
every image; columns of Parquet are compressed in pages of many images. JPEGs do not compress, so
the flat file is about as large as the source. No image becomes a file of its own.
"""

import contextlib
import errno
import gzip
import hashlib
import os
import shutil
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

from alexnet_common import files
from alexnet_common.errors import UserError
from alexnet_common.messages import log
from data_prep.sources import archives

# How the names of flat files begin.
PREFIX = "unpacked-"
GZIP_MAGIC = b"\x1f\x8b"
# Pictures hardly shrink; what grows more than this is an attack on the disk.
_MOST_TIMES, _ALWAYS_BYTES = 20, 1 << 30
_PIECE = 1 << 22


def flat_file(path: str, cache_folder: str | None) -> str:
    """Where the flat file of a source lies, for the source as it is now.

    Raises:
        UserError: there is no local folder to keep it in.
    """
    if cache_folder is None or files.is_remote(cache_folder):
        raise UserError(
            f"{path}: has to be unpacked once, which needs an --output_dir on a disk of this "
            "machine; unpack it, or name another --output_dir"
        )
    status = os.stat(path)
    told = f"{os.path.abspath(path)} {status.st_size} {status.st_mtime_ns}"
    digest = hashlib.sha256(told.encode("utf-8", "surrogateescape")).hexdigest()[:12]
    return files.join(cache_folder, f"{PREFIX}{digest}-{os.path.basename(path)}")


def announce(source: str, sizes: Mapping[str, int]) -> None:
    """Says that a source is unpacked, and how much room that takes, before any of it is.

    Args:
        source: for messages.
        sizes: bytes that each file to be written will have, by what `flat_file` gave.

    Raises:
        UserError: the disk is too small for all of them.
    """
    folder = os.path.dirname(next(iter(sizes)))
    files.make_dirs(folder)
    needed, free = sum(sizes.values()), shutil.disk_usage(folder).free
    if free < needed:
        raise UserError(
            f"{source}: has to be unpacked once to {folder}, which needs about {needed:,} bytes; "
            f"{free:,} are free"
        )
    log(
        f"{source}: is unpacked once to {folder}, about {needed:,} bytes; {folder}/{PREFIX}* may "
        "be removed when the dataset is complete"
    )


@contextlib.contextmanager
def writer(target: str, source: str) -> Iterator[Any]:
    """A file for the unpacked bytes of `source`, which appears under `target` when all is written.

    Args:
        target: what `flat_file` gave.
        source: for messages.

    Raises:
        UserError: the disk is full.
    """
    try:
        with files.atomic_writer(target) as file:
            yield file
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise UserError(
            f"{source}: cannot be unpacked to {os.path.dirname(target)}: {error.strerror}; "
            "make room and run the same command again, or name another --output_dir"
        ) from error


def tar_of(path: str, cache_folder: str | None) -> str:
    """The plain tar of a `.tar.gz`, unpacked now or by an earlier run.

    Raises:
        UserError: it is damaged or cut off, grows beyond all measure, or finds no room.
    """
    target = flat_file(path, cache_folder)
    if os.path.exists(target):
        return target
    _check_kind(path)
    size = os.path.getsize(path)
    most = max(_ALWAYS_BYTES, _MOST_TIMES * size)
    total = 0
    announce(path, {target: size})
    with writer(target, path) as output:
        try:
            with files.open_regular(path) as packed, gzip.GzipFile(fileobj=packed) as plain:
                while piece := plain.read(_PIECE):
                    total += len(piece)
                    if total > most:
                        raise UserError(
                            f"{path}: refused, {size:,} bytes unpack to more than {most:,}"
                        )
                    output.write(piece)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise _damaged(path, error) from error
    return target


def _check_kind(path: str) -> None:
    """Refuses the gzip of anything but a tar before it is unpacked."""
    try:
        with files.open_regular(path) as packed, gzip.GzipFile(fileobj=packed) as plain:
            head = plain.read(archives.BLOCK)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise _damaged(path, error) from error
    if any(head) and not archives.is_header(head):
        kind = archives.compressed_kind(head) or "something else"
        raise UserError(f"{path}: is the gzip of {kind}, expected that of a tar archive")


def _damaged(path: str, error: Exception) -> UserError:
    return UserError(f"{path}: the gzip stream is damaged or cut off ({error})")
