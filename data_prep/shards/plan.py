"""Which image goes into which shard: a pure function of the keys, the classes and the seed.

Neither where the images lie (folders, archives), nor the order in which they were found, nor the
number of workers or machines changes the plan, and a shard depends on nothing but the plan.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from alexnet_common.errors import UsageError, UserError
from data_prep.sources.image_table import Images, SourceImage

# Bytes per pixel of a stored image, and bytes of everything else in a record. JPEG: what ImageNet
# gives at quality 95 (30.9 kB at 256 pixels), and the 620 bytes of tables in every file.
BYTES_PER_PIXEL = {"jpeg": 0.46, "uint8": 3.0, "centered": 6.0}
RECORD_OVERHEAD_BYTES = {"jpeg": 920, "uint8": 300, "centered": 300}
SHARD_BYTES = 40_000_000

# Numbers of images of ILSVRC-2012 and the numbers of shards that its readers are used to.
ILSVRC_2012 = {"train": (1_281_167, 1024), "validation": (50_000, 128)}


@dataclasses.dataclass(frozen=True)
class Settings:
    """What decides the content of the records, beside the images."""

    image_size: int = 256
    store: str = "jpeg"
    jpeg_quality: int = 95
    seed: int = 0
    label_order: str = "sorted"
    label_offset: int = 1
    exif_orientation: str = "ignore"
    validation_fraction: float | None = None

    def beyond_the_first(self) -> dict[str, Any]:
        """The settings that the first version did not have, where they are not its behaviour.

        Only then do they enter the fingerprint and dataset.json: the same images give the same
        bytes as before, and a conversion that an older version began is finished.
        """
        fields: dict[str, Any] = {}
        if self.exif_orientation != "ignore":
            fields["exif_orientation"] = self.exif_orientation
        if self.validation_fraction is not None:
            fields["validation_fraction"] = self.validation_fraction
        return fields

    def summary(self) -> dict[str, Any]:
        """The settings that stand in a plan's fingerprint."""
        fields = dataclasses.asdict(self)
        del fields["exif_orientation"], fields["validation_fraction"]
        return {**fields, **self.beyond_the_first()}


@dataclasses.dataclass(frozen=True)
class SplitPlan:
    """The images of one split in the order of their records, and where each shard begins."""

    name: str
    images: Images
    num_shards: int

    def shard_name(self, number: int) -> str:
        """The conventional file name, as `train-00000-of-01024`."""
        return f"{self.name}-{number:05d}-of-{self.num_shards:05d}"

    def shard_images(self, number: int) -> Images:
        """The images of one shard; shards differ by at most one image."""
        size, larger = divmod(len(self.images), self.num_shards)
        begin = number * size + min(number, larger)
        return self.images[begin : begin + size + (number < larger)]


@dataclasses.dataclass(frozen=True)
class Plan:
    """All that is to be written. `class_titles` is empty where no titles are known."""

    settings: Settings
    class_names: tuple[str, ...]
    class_titles: tuple[str, ...]
    splits: tuple[SplitPlan, ...]

    def summary(self) -> dict[str, Any]:
        """What a person compares when two plans differ."""
        return {
            **self.settings.summary(),
            "classes": len(self.class_names),
            **{f"{split.name}_images": len(split.images) for split in self.splits},
            **{f"{split.name}_shards": split.num_shards for split in self.splits},
        }

    def fingerprint(self) -> str:
        """SHA-256 over everything that decides the bytes of the shards, but the pixels."""
        digest = hashlib.sha256()
        head = [self.summary(), list(self.class_names), list(self.class_titles)]
        digest.update(json.dumps(head, sort_keys=True).encode())
        # As json.dumps of [split, key, class] would write every line, in a tenth of the time.
        encode = json.JSONEncoder().encode
        classes = {name: encode(name) for name in self.class_names}
        for split in self.splits:
            name = encode(split.name)
            for key, class_name in split.images.keys_and_classes():
                digest.update(f"[{name}, {encode(key)}, {classes[class_name]}]".encode())
        return digest.hexdigest()


def make_plan(
    settings: Settings,
    images: Mapping[str, Sequence[SourceImage]],
    class_names: Sequence[str],
    class_titles: Sequence[str] = (),
    num_shards: Mapping[str, int | None] | None = None,
) -> Plan:
    """Plans the conversion.

    Args:
        settings: size, store, seed and labels.
        images: the images per split, in any order.
        class_names: the classes in the order of their labels.
        class_titles: the same in words, or nothing.
        num_shards: shards per split; None or no entry means `auto_shards`.

    Raises:
        UserError: two images have the same key, an image has an unknown class, or there
            are more shards than images.
    """
    classes = set(class_names)
    splits = []
    for name, unordered in images.items():
        ordered = _ordered(name, Images.of(unordered), settings.seed)
        unknown = sorted(ordered.class_counts().keys() - classes)
        if unknown:
            raise UserError(f"{name}: has images of an unknown class {unknown[0]!r}")
        wanted = (num_shards or {}).get(name)
        count = auto_shards(name, len(ordered), settings) if wanted is None else wanted
        if count > len(ordered):
            raise UsageError(
                f"--{name}_shards={count} is more than the {len(ordered):,} images of that split"
            )
        splits.append(SplitPlan(name, ordered, count))
    return Plan(settings, tuple(class_names), tuple(class_titles), tuple(splits))


def auto_shards(split: str, num_images: int, settings: Settings) -> int:
    """As many shards as keep one near 40 MB; at ImageNet's size the conventional number."""
    known_images, known_shards = ILSVRC_2012.get(split, (0, 0))
    if abs(num_images - known_images) <= known_images // 100:
        return known_shards
    return max(1, min(num_images, round(num_images * record_bytes(settings) / SHARD_BYTES)))


def record_bytes(settings: Settings) -> float:
    """Estimated bytes of one record, from the settings alone."""
    pixels = settings.image_size**2
    return pixels * BYTES_PER_PIXEL[settings.store] + RECORD_OVERHEAD_BYTES[settings.store]


def _ordered(split: str, images: Images, seed: int) -> Images:
    """The images in the order of their places; two of the same place have the same key."""
    places = bytearray()
    for key in images.keys():
        places += _place(key, seed)
    first, second = np.frombuffer(places, ">u8").astype(np.uint64).reshape(-1, 2).T
    order = np.lexsort((second, first))
    ordered = images.take(order)
    same = np.flatnonzero((np.diff(first[order]) == 0) & (np.diff(second[order]) == 0))
    if len(same):
        raise UserError(
            f"{split}: two images have the same class and name ({ordered[int(same[0])].key!r})"
        )
    return ordered


def _place(key: str, seed: int) -> bytes:
    """A shuffle that depends on each key alone, so that the order of finding never matters."""
    text = f"{seed}\n{key}".encode("utf-8", "surrogateescape")
    return hashlib.blake2b(text, digest_size=16).digest()
