"""Which form a collection of images has, by its content: what the user names decides nothing else.

Folders and archives of class folders go through `listing`; here are the forms that keep a label
beside every image: Parquet, WebDataset, TFRecord. They come in many files, one set per split, and
the names of the files say which: `train-00000-of-00294.parquet`.
"""

import dataclasses
import os
import re
from collections.abc import Sequence

import numpy as np

from alexnet_common import files, hidden_files
from alexnet_common.counting import counted
from alexnet_common.errors import UserError
from alexnet_common.messages import log
from data_prep.sources import (
    class_list,
    class_names,
    labels,
    parquet,
    tfrecords,
    webdataset,
)
from data_prep.sources.class_list import ClassList
from data_prep.sources.image_table import FileTable, Images
from data_prep.sources.imagenet import Devkit

PARQUET, WEBDATASET, TFRECORD = "Parquet", "WebDataset", "TFRecord"
_SPLITS = {
    "train": re.compile(r"(?:^|[^a-z])train(?:ing)?(?:[^a-z]|$)"),
    "validation": re.compile(r"(?:^|[^a-z])val(?:id|idation)?(?:[^a-z]|$)"),
    "test": re.compile(r"(?:^|[^a-z])test(?:ing)?(?:[^a-z]|$)"),
}
# Names that TFDS keeps beside its records: one class per line.
_LABEL_NAMES = ("label.labels.txt",)
_HEAD_BYTES = 512
# Of the number of a class, which 64 bits hold.
_MAX_DIGITS = 18
# Files of other names are looked into, but not one by one in a folder of a million images.
_MOST_LOOKS = 32
# As far down as downloads are nested; a link may lead round and round.
_MOST_DEEP = 5


@dataclasses.dataclass(frozen=True)
class Shards:
    """The files of one form below a path, by split ("" where their names tell of none)."""

    path: str
    folder: str
    form: str
    splits: dict[str, list[str]]

    def of(self, split: str) -> list[str]:
        """The files of a split: those of that name, or all where the names tell of none."""
        return self.splits.get(split) or self.splits.get("", [])

    def has_both(self) -> bool:
        """Whether the training and the validation split are told apart."""
        return "train" in self.splits and "validation" in self.splits


def detect(path: str) -> Shards | None:
    """The labelled shards at `path`, a file or a folder, or None where there are none.

    A folder may hold its files in a folder `data` or within single folders, as downloads do.

    Raises:
        UserError: there is nothing at `path`.
    """
    if not os.path.exists(path):
        raise UserError(f"{path}: no such file or folder")
    if not os.path.isdir(path):
        form = _form(path)
        return Shards(path, os.path.dirname(path), form, {"": [path]}) if form else None
    folder = path
    for _ in range(_MOST_DEEP):
        form, found = _look(folder)
        if form:
            return Shards(path, folder, form, _by_split(found))
        names, folders = _children(folder)
        if "data" in folders:
            folder = os.path.join(folder, "data")
        elif len(folders) == 1 and not names:
            folder = os.path.join(folder, folders[0])
        else:
            break
    return None


def find(
    shards: Shards,
    split: str,
    *,
    given: ClassList | None,
    devkit: Devkit | None,
    cache_folder: str | None,
) -> tuple[Images, dict[str, str]]:
    """The images of a split, and its classes in words where those are known with their numbers.

    Raises:
        UserError: a file is refused, or the numbers of its classes cannot be resolved.
    """
    paths = shards.of(split)
    if not paths:
        raise UserError(
            f"{shards.path}: has no {shards.form} files of the split {split!r}, only "
            f"{', '.join(sorted(shards.splits))}"
        )
    log(f"{shards.path}: {counted(len(paths), f'{shards.form} file')} ({split})")
    # Of two splits of one folder each has its own index.
    name = f"{os.path.normpath(shards.path)}-{split}"
    stated: Sequence[str] = ()
    first = 0
    if shards.form == PARQUET:
        table, stated = parquet.scan(shards.path, paths, cache_folder)
    elif shards.form == WEBDATASET:
        table = webdataset.scan(name, paths, cache_folder)
    else:
        table, first = tfrecords.scan(name, paths, cache_folder)
        stated = _names_beside(shards.folder)
    if not len(table):
        raise UserError(f"{shards.path}: its {split} files hold no image")
    return _resolved(shards.path, table, first, given, stated, devkit)


def _resolved(
    path: str,
    table: FileTable,
    first: int,
    given: ClassList | None,
    stated: Sequence[str],
    devkit: Devkit | None,
) -> tuple[Images, dict[str, str]]:
    """The images of a table whose folders are labels, numbers or names."""
    titles: dict[str, str] = {}
    names = list(table.folders)
    if all(name.isascii() and name.isdigit() and len(name) <= _MAX_DIGITS for name in names):
        numbers = [int(name) - first for name in names]
        chosen = class_list.choose(path, max(numbers), given, stated, devkit)
        log(f"{path}: its classes are numbers; their names are those of {chosen.origin}")
        names = [chosen.names[number] for number in numbers]
        titles = chosen.titles
    for name in names:
        class_names.check(path, name)
    ids = np.array(table.folder_ids, np.int32)
    images = Images(table, np.arange(len(table)), ids, names, [""] * len(names), True)
    return images.sorted(), titles


def _names_beside(folder: str) -> tuple[str, ...]:
    for name in _LABEL_NAMES:
        path = os.path.join(folder, name)
        if os.path.isfile(path):
            return class_list.parse(path, labels.read_file(path)).names
    return ()


def _children(folder: str) -> tuple[list[str], list[str]]:
    """Sorted visible names of the files and of the folders in a folder."""
    names: list[str] = []
    folders: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if not hidden_files.is_hidden_part(entry.name):
                (folders if entry.is_dir() else names).append(entry.name)
    return sorted(names), sorted(folders)


def _look(folder: str) -> tuple[str | None, list[str]]:
    """The form of a folder's files and these files, or (None, [])."""
    names, _ = _children(folder)
    forms: dict[str, str | None] = {}
    found: dict[str, list[str]] = {}
    for name in names:
        # Files of one set differ in their numbers only.
        kind = re.sub(r"\d+", "#", name)
        if kind not in forms:
            if len(forms) == _MOST_LOOKS:
                continue
            forms[kind] = _form(os.path.join(folder, name))
        form = forms[kind]
        if form:
            found.setdefault(form, []).append(os.path.join(folder, name))
    if len(found) > 1:
        raise UserError(f"{folder}: holds {' and '.join(sorted(found))} files; name one set")
    return next(iter(found.items())) if found else (None, [])


def _form(path: str) -> str | None:
    """The form of one file by its first bytes, and of a tar by its first members."""
    try:
        with files.open_regular(path) as file:
            head = file.read(_HEAD_BYTES)
    except OSError:
        return None
    if head.startswith(parquet.MAGIC):
        return PARQUET
    if tfrecords.is_tfrecord(head):
        return TFRECORD
    if head[257:262] == b"ustar" and webdataset.is_shard(path):
        return WEBDATASET
    return None


def _by_split(paths: list[str]) -> dict[str, list[str]]:
    """The files by the split that their names tell; those of none are training's if others tell."""
    result: dict[str, list[str]] = {}
    for path in paths:
        name = os.path.basename(path).casefold()
        split = next((split for split, word in _SPLITS.items() if word.search(name)), "")
        result.setdefault(split, []).append(path)
    return result
