"""Output folders that are replaced as a whole: a name shows the former one or the new one.

A new folder grows under a hidden name beside the final one, and takes its place when it is
complete. Linux exchanges two names in one step. Some file systems cannot; there the former folder
is renamed aside first, and a kill between the two renames leaves nothing under the final name.
`recover` finishes what such a kill interrupted.

    .NAME.tmp-HOST-PID-HEX       grows; complete once there is a `.former-` with the same ending
    .NAME.former-HOST-PID-HEX    the folder that was replaced, until it is removed
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator

from alexnet_common import files
from alexnet_common.messages import log

_FORMER = ".former-"
# Of linux/fcntl.h and linux/fs.h.
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
# What says that this kernel, or this file system, has no exchange.
_NO_EXCHANGE = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP)


@contextlib.contextmanager
def atomic_folder(path: str | os.PathLike[str]) -> Iterator[str]:
    """A new hidden folder that takes the place of `path` when the block ends, or vanishes.

    What lay at `path` stays there until then, and stays for good if anything fails. Its contents
    are on the disk before the name is. The folder has the permissions that the umask leaves.

    Args:
        path: a local folder, there already or not; of a link, what it points at.

    Raises:
        OSError: the disk is full, or the folder cannot be written.
    """
    final = os.path.realpath(path)
    files.make_dirs(os.path.dirname(final))
    temporary = files.temporary_name(final)
    with files.named_in_errors(os.fspath(path), temporary):
        os.mkdir(temporary)
        files.UNFINISHED.add(temporary)
        try:
            yield temporary
            _sync(temporary)
            # Complete: from here on a sudden end must leave it to `recover`.
            files.UNFINISHED.discard(temporary)
            _publish(temporary, final)
        finally:
            files.UNFINISHED.discard(temporary)
            # With a former folder aside, one of the two is all there is.
            if not os.path.lexists(_former(temporary)):
                shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def scratch_folder() -> Iterator[str]:
    """A new folder among the system's temporary ones, which is gone when the block ends.

    Also when the process ends suddenly (`files.remove_unfinished`).

    Raises:
        OSError: there is no folder for temporary files.
    """
    with tempfile.TemporaryDirectory(prefix="alexnet-") as folder:
        files.UNFINISHED.add(folder)
        try:
            yield folder
        finally:
            files.UNFINISHED.discard(folder)


def recover(path: str | os.PathLike[str]) -> None:
    """Finishes the replacement of `path` that a killed command began, and says what it found.

    Folders of commands that still run, and of other machines, are left alone.

    Raises:
        OSError: the folder that is to come back cannot be renamed.
    """
    final = os.path.realpath(path)
    for temporary in _begun(final):
        former = _former(temporary)
        if not files.left_behind(os.path.basename(temporary)):
            if os.path.isdir(former) and not os.path.lexists(final):
                log(
                    f"note: {path} is not there, {former} holds what it was: another machine "
                    "replaces it now, or was stopped meanwhile; then rename it back"
                )
            continue
        if os.path.lexists(final):
            log(f"note: {path}: removed what a killed command left beside it")
        elif os.path.isdir(former) and os.path.isdir(temporary):
            os.rename(temporary, final)
            log(f"note: {path}: put in place what a killed command had finished")
        elif os.path.isdir(former):
            os.rename(former, final)
            log(f"note: {path}: put back what a killed command had moved away")
        else:
            log(f"note: {path}: removed what a killed command left unfinished")
        for folder in (temporary, former):
            shutil.rmtree(folder, ignore_errors=True)


def _begun(final: str) -> list[str]:
    """Temporary names of the replacements of `final` that left a folder; first those near the end.

    A temporary file of the same name (`files.atomic_writer`) is no such folder.
    """
    parent, name = os.path.split(final)
    try:
        hidden = os.listdir(parent)
    except OSError:
        return []
    kinds = f"{re.escape(_FORMER)}|{re.escape(files.TEMPORARY)}"
    ours = re.compile(rf"(\.{re.escape(name)})({kinds})(\w+-\d+-[0-9a-f]{{8}})")
    found: dict[str, bool] = {}
    for match in filter(None, map(ours.fullmatch, hidden)):
        if os.path.isdir(os.path.join(parent, match[0])):
            temporary = os.path.join(parent, f"{match[1]}{files.TEMPORARY}{match[3]}")
            found[temporary] = found.get(temporary, False) or match[2] == _FORMER
    return sorted(found, key=lambda temporary: not found[temporary])


def _former(temporary: str) -> str:
    """Where the folder goes that the one at `temporary` replaces."""
    head, _, tail = temporary.rpartition(files.TEMPORARY)
    return f"{head}{_FORMER}{tail}"


def _publish(temporary: str, final: str) -> None:
    """Puts a finished folder in the place of `final`, and what lay there away."""
    parent = os.path.dirname(final)
    try:
        # Onto a free name, or an empty folder.
        os.rename(temporary, final)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        if not _exchange(temporary, final):
            _replace_in_two_steps(temporary, final)
    files.sync(parent)


def _replace_in_two_steps(temporary: str, final: str) -> None:
    former = _former(temporary)
    try:
        os.rename(final, former)
        os.rename(temporary, final)
    except BaseException:
        if not os.path.lexists(final):
            os.rename(former, final)
        raise
    files.sync(os.path.dirname(final))
    shutil.rmtree(former, ignore_errors=True)


def _exchange(one: str, other: str) -> bool:
    """Exchanges two names in one step; False where the kernel or the file system cannot."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    names = (_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other))
    if renameat2(*names, _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _NO_EXCHANGE:
        return False
    raise OSError(number, os.strerror(number), one, None, other)


def _sync(folder: str) -> None:
    """Brings all files of a folder to the disk, so that a power cut leaves none of them empty."""
    for place, _, names in os.walk(folder):
        for name in names:
            files.sync(os.path.join(place, name))
        files.sync(place)
