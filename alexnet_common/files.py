"""Files on a local disk or in an object store, read and written with one vocabulary.

Local paths use the operating system alone. Paths with a scheme (`gs://`, `s3://`, `file://`)
use `tf.io.gfile`, which is imported only then; what fails there is an OSError too.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import shutil
import socket
import stat
import sys
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

from alexnet_common import tensorflow_import
from alexnet_common.errors import UserError, one_line

if TYPE_CHECKING:
    import numpy as np

# Stands in the names of what is not finished.
TEMPORARY = ".tmp-"
# Files and folders that are begun and not yet published.
UNFINISHED: set[str] = set()
_SPECIAL_FILES = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://")
# What stands for an open file of this process, whatever that is: a pipe, a terminal, a file.
_DESCRIPTOR = re.compile(r"/dev/(stdout|stderr)|(?:/dev|/proc/self)/fd/(\d{1,9})")
_STREAMS = {"stdout": 1, "stderr": 2}


def is_remote(path: str) -> bool:
    """Whether the path carries a scheme and so belongs to `tf.io.gfile`."""
    return _SCHEME.match(path) is not None


def join(folder: str, *names: str) -> str:
    """Joins path components, of a local or a remote path."""
    return os.path.join(folder, *names)


def exists(path: str) -> bool:
    """Whether there is a file or folder of that name."""
    if is_remote(path):
        with _gfile(path) as gfile:
            return bool(gfile.exists(path))
    return os.path.exists(path)


def is_dir(path: str) -> bool:
    """Whether there is a folder of that name."""
    if is_remote(path):
        with _gfile(path) as gfile:
            if gfile.isdir(path):
                return True
            # That is False also where nothing can be asked; this says why.
            gfile.exists(path)
            return False
    return os.path.isdir(path)


def size(path: str) -> int | None:
    """Size in bytes, or None where there is no such file."""
    if is_remote(path):
        with _gfile(path) as gfile:
            return int(gfile.stat(path).length) if gfile.exists(path) else None
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return None


def make_dirs(path: str) -> None:
    """Makes a folder and its parents; one that is there already is fine."""
    if is_remote(path):
        with _gfile(path) as gfile:
            gfile.makedirs(path)
    else:
        os.makedirs(path, exist_ok=True)


def list_dir(path: str) -> list[str]:
    """Sorted names in a folder."""
    if is_remote(path):
        with _gfile(path) as gfile:
            return sorted(name.rstrip("/") for name in gfile.listdir(path))
    return sorted(os.listdir(path))


def remove(path: str) -> None:
    """Removes a file; one that is gone already is fine."""
    if is_remote(path):
        with _gfile(path) as gfile:
            if gfile.exists(path):
                gfile.remove(path)
        return
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def read_bytes(path: str) -> bytes:
    """The whole content.

    Raises:
        OSError: the file is missing or cannot be read.
    """
    with open_for_reading(path) as file:
        return bytes(file.read())


def open_regular(path: str) -> BinaryIO:
    """Opens a local file for reading, if it is one: a pipe would block, a device never end.

    Raises:
        OSError: it is missing, cannot be read, or is a folder, a pipe, a socket or a device.
    """
    # Without O_NONBLOCK the open itself waits for the writer of a pipe.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        what = next((name for test, name in _SPECIAL_FILES if test(mode)), "a special file")
        raise OSError(errno.EINVAL, f"is {what}, not a regular file", path)
    return os.fdopen(descriptor, "rb")


def expand_user(path: str) -> str:
    """The path with a leading `~` or `~user` replaced: in `--flag=~/x` no shell does it."""
    return path if is_remote(path) else os.path.expanduser(path)


@contextlib.contextmanager
def open_for_reading(path: str) -> Iterator[Any]:
    """A binary file object with `read` and `seek`."""
    with _opened(path, "rb") as file:
        yield file


@contextlib.contextmanager
def open_for_writing(path: str) -> Iterator[Any]:
    """A binary file object for a new file, whose content is on the disk when the block ends."""
    with _opened(path, "wb") as file:
        yield file
        if not is_remote(path):
            file.flush()
            os.fsync(file.fileno())


@contextlib.contextmanager
def _opened(path: str, mode: str) -> Iterator[Any]:
    if is_remote(path):
        with _gfile(path) as gfile, gfile.GFile(path, mode) as file:
            yield file
        return
    with open(path, mode) as file:
        yield file


def temporary_name(path: str) -> str:
    """A name beside `path` that no other process uses and that no reader takes for finished."""
    folder, name = os.path.split(path)
    return join(folder, f".{name}{TEMPORARY}{host_name()}-{os.getpid()}-{uuid.uuid4().hex[:8]}")


def host_name() -> str:
    """This machine's name, as it stands in temporary names."""
    return re.sub(r"[^A-Za-z0-9]", "", socket.gethostname()) or "host"


