"""Files and images by the million, in columns: about 60 bytes each where objects take 600.

A `FileTable` says where files lie; `Images` are rows of such a table with their classes. Both are
filled once and then only read.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, overload

import numpy as np

WHOLE_FILE = -1
# How the bytes of a file lie where they lie.
PLAIN, ZIP_MEMBER = 0, 1
# Rows that are taken out of a column at a time.
_PIECE = 1 << 16
# The path of a file that is not part of another one: its folder and name below the base.
_ITSELF = -1


class Place(NamedTuple):
    """Where a file's bytes lie: all of `path`, or `size` bytes of it from `offset`.

    With the coding `ZIP_MEMBER`, `offset` is that of the member's header and `size` that of its
    stored content.
    """

    path: str
    offset: int = WHOLE_FILE
    size: int = 0
    coding: int = PLAIN


class SourceImage(NamedTuple):
    """One image: its key (`class/path below it`), its class, and where it lies, as a `Place`."""

    key: str
    class_name: str
    path: str
    offset: int = WHOLE_FILE
    size: int = 0
    coding: int = PLAIN

    @property
    def filename(self) -> str:
        """The file's own name, without folders."""
        return self.key.rsplit("/", 1)[-1]

    @property
    def path_in_class(self) -> str:
        """Where the file lies below the folder of its class."""
        return self.key.removeprefix(f"{self.class_name}/")


class FileTable:
    """Files by folder and name, and where each lies.

    Attributes:
        base: the folder that files without a place of their own lie in; "" for archives.
        folders: the folders of the files, relative, without a slash at the end.
        paths: the files that others lie in.
    """

    def __init__(self, base: str = "", paths: Sequence[str] = ()) -> None:
        self.base = base
        self.folders: list[str] = []
        self.paths: list[str] = list(paths)
        self.names = bytearray()
        self.ends = array("q")
        self.folder_ids = array("i")
        self.path_ids = array("i")
        self.offsets = array("q")
        self.sizes = array("q")
        self.codings = array("b")
        self._folder_numbers: dict[str, int] = {}
        self._path_numbers = {path: number for number, path in enumerate(self.paths)}

    def __len__(self) -> int:
        return len(self.ends)

    def add(self, folder: str, name: str, place: Place | None) -> None:
        """Adds a file; without a place it is a file of its own, below the base."""
        number = self._folder_numbers.get(folder)
        if number is None:
            number = self._folder_numbers[folder] = len(self.folders)
            self.folders.append(folder)
        self.folder_ids.append(number)
        self.names += name.encode("utf-8", "surrogateescape")
        self.ends.append(len(self.names))
        if place is None:
            self.path_ids.append(_ITSELF)
            self.offsets.append(WHOLE_FILE)
            self.sizes.append(0)
            self.codings.append(PLAIN)
            return
        path_number = self._path_numbers.get(place.path)
        if path_number is None:
            path_number = self._path_numbers[place.path] = len(self.paths)
            self.paths.append(place.path)
        self.path_ids.append(path_number)
        self.offsets.append(place.offset)
        self.sizes.append(place.size)
        self.codings.append(place.coding)

    def add_path(self, path: str, place: Place | None) -> None:
        """As `add`, by a relative path with slashes."""
        folder, _, name = path.rpartition("/")
        self.add(folder, name, place)

    def name(self, row: int) -> str:
        """The name of a file within its folder."""
        begin = self.ends[row - 1] if row else 0
        return self.names[begin : self.ends[row]].decode("utf-8", "surrogateescape")

    def folder(self, row: int) -> str:
        """The folder of a file."""
        return self.folders[self.folder_ids[row]]

    def path(self, row: int) -> str:
        """Folder and name."""
        folder = self.folder(row)
        return f"{folder}/{self.name(row)}" if folder else self.name(row)

    def place(self, row: int) -> Place:
        """Where a file lies."""
        number = self.path_ids[row]
        if number == _ITSELF:
            return Place(os.path.join(self.base, self.path(row)))
        return Place(self.paths[number], self.offsets[row], self.sizes[row], self.codings[row])

    def reindex(self) -> None:
        """Makes the table's own lookups again after its columns were set from elsewhere."""
        self._folder_numbers = {folder: number for number, folder in enumerate(self.folders)}
        self._path_numbers = {path: number for number, path in enumerate(self.paths)}

    def rows_in(self, folder: str) -> np.ndarray:
        """The rows of the files directly in a folder, in the order of their adding."""
        number = self._folder_numbers.get(folder)
        if number is None:
            return np.zeros(0, np.int64)
        return np.flatnonzero(np.frombuffer(self.folder_ids, np.int32) == number)

    def twice(self) -> str | None:
        """A path that two files have, or None."""
        hashes = np.empty(len(self), np.int64)
        begin = 0
        for row, end in enumerate(self.ends):
            hashes[row] = hash((self.folder_ids[row], bytes(self.names[begin:end])))
            begin = end
        order = np.argsort(hashes, kind="stable")
        ordered = hashes[order]
        same = np.flatnonzero(ordered[1:] == ordered[:-1])
        for place in same:
            first, second = self.path(int(order[place])), self.path(int(order[place + 1]))
            if first == second:
                return first
        return None


