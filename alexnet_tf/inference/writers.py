"""Arrays that grow row by row into one file or folder, which is there whole or not at all.

Three formats, by the ending of the name: `.npy` (one layer, names beside it as `.csv`), `.npz` (all
layers, `names` and `labels`), and `.zarr` (the same as a Zarr group, in chunks). Rows go to the
disk as they come, so memory does not grow with their number.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from typing import IO, Any, Protocol

import numpy as np

from alexnet_common import files, folders
from alexnet_common.errors import UsageError, UserError

FORMATS = (".npy", ".npz", ".zarr")
# Of one image, by layer.
Shapes = Mapping[str, tuple[int, ...]]
NAMES, LABELS, FACTS = "names", "labels", "facts"


class Writer(Protocol):
    """What takes the rows."""

    def append(self, values: Mapping[str, np.ndarray]) -> None:
        """Adds rows: float32 [b, ...] by layer."""


def check(path: str, layers: list[str]) -> str:
    """The format that `path` asks for.

    Raises:
        UsageError: another ending, or several layers in a `.npy` file.
        UserError: `path` is there and no file that may be replaced, or cannot be written, or Zarr
            is not installed.
    """
    kind = os.path.splitext(path.rstrip("/"))[1].lower()
    if kind not in FORMATS:
        raise UsageError(f"--output {path} must end with .npy, .npz or .zarr")
    if kind == ".npy" and len(layers) > 1:
        raise UsageError(
            f"--output {path}: a .npy file holds one layer, not {len(layers)}; use .npz or .zarr"
        )
    for name in layers:
        if name in (NAMES, LABELS, FACTS):
            raise UsageError(f"layer {name!r} has the name of something else in the output")
    if kind == ".zarr":
        _zarr()
        folders.recover(path)
        if os.path.isdir(path) and os.listdir(path) and not _is_group(path):
            raise UserError(f"--output {path} is a folder with other things; use a new name")
        if os.path.isfile(path):
            raise UserError(f"--output {path} is a file, not a Zarr folder")
    if not (kind == ".zarr" and os.path.isdir(path)):
        files.check_writable(path.rstrip("/"), "--output")
    return kind


@contextlib.contextmanager
def open_writer(
    path: str,
    shapes: Shapes,
    names: list[str],
    labels: list[int],
    facts: Mapping[str, Any],
) -> Iterator[Writer]:
    """A writer whose output appears under `path` when the block ends, or not at all.

    Args:
        path: see the module.
        shapes: of one row, by layer.
        names: of the rows; read at the end, so the caller may fill it meanwhile.
        labels: of the rows, from 0; empty at the end where nobody knows them.
        facts: where the numbers come from, kept in `.npz` (`facts`, JSON) and `.zarr` (attributes).

    Raises:
        OSError: the disk is full, say; `path` is as it was before.
    """
    kind = check(path, list(shapes))
    opened = {".npy": _npy, ".npz": _npz, ".zarr": _group}[kind]
    folder, name = os.path.split(path.rstrip("/"))
    hidden = os.path.join(folder, f".{name}")
    with files.named_in_errors(path, hidden), opened(path, shapes, names, labels, facts) as writer:
        yield writer


class _Column:
    """A .npy file of rows whose number is written into its head at the end."""

    def __init__(self, file: IO[bytes], shape: tuple[int, ...]):
        self._file, self._shape, self._rows = file, tuple(shape), 0
        file.write(self._head())

    def append(self, values: np.ndarray) -> None:
        if values.shape[1:] != self._shape or values.dtype != np.float32:
            raise ValueError(f"{values.dtype} {values.shape} are not rows of {self._shape}")
        self._file.write(np.ascontiguousarray(values).tobytes())
        self._rows += len(values)

    def finish(self) -> None:
        self._file.seek(0)
        self._file.write(self._head())
        self._file.seek(0, os.SEEK_END)

    def _head(self) -> bytes:
        # NumPy leaves room for the first dimension to grow, so the head's length stays.
        buffer = io.BytesIO()
        head = {"descr": "<f4", "fortran_order": False, "shape": (self._rows, *self._shape)}
        np.lib.format.write_array_header_1_0(buffer, head)
        return buffer.getvalue()


class _Columns:
    def __init__(self, columns: Mapping[str, _Column]):
        self._columns = columns

    def append(self, values: Mapping[str, np.ndarray]) -> None:
        for name, column in self._columns.items():
            column.append(values[name])


@contextlib.contextmanager
def _npy(
    path: str, shapes: Shapes, names: list[str], labels: list[int], facts: Mapping[str, Any]
) -> Iterator[Writer]:
    ((name, shape),) = shapes.items()
    with files.atomic_writer(path) as file:
        column = _Column(file, shape)
        yield _Columns({name: column})
        column.finish()
        # Before the array, so that where the array is, its names are.
        files.write_atomically(names_file(path), _csv(names, labels))


def names_file(path: str) -> str:
    """Where the names of the rows of a .npy file lie."""
    return f"{os.path.splitext(path)[0]}.csv"


def _csv(names: list[str], labels: list[int]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["name", "label"] if labels else ["name"])
    writer.writerows(zip(names, labels, strict=True) if labels else ([name] for name in names))
    return text.getvalue().encode()


@contextlib.contextmanager
def _npz(
    path: str, shapes: Shapes, names: list[str], labels: list[int], facts: Mapping[str, Any]
) -> Iterator[Writer]:
    # The members of an archive are written one after the other, rows of all layers at once: so the
    # layers wait in files of their own.
    with contextlib.ExitStack() as stack:
        parts = {}
        for name in shapes:
            parts[name] = files.temporary_name(path)
            stack.callback(files.remove_quietly, parts[name])
        files.make_dirs(os.path.dirname(path) or ".")
        opened = {name: stack.enter_context(open(part, "wb")) for name, part in parts.items()}
        columns = {name: _Column(opened[name], shape) for name, shape in shapes.items()}
        yield _Columns(columns)
        with files.atomic_writer(path) as target:
            with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
                for name, column in columns.items():
                    column.finish()
                    opened[name].close()
                    with (
                        open(parts[name], "rb") as source,
                        archive.open(_member(name), "w", force_zip64=True) as member,
                    ):
                        shutil.copyfileobj(source, member, 1 << 20)
                    files.remove(parts[name])
                for name, array in _small(names, labels, facts).items():
                    archive.writestr(_member(name), files.array_to_bytes(array))


def _member(name: str) -> zipfile.ZipInfo:
    # Without the time, so that the same features are the same bytes.
    return zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))


def _small(names: list[str], labels: list[int], facts: Mapping[str, Any]) -> dict[str, np.ndarray]:
    arrays = {NAMES: np.array(names, dtype=np.str_)}
    if labels:
        arrays[LABELS] = np.array(labels, np.int64)
    return arrays | {FACTS: np.array(json.dumps(facts, sort_keys=True, ensure_ascii=False))}


@contextlib.contextmanager
def _group(
    path: str, shapes: Shapes, names: list[str], labels: list[int], facts: Mapping[str, Any]
) -> Iterator[Writer]:
    zarr = _zarr()
    with folders.atomic_folder(path) as temporary:
        # Version 2 of the format: read by every Zarr, and it has text of a fixed length.
        group = zarr.open_group(temporary, mode="w", zarr_format=2)
        arrays = {
            name: group.create_array(
                name, shape=(0, *shape), chunks=(_rows(shape), *shape), dtype="float32"
            )
            for name, shape in shapes.items()
        }
        writer = _Group(arrays)
        yield writer
        writer.finish()
        small = _small(names, labels, facts)
        del small[FACTS]
        for name, array in small.items():
            group.create_array(name, data=array)
        group.attrs.update(dict(facts))


class _Group:
    """Rows in whole chunks, since a chunk is compressed anew whenever rows are added to it."""

    def __init__(self, arrays: Mapping[str, Any]):
        self._arrays = arrays
        self._waiting: dict[str, list[np.ndarray]] = {name: [] for name in arrays}

    def append(self, values: Mapping[str, np.ndarray]) -> None:
        for name, array in self._arrays.items():
            waiting = self._waiting[name]
            waiting.append(values[name])
            if sum(map(len, waiting)) >= array.chunks[0]:
                rows = np.concatenate(waiting)
                whole = len(rows) // array.chunks[0] * array.chunks[0]
                array.append(rows[:whole])
                waiting[:] = [rows[whole:]]

    def finish(self) -> None:
        for name, array in self._arrays.items():
            if self._waiting[name]:
                array.append(np.concatenate(self._waiting[name]))


def _rows(shape: tuple[int, ...]) -> int:
    """Rows per chunk: about 4 MB."""
    return int(np.clip((1 << 20) // int(np.prod(shape)), 1, 4096))


def _zarr() -> Any:
    try:
        import zarr
    except ImportError as error:
        raise UserError(
            "Zarr is not installed: pip install 'alexnet-tf[columns]', or use .npz"
        ) from error
    return zarr


def _is_group(path: str) -> bool:
    return any(os.path.isfile(os.path.join(path, name)) for name in (".zgroup", "zarr.json"))
