"""Every file of a folder or of a tar archive by its relative path: the same for both.

What systems leave behind (any part of a path that begins with a dot) is passed over and told.
"""

import dataclasses
import os
from typing import NamedTuple

from alexnet_common.errors import UserError
from data_prep.sources import archives

WHOLE_FILE = -1


class Place(NamedTuple):
    """Where a file's bytes lie: all of `path`, or `size` bytes of it from `offset`."""

    path: str
    offset: int = WHOLE_FILE
    size: int = 0


@dataclasses.dataclass(frozen=True)
class Tree:
    """What lies below a root, by relative paths with `/`.

    Attributes:
        files: where every file lies; none of them hidden.
        folders: the folders that are not hidden, also the empty ones.
        hidden: topmost hidden files and folders, which are ignored, sorted.
    """

    files: dict[str, Place]
    folders: tuple[str, ...]
    hidden: tuple[str, ...]

    def children(self, prefix: str) -> tuple[list[str], list[str]]:
        """Sorted names of the files and of the folders directly below `prefix` ("" or "a/b/")."""
        names: list[str] = []
        folders: set[str] = set()
        for path in self.files:
            if path.startswith(prefix):
                head, below, _ = path[len(prefix) :].partition("/")
                folders.add(head) if below else names.append(head)
        for path in self.folders:
            if path.startswith(prefix) and path != prefix:
                folders.add(path[len(prefix) :].partition("/")[0])
        return sorted(names), sorted(folders)


def scan(path: str, cache_folder: str | None = None) -> Tree:
    """Lists a folder, or a tar archive by its headers.

    Args:
        path: folder or archive.
        cache_folder: where the index of an archive is kept.

    Raises:
        UserError: there is nothing at `path`, an archive is refused, or a folder contains itself.
        OSError: something cannot be listed.
    """
    if not os.path.exists(path):
        raise UserError(f"{path}: no such file or folder")
    if os.path.isdir(path):
        return _scan_folder(path)
    members = archives.nested_members(path, cache_folder)
    hidden: set[str] = set()
    files: dict[str, Place] = {}
    folders: list[str] = []
    for member in members:
        if archives.is_hidden(member.name):
            hidden.add(_topmost_hidden(member.name))
        elif member.offset == archives.FOLDER:
            folders.append(member.name)
        else:
            files[member.name] = Place(path, member.offset, member.size)
    return Tree(files, tuple(folders), tuple(sorted(hidden)))


def _scan_folder(root: str) -> Tree:
    files: dict[str, Place] = {}
    folders: list[str] = []
    hidden: list[str] = []

    def walk(folder: str, prefix: str, above: tuple[tuple[int, int], ...]) -> None:
        status = os.stat(folder)
        identity = (status.st_dev, status.st_ino)
        if identity in above:
            raise UserError(f"{folder}: is a link to a folder that it lies in; remove it")
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                name = prefix + entry.name
                if entry.name.startswith("."):
                    hidden.append(name)
                elif entry.is_dir():
                    folders.append(name)
                    walk(entry.path, f"{name}/", (*above, identity))
                else:
                    files[name] = Place(entry.path)

    walk(root, "", ())
    return Tree(files, tuple(folders), tuple(sorted(hidden)))


def _topmost_hidden(name: str) -> str:
    parts = name.split("/")
    first = next(number for number, part in enumerate(parts) if part.startswith("."))
    return "/".join(parts[: first + 1])
