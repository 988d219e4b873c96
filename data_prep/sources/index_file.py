"""The index of a source, kept beside the dataset so that a run that goes on need not list again.

One file of NumPy arrays per source, `<dataset>/.conversion/index-<name>.npz`, taken only while
every file of the source has the same name, size and time of change. It is a cache: whatever is
wrong with it, the source is listed again. Two sources may be files of the same name in different
folders, so the name has a digest of the path.
"""

import hashlib
import io
import json
import os
import zipfile
from array import array
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO

import numpy as np

from alexnet_common import files
from data_prep.sources.image_table import WHOLE_FILE, FileTable

VERSION = 3
_COLUMNS = {"ends": "q", "folder_ids": "i", "path_ids": "i", "offsets": "q", "sizes": "q",
            "codings": "b"}  # fmt: skip


def kept(
    cache_folder: str | None,
    name: str,
    parts: Sequence[str],
    make: Callable[[], tuple[FileTable, dict[str, Any]]],
) -> tuple[FileTable, dict[str, Any]]:
    """The table of a source and what else is to be kept of it, from the cache or made now.

    Args:
        cache_folder: where the index lies; None for nowhere.
        name: of the index among those of a dataset, as `name_of` gives it.
        parts: the files of the source, in a fixed order; the table's paths.
        make: lists the source; the second result holds plain JSON.
    """
    if cache_folder is None:
        return make()
    sizes, identity = _identity(parts)
    cache = files.join(cache_folder, f"index-{name}.npz")
    cached = _load(cache, parts, sizes, identity)
    if cached is not None:
        return cached
    table, extra = make()
    if table.paths != list(parts):
        raise AssertionError("an index of other files than its source has")
    files.make_dirs(cache_folder)
    with files.atomic_writer(cache) as file:
        if files.is_remote(cache):
            # An object store's files cannot go back, as a zip's writer does.
            buffer = io.BytesIO()
            _save(buffer, table, extra, identity)
            file.write(buffer.getvalue())
        else:
            _save(file, table, extra, identity)
    return table, extra


def name_of(path: str) -> str:
    """A name for the index of what the user named; no other path of this machine has the same."""
    path = os.path.abspath(path)
    digest = hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest()[:12]
    return f"{os.path.basename(path)}-{digest}"


def _identity(parts: Sequence[str]) -> tuple[np.ndarray, str]:
    """Sizes of the files, and a digest of all that tells them from others."""
    digest = hashlib.sha256(str(VERSION).encode())
    sizes = []
    for part in parts:
        status = os.stat(part)
        sizes.append(status.st_size)
        told = [os.path.basename(part), status.st_size, status.st_mtime_ns]
        digest.update(json.dumps(told).encode())
    return np.array(sizes, np.int64), digest.hexdigest()


def _save(file: BinaryIO, table: FileTable, extra: dict[str, Any], identity: str) -> None:
    head = {"identity": identity, "folders": table.folders, "extra": extra}
    arrays: dict[str, Any] = {
        name: np.frombuffer(getattr(table, name), code) for name, code in _COLUMNS.items()
    }
    arrays["head"] = np.frombuffer(json.dumps(head).encode(), np.uint8)
    arrays["names"] = np.frombuffer(table.names, np.uint8)
    np.savez(file, **arrays)


def _load(
    path: str, parts: Sequence[str], sizes: np.ndarray, identity: str
) -> tuple[FileTable, dict[str, Any]] | None:
    try:
        source = io.BytesIO(files.read_bytes(path)) if files.is_remote(path) else path
        with np.load(source, allow_pickle=False) as stored:
            head = json.loads(stored["head"].tobytes())
            if head["identity"] != identity:
                return None
            table = FileTable(paths=parts)
            table.folders = [str(folder) for folder in head["folders"]]
            table.names = bytearray(stored["names"].tobytes())
            for name, code in _COLUMNS.items():
                column = array(code)
                column.frombytes(stored[name].astype(code).tobytes())
                setattr(table, name, column)
            table.reindex()
            return (table, dict(head["extra"])) if _fits(table, sizes) else None
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        return None


def _fits(table: FileTable, sizes: np.ndarray) -> bool:
    """Whether every row points into its file, and its texts are there."""
    count = len(table.ends)
    columns = [np.array(getattr(table, name), np.int64) for name in _COLUMNS]
    if any(len(column) != count for column in columns):
        return False
    ends, folder_ids, path_ids, offsets, lengths, _ = columns
    if not count:
        return True
    return bool(
        np.all(np.diff(ends, prepend=0) >= 0)
        and ends[-1] == len(table.names)
        and np.all((folder_ids >= 0) & (folder_ids < len(table.folders)))
        and np.all((path_ids >= 0) & (path_ids < len(sizes)))
        and np.all((offsets >= 0) & (offsets != WHOLE_FILE) & (lengths >= 0))
        and np.all(lengths <= sizes[path_ids] - offsets)
    )
