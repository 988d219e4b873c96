"""WebDataset shards: tars in which `KEY.jpg` lies beside `KEY.cls` or `KEY.json`."""

import json
import os
from collections.abc import Sequence
from typing import Any

from alexnet_common import files, hidden_files
from alexnet_common.errors import UserError
from data_prep.sources import archives, index_file, published_names
from data_prep.sources.image_table import FileTable, Place

_IMAGES = frozenset(["jpg", "jpeg", "png", "webp", "gif", "bmp"])
_CLASS, _JSON = "cls", "json"
# The keys of a .json that say the class, names before numbers.
_JSON_KEYS = ("synset", "wnid", "class_name", "label", "cls", "class", "class_id")
_MAX_LABEL_BYTES = 1 << 16


def is_shard(path: str) -> bool:
    """Whether an archive is a WebDataset shard: its first image has a label beside it.

    Only the first members are looked at; what is no tar is no shard.
    """
    labels: set[str] = set()
    images: set[str] = set()
    try:
        for member in archives.first_members(path, 64):
            stem, ending = _split(member.name)
            if ending in (_CLASS, _JSON):
                labels.add(stem)
            elif ending in _IMAGES:
                images.add(stem)
    except (archives.ArchiveError, OSError):
        return False
    return bool(labels & images) or bool(labels and not images)


def scan(path: str, shards: Sequence[str], cache_folder: str | None) -> FileTable:
    """Lists the images of shards; the folder of each in the table is its label.

    Raises:
        UserError: an image has no label or a label no image, a label cannot be read, or an archive
            is refused.
    """

    def make() -> tuple[FileTable, dict[str, Any]]:
        table = FileTable(paths=shards)
        for shard in shards:
            _add(table, shard)
        return table, {}

    return index_file.kept(cache_folder, index_file.name_of(path), shards, make)[0]


def _add(table: FileTable, shard: str) -> None:
    images: dict[str, archives.Member] = {}
    labels: dict[str, dict[str, archives.Member]] = {}
    # As KEY.depth.png, which lies beside KEY.jpg; or a name with a dot, which is no key.
    further: dict[str, archives.Member] = {}
    for member in archives.members(shard):
        if member.offset == archives.FOLDER or hidden_files.is_hidden(member.name):
            continue
        stem, ending = _split(member.name)
        if ending in _IMAGES:
            if stem in images:
                raise UserError(
                    f"{shard}: key {stem!r} has two images, {images[stem].name!r} and "
                    f"{member.name!r}"
                )
            images[stem] = member
        elif ending in (_CLASS, _JSON):
            labels.setdefault(stem, {})[ending] = member
        elif ending.rpartition(".")[2] in _IMAGES:
            further.setdefault(stem, member)
    dotted = sorted(further.keys() - images.keys())
    if dotted:
        raise UserError(
            f"{shard}: {further[dotted[0]].name!r} is of the key {dotted[0]!r}, which has no other "
            "image: a key ends at the first dot, so names of images may have no other"
        )
    bare = sorted(images.keys() - labels.keys())
    if bare:
        raise UserError(f"{shard}: {images[bare[0]].name!r} has no .cls or .json beside it")
    alone = sorted(labels.keys() - images.keys())
    if alone:
        first = next(iter(labels[alone[0]].values()))
        raise UserError(f"{shard}: {first.name!r} has no image beside it")
    with files.open_regular(shard) as file:
        for stem, member in images.items():
            label = _label(shard, file.fileno(), labels[stem])
            name = published_names.original(member.name)
            table.add(label, name, Place(shard, member.offset, member.size))


def _label(shard: str, descriptor: int, members: dict[str, archives.Member]) -> str:
    """The class of one image: a number or a name, as text."""
    ending = _CLASS if _CLASS in members else _JSON
    member = members[ending]
    if member.size > _MAX_LABEL_BYTES:
        raise UserError(f"{shard}: {member.name!r} has {member.size:,} bytes, too many for a label")
    content = os.pread(descriptor, member.size, member.offset)
    try:
        text = content.decode("utf-8-sig")
        if ending == _CLASS:
            value: Any = text.strip()
        else:
            fields = json.loads(text)
            value = next(fields[key] for key in _JSON_KEYS if key in fields)
    except StopIteration:
        raise UserError(
            f"{shard}: {member.name!r} has none of the keys {', '.join(_JSON_KEYS)}"
        ) from None
    except (ValueError, TypeError, KeyError, RecursionError):
        value = None
    if isinstance(value, bool) or not isinstance(value, int | str) or not str(value).strip():
        raise UserError(f"{shard}: {member.name!r} holds no class")
    label = str(value).strip()
    if label.startswith("-"):
        raise UserError(f"{shard}: {member.name!r} holds {label!r}, which is no class")
    return label


def _split(name: str) -> tuple[str, str]:
    """Key and ending of a member: WebDataset ends the key at the first dot of the file's name."""
    folder, slash, own = name.rpartition("/")
    stem, _, ending = own.partition(".")
    return folder + slash + stem, ending.lower()