def left_behind(name: str) -> bool:
    """Whether a name is that of a temporary file whose process, of this machine, is gone."""
    match = re.fullmatch(rf"\..+{re.escape(TEMPORARY)}(\w+)-(\d+)-[0-9a-f]{{8}}", name)
    if match is None or match[1] != host_name():
        return False
    try:
        os.kill(int(match[2]), 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass
    return False


@contextlib.contextmanager
def atomic_writer(path: str | os.PathLike[str]) -> Iterator[Any]:
    """A binary file object whose content appears under `path` when the block ends, or not at all.

    The folder is made if needed. The content is on the disk before the name is, so that the file is
    whole or absent also after a power cut; `path` keeps what it held if anything fails. A pipe, a
    device and what stands for an open file, such as /dev/stdout, are written to as they are.

    Raises:
        OSError: the disk is full, or the folder cannot be written.
    """
    final = os.fspath(path)
    if _is_special(final):
        with named_in_errors(final, final), _open_special(final) as special:
            yield special
        return
    make_dirs(os.path.dirname(final) or ".")
    temporary = temporary_name(final)
    UNFINISHED.add(temporary)
    try:
        with named_in_errors(final, temporary):
            with open_for_writing(temporary) as file:
                yield file
            publish(temporary, final)
    except BaseException:
        remove_quietly(temporary)
        raise
    finally:
        UNFINISHED.discard(temporary)


@contextlib.contextmanager
def named_in_errors(path: str, temporary: str) -> Iterator[None]:
    """Names `path` in errors that name nothing, as of a full disk, or what lies at `temporary`."""
    try:
        yield
    except OSError as error:
        if error.errno and (not error.filename or str(error.filename).startswith(temporary)):
            error.filename = path
        raise


def remove_unfinished() -> None:
    """Removes what is begun and not yet published, before a sudden end."""
    for temporary in list(UNFINISHED):
        if os.path.isdir(temporary):
            shutil.rmtree(temporary, ignore_errors=True)
        elif not is_remote(temporary):
            remove_quietly(temporary)


def check_writable(path: str, flag: str) -> None:
    """Makes sure that a file can be written under `path`, before what it shall hold is computed.

    Nothing is left behind: where its folder is still to be made, the one above is tried.

    Args:
        path: a file, there already or not.
        flag: names it in the message, such as "--output".

    Raises:
        UserError: it is a folder, or its folder cannot be made or written.
    """
    if is_dir(path):
        raise UserError(f"{flag} {path} is a folder; name a file")
    if _is_special(path):
        return
    folder = os.path.dirname(path) or "."
    while not (is_remote(folder) or os.path.lexists(folder)):
        folder = os.path.dirname(folder) or "."
    probe = temporary_name(join(folder, os.path.basename(path)))
    try:
        with open_for_writing(probe):
            pass
    except (FileExistsError, NotADirectoryError) as error:
        raise UserError(
            f"{flag} {path} cannot be written: a part of its path is a file, not a folder"
        ) from error
    except OSError as error:
        raise UserError(f"{flag} {path} cannot be written: {error.strerror or error}") from error
    finally:
        remove_quietly(probe)


def _is_special(path: str) -> bool:
    """Whether something lies there that is neither a file nor a folder of its own."""
    if is_remote(path):
        return False
    there = os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)
    return there or _DESCRIPTOR.fullmatch(path) is not None


def _open_special(path: str) -> BinaryIO:
    match = _DESCRIPTOR.fullmatch(path)
    if match is None:
        return open(path, "wb")
    descriptor = _STREAMS[match[1]] if match[1] else int(match[2])
    if descriptor == _STREAMS["stdout"]:
        sys.stdout.flush()
    # Opened by its name, a file would be cut off, and go on at a place of its own.
    return os.fdopen(os.dup(descriptor), "wb")


def write_atomically(path: str | os.PathLike[str], data: bytes) -> None:
    """Writes a whole file by `atomic_writer`."""
    with atomic_writer(path) as file:
        file.write(data)


def write_if_absent(path: str, data: bytes) -> bool:
    """Writes a whole file unless one of that name exists; of two at once one wins.

    Returns:
        Whether this call wrote it. Object stores have no such operation: there the last one wins.
    """
    if exists(path):
        return False
    if is_remote(path):
        write_atomically(path, data)
        return True
    temporary = temporary_name(path)
    try:
        with open_for_writing(temporary) as file:
            file.write(data)
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        except OSError:  # a file system without hard links
            publish(temporary, path)
        return True
    finally:
        remove_quietly(temporary)


def publish(temporary: str, path: str) -> None:
    """Renames a finished temporary file to its final name, replacing what was there."""
    if is_remote(path):
        with _gfile(path) as gfile:
            gfile.rename(temporary, path, overwrite=True)
        return
    os.replace(temporary, path)
    sync(os.path.dirname(path) or ".")


def sync(path: str) -> None:
    """Brings a file to the disk, or the names in a folder, where its file system can."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)


def array_to_bytes(array: np.ndarray) -> bytes:
    """The array as a .npy file."""
    import numpy as np

    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def array_from_bytes(data: bytes) -> np.ndarray:
    """The array of a .npy file; never unpickles.

    Raises:
        ValueError: the bytes are no .npy file of plain numbers.
    """
    import numpy as np

    try:
        array = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError, OSError, SyntaxError, TypeError) as error:
        raise ValueError(str(error)) from error
    if not isinstance(array, np.ndarray):
        raise ValueError("not a single array")
    return array


def remove_quietly(path: str) -> None:
    """Removes a file on the way out of an error, which must not be hidden by another one."""
    with contextlib.suppress(Exception):
        remove(path)


@contextlib.contextmanager
def _gfile(path: str) -> Iterator[Any]:
    """TensorFlow's file systems, whose errors become an OSError that names `path`."""
    tensorflow_import.import_tensorflow()
    import tensorflow as tf

    try:
        yield tf.io.gfile
    except tf.errors.OpError as error:
        raise OSError(f"{path}: {one_line(error.message)}") from error
