"""Every file of a folder or of an archive by its relative path: the same for all of them.

Archives are tars, tars of class tars, folders of class tars, zips and `.tar.gz`; their content
says which. What systems leave behind (any part of a path that begins with a dot, `__MACOSX`,
`Thumbs.db` and the like) is passed over and told.
"""

import functools
import os
from collections.abc import Iterable
from typing import Any

from alexnet_common import files, hidden_files
from alexnet_common.errors import UserError
from data_prep.sources import archives, index_file, reading, unpacked, zips
from data_prep.sources.archives import Member
from data_prep.sources.image_table import PLAIN, ZIP_MEMBER, FileTable, Place


class Tree:
    """What lies below a root, by relative paths with `/`.

    Attributes:
        table: every file that is not hidden.
        hidden: topmost hidden files and folders, which are ignored, sorted.
    """

    def __init__(self, table: FileTable, folders: Iterable[str], hidden: Iterable[str]) -> None:
        self.table = table
        self.hidden = tuple(sorted(hidden))
        self._folders = set(folders)

    @functools.cached_property
    def folders(self) -> list[str]:
        """All folders that are not hidden, also the empty ones, sorted."""
        whole = set()
        for folder in (*self._folders, *self.table.folders):
            while folder and folder not in whole:
                whole.add(folder)
                folder = folder.rpartition("/")[0]
        return sorted(whole)

    def children(self, prefix: str) -> tuple[list[str], list[str]]:
        """Sorted names of the files and of the folders directly below `prefix` ("" or "a/b/")."""
        names = [self.table.name(int(row)) for row in self.table.rows_in(prefix.rstrip("/"))]
        folders = [
            folder[len(prefix) :]
            for folder in self.folders
            if folder.startswith(prefix) and "/" not in folder[len(prefix) :]
        ]
        return sorted(names), folders

    def read(self, path: str) -> bytes | None:
        """The content of a file, or None where there is none of that path."""
        folder, _, name = path.rpartition("/")
        for row in self.table.rows_in(folder):
            if self.table.name(int(row)) == name:
                return reading.read_place(self.table.place(int(row)))
        return None


def scan(path: str, cache_folder: str | None = None) -> Tree:
    """Lists a folder, or an archive by its headers.

    Args:
        path: folder or archive.
        cache_folder: where the index of an archive is kept, and what has to be unpacked.

    Raises:
        UserError: there is nothing at `path`, an archive is refused, or a folder contains itself.
        OSError: something cannot be listed.
    """
    if not os.path.exists(path):
        raise UserError(f"{path}: no such file or folder")
    if os.path.isdir(path):
        tars = class_tars(path)
        return _class_tars(path, tars, cache_folder) if tars else _scan_folder(path)
    with files.open_regular(path) as file:
        magic = file.read(4)
    if magic in zips.MAGIC:
        return _archive(path, path, cache_folder, ZIP_MEMBER)
    if magic.startswith(unpacked.GZIP_MAGIC):
        return _archive(path, unpacked.tar_of(path, cache_folder), cache_folder, PLAIN)
    return _archive(path, path, cache_folder, PLAIN)


def class_tars(folder: str) -> list[str]:
    """The archives of a folder that holds nothing else, by name; empty for other folders."""
    names = sorted(name for name in os.listdir(folder) if not hidden_files.is_hidden_part(name))
    if not all(archives.is_tar_name(name) for name in names):
        return []
    paths = [os.path.join(folder, name) for name in names]
    return paths if all(os.path.isfile(path) for path in paths) else []


def _archive(path: str, plain: str, cache_folder: str | None, coding: int) -> Tree:
    def make() -> tuple[FileTable, dict[str, Any]]:
        table = FileTable(paths=[plain])
        members = zips.members(plain) if coding == ZIP_MEMBER else archives.nested_members(plain)
        try:
            extra = _add(table, plain, members, coding)
        except archives.ArchiveError as error:
            # Of the unpacked file nobody knows but us.
            raise archives.ArchiveError(f"{path}{str(error).removeprefix(plain)}") from error
        twice = table.twice()
        if twice is not None:
            raise archives.ArchiveError(f"{path}: refused, {twice!r} is in it twice")
        return table, extra

    table, extra = index_file.kept(cache_folder, index_file.name_of(path), [plain], make)
    return Tree(table, extra["folders"], extra["hidden"])


def _class_tars(path: str, tars: list[str], cache_folder: str | None) -> Tree:
    """A folder of one archive per class, as ImageNet-21k and its winter of 2021 come."""

    def make() -> tuple[FileTable, dict[str, Any]]:
        table = FileTable(paths=tars)
        extra: dict[str, Any] = {"folders": [], "hidden": []}
        for tar in tars:
            name = os.path.basename(tar)[: -len(".tar")]
            members = archives.class_archives(tar, 0, os.path.getsize(tar), name)
            more = _add(table, tar, members, PLAIN)
            extra["folders"] += more["folders"]
            extra["hidden"] += more["hidden"]
        return table, extra

    table, extra = index_file.kept(cache_folder, index_file.name_of(path), tars, make)
    return Tree(table, extra["folders"], extra["hidden"])


def _add(table: FileTable, path: str, members: Iterable[Member], coding: int) -> dict[str, Any]:
    """Adds the files of an archive; folders and hidden names are the result."""
    hidden: set[str] = set()
    folders: list[str] = []
    for member in members:
        if hidden_files.is_hidden(member.name):
            hidden.add(_topmost_hidden(member.name))
        elif member.offset == archives.FOLDER:
            folders.append(member.name)
        else:
            table.add_path(member.name, Place(path, member.offset, member.size, coding))
    return {"folders": folders, "hidden": sorted(hidden)}


def _scan_folder(root: str) -> Tree:
    table = FileTable(root)
    folders: list[str] = []
    hidden: list[str] = []

    def walk(folder: str, below: str, above: tuple[tuple[int, int], ...]) -> None:
        status = os.stat(folder)
        identity = (status.st_dev, status.st_ino)
        if identity in above:
            raise UserError(f"{folder}: is a link to a folder that it lies in; remove it")
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                name = f"{below}/{entry.name}" if below else entry.name
                if hidden_files.is_hidden_part(entry.name):
                    hidden.append(name)
                elif entry.is_dir():
                    folders.append(name)
                    walk(entry.path, name, (*above, identity))
                else:
                    table.add(below, entry.name, None)

    walk(root, "", ())
    return Tree(table, folders, hidden)


def _topmost_hidden(name: str) -> str:
    parts = name.split("/")
    first = next(number for number, part in enumerate(parts) if hidden_files.is_hidden_part(part))
    return "/".join(parts[: first + 1])