class Images(Sequence[SourceImage]):
    """Images of a table, in an order; a slice is a view of the same table.

    They are pickled as a tuple of `SourceImage`, which is what a worker process receives.
    """

    def __init__(
        self,
        table: FileTable,
        rows: np.ndarray,
        class_ids: np.ndarray,
        class_names: Sequence[str],
        below: Sequence[str],
        by_label: bool,
    ) -> None:
        """Rows of a table.

        Args:
            table: where the files lie.
            rows: int64 [n], rows of the table.
            class_ids: int32 [n], the class of each, a place in `class_names`.
            class_names: names of classes.
            below: for every folder of the table what it contributes to a key, "" or "a/b/".
            by_label: whether the class is put before that in a key; else it begins with it.
        """
        self._table = table
        self._rows = rows
        self._class_ids = class_ids
        self._class_names = class_names
        self._below = below
        self.by_label = by_label

    @classmethod
    def of(cls, images: Iterable[SourceImage]) -> Images:
        """The same images in columns."""
        if isinstance(images, Images):
            return images
        table = FileTable()
        numbers: dict[str, int] = {}
        class_ids = array("i")
        for image in images:
            folder, slash, name = image.key.rpartition("/")
            table.add(folder + slash, name, Place(*image[2:]))
            class_ids.append(numbers.setdefault(image.class_name, len(numbers)))
        ids = np.array(class_ids, np.int32)
        return cls(table, np.arange(len(table)), ids, list(numbers), table.folders, False)

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[SourceImage]:
        for place in range(len(self)):
            yield self[place]

    @overload
    def __getitem__(self, place: int) -> SourceImage: ...

    @overload
    def __getitem__(self, place: slice) -> Images: ...

    def __getitem__(self, place: int | slice) -> SourceImage | Images:
        if isinstance(place, slice):
            return self.take(place)
        row = int(self._rows[place])
        class_name = self._class_names[self._class_ids[place]]
        return SourceImage(self._key(row, class_name), class_name, *self._table.place(row))

    def take(self, places: np.ndarray | slice) -> Images:
        """The images at these places, in their order."""
        return Images(
            self._table,
            self._rows[places],
            self._class_ids[places],
            self._class_names,
            self._below,
            self.by_label,
        )

    def keys(self) -> Iterator[str]:
        """The key of every image, in order."""
        return (key for key, _ in self.keys_and_classes())

    def keys_and_classes(self) -> Iterator[tuple[str, str]]:
        """Key and class of every image, in order."""
        for begin in range(0, len(self), _PIECE):
            piece = slice(begin, begin + _PIECE)
            rows, ids = self._rows[piece].tolist(), self._class_ids[piece].tolist()
            for row, number in zip(rows, ids, strict=True):
                class_name = self._class_names[number]
                yield self._key(row, class_name), class_name

    def class_counts(self) -> dict[str, int]:
        """Numbers of images by class; classes without one are left out."""
        counts = np.bincount(self._class_ids, minlength=len(self._class_names))
        return {
            name: int(count) for name, count in zip(self._class_names, counts, strict=True) if count
        }

    def sorted(self) -> Images:
        """The images by class, and by key within a class."""
        ranks = np.empty(len(self._class_names), np.int64)
        by_name = sorted(range(len(ranks)), key=lambda number: self._class_names[number])
        ranks[by_name] = np.arange(len(ranks))
        of_images = ranks[self._class_ids]
        order = np.argsort(of_images, kind="stable")
        ends = np.cumsum(np.bincount(of_images, minlength=len(ranks)))
        begin = 0
        for end in ends:
            part = order[begin:end]
            keys = [self._key(row, "") for row in self._rows[part].tolist()]
            inner = sorted(range(len(part)), key=keys.__getitem__)
            order[begin:end] = part[np.array(inner, np.int64)]
            begin = end
        return self.take(order)

    def __reduce__(self) -> tuple[Any, ...]:
        return tuple, (list(self),)

    def _key(self, row: int, class_name: str) -> str:
        below = self._below[self._table.folder_ids[row]]
        name = self._table.name(row)
        return f"{class_name}/{below}{name}" if self.by_label else f"{below}{name}"
