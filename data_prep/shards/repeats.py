"""The same photograph, byte for byte, where it should not be: in two classes, or in both splits.

Files are compared by 64 bits of checksums, taken while their bytes are at hand for converting, and
kept in the sidecars. Two different files agree in them with a chance of 2^-64 per pair.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import google_crc32c
import numpy as np

from alexnet_common.counting import counted
from data_prep import dataset
from data_prep.sources.image_table import Images, SourceImage

IN_CLASSES, IN_SPLITS = "in_several_classes", "in_both_splits"
_DIGEST = np.dtype("<u8")


def digest(content: bytes) -> bytes:
    """8 bytes that tell files from each other: a CRC-32C of either half, at memory speed."""
    middle = len(content) // 2
    halves = (content[:middle], content[middle:])
    return b"".join(google_crc32c.value(half).to_bytes(4, "little") for half in halves)


class Photographs:
    """The digests of all images of a dataset, shard by shard."""

    def __init__(self) -> None:
        self._digests: list[np.ndarray] = []
        self._shards: list[tuple[str, Images, Collection[str]]] = []

    def add(self, split: str, images: Images, skipped: Collection[str], digests: bytes) -> None:
        """Adds a shard.

        Args:
            split: its split.
            images: those that were planned for it.
            skipped: the keys of those that are not in it.
            digests: of the others in order; b"" where an older version made the shard.
        """
        if digests:
            self._digests.append(np.frombuffer(digests, _DIGEST))
            self._shards.append((split, images, skipped))

    def repeated(self) -> dict[str, Any]:
        """What `dataset.json` says of photographs in several classes or splits; {} for none.

        Per kind `count`, of photographs and not of files, and two of the files `as` an example:
        [split, key] of each, the first ones by name.
        """
        if not self._digests:
            return {}
        counts = {IN_CLASSES: 0, IN_SPLITS: 0}
        examples: dict[str, list[list[str]]] = {}
        for files in self._groups():
            for kind, part in ((IN_CLASSES, 2), (IN_SPLITS, 0)):
                other = next((file for file in files if file[part] != files[0][part]), None)
                if other is not None:
                    counts[kind] += 1
                    pair = [list(files[0][:2]), list(other[:2])]
                    examples[kind] = min(examples.get(kind, pair), pair)
        return {kind: {"count": counts[kind], "as": examples[kind]} for kind in sorted(examples)}

    def _groups(self) -> list[list[tuple[str, str, str]]]:
        """Sorted (split, key, class) of the files of every photograph that occurs twice."""
        digests = np.concatenate(self._digests)
        order = np.argsort(digests, kind="stable")
        ordered = digests[order]
        same = ordered[1:] == ordered[:-1]
        twice = np.append(same, False) | np.append(False, same)
        groups: dict[int, list[tuple[str, str, str]]] = {}
        places = np.sort(order[twice])
        ends = np.cumsum([len(part) for part in self._digests])
        inside = np.split(places, np.searchsorted(places, ends[:-1]))
        begins = ends - [len(part) for part in self._digests]
        for (split, images, skipped), begin, some in zip(self._shards, begins, inside, strict=True):
            kept: Sequence[SourceImage] = images
            if skipped and len(some):
                kept = [image for image in images if image.key not in skipped]
            for place in some:
                image = kept[int(place - begin)]
                name = (split, image.key, image.class_name)
                groups.setdefault(int(digests[place]), []).append(name)
        return [sorted(files) for files in groups.values()]


def notes(document: Mapping[str, Any]) -> list[str]:
    """What `dataset.json` says of such photographs, in at most one line.

    Args:
        document: of a `dataset.Dataset`, so it was checked.
    """
    found = document.get(dataset.REPEATED_FIELD, {})
    parts = []
    for kind, where in ((IN_CLASSES, "in several classes"), (IN_SPLITS, "in both splits")):
        if kind in found:
            one, other = (f"{key} ({split})" for split, key in found[kind]["as"])
            count = counted(found[kind]["count"], "photograph")
            parts.append(f"{count} {where} (as {one} and {other})")
    return [f"warning: byte for byte the same files: {'; '.join(parts)}"] if parts else []
