"""The dataset folder: the one contract that `data_prep` writes and `alexnet_tf` reads.

A dataset folder holds TFRecord shards, one record index per split, the mean image and
`dataset.json`, which describes them all and is written last. A folder without a valid
`dataset.json` is not a dataset. This module imports no TensorFlow, so that small tools and
worker processes stay light.
"""

import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from alexnet_common import files
from alexnet_common.errors import UserError

SCHEMA_VERSION = 1
DATASET_FILE = "dataset.json"
MEAN_IMAGE_FILE = "mean_image.npy"
IMAGE_KEYS = {"jpeg": "image/encoded", "uint8": "image/raw", "centered": "image/raw"}
LABEL_KEY = "image/class/label"
CLASS_KEY, NAME_KEY = "image/class/synset", "image/filename"
# Of an image deeper below its class folder: its place there, which ends with its name.
PATH_KEY = "image/path"
# The photographs in several classes or splits; left out where there are none.
REPEATED_FIELD = "repeated_photographs"
LABEL_ORDERS = ("sorted", "devkit")
EXIF_ORIENTATIONS = ("ignore", "apply")

# File systems take 255 bytes.
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class DatasetError(UserError):
    """A folder that is not a complete dataset, in one line: where, what, and what would help."""


@dataclasses.dataclass(frozen=True)
class Shard:
    """One TFRecord file: number of records, size in bytes, SHA-256 of the file."""

    name: str
    count: int
    bytes: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class Skipped:
    """A source image that is in no shard, and why."""

    key: str
    reason: str


@dataclasses.dataclass(frozen=True)
class Split:
    """One split: `class_counts[i]` images carry the label `i + label_offset`."""

    name: str
    count: int
    class_counts: tuple[int, ...]
    shards: tuple[Shard, ...]
    skipped: tuple[Skipped, ...]
    index_name: str
    index_sha256: str


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """A dataset folder as `dataset.json` describes it.

    Attributes:
        directory: the folder, as given to `load`.
        image_size: side of the square images in pixels.
        store: "jpeg", "uint8" or "centered" (float16, mean image already subtracted).
        jpeg_quality: 1..100, or None when the store holds no JPEG.
        label_order: "sorted" (class names sorted) or "devkit" (ILSVRC2012_ID).
        label_offset: the label of the first class; index = label - label_offset.
        class_names: the class of every index (for ImageNet its WordNet id).
        class_titles: the same classes in words, where the source knows them.
        channel_mean: float64 [3], RGB, 0..255.
        pca_standard_deviations: float64 [3], ascending, in units of 0..255 grey levels.
        pca_vectors: float64 [3, 3], rows RGB, column j belongs to standard deviation j.
    """

    directory: str
    image_size: int
    store: str
    jpeg_quality: int | None
    label_order: str
    label_offset: int
    class_names: tuple[str, ...]
    class_titles: tuple[str, ...]
    splits: dict[str, Split]
    channel_mean: np.ndarray
    pca_standard_deviations: np.ndarray
    pca_vectors: np.ndarray
    mean_image_sha256: str
    document: Mapping[str, Any]

    @property
    def num_classes(self) -> int:
        """Number of classes, also those without an image in some split."""
        return len(self.class_names)

    @property
    def exif_orientation(self) -> str:
        """Whether photographs were kept as stored ("ignore") or turned upright ("apply").

        What classifies other images has to do the same. The first datasets do not state it.
        """
        return str(self.document.get("exif_orientation", "ignore"))

    @property
    def image_key(self) -> str:
        """The record's key of the image bytes."""
        return IMAGE_KEYS[self.store]

    def mean_image(self) -> np.ndarray:
        """Mean of the training images, float32 [image_size, image_size, 3], RGB, 0..255.

        Raises:
            DatasetError: the file is missing, damaged or of another shape.
        """
        path = files.join(self.directory, MEAN_IMAGE_FILE)
        image = _read_array(path, self.mean_image_sha256)
        expected = [self.image_size, self.image_size, 3]
        if image.dtype != np.float32 or list(image.shape) != expected:
            raise DatasetError(
                f"{path}: holds {image.dtype} {list(image.shape)}, expected float32 {expected}; "
                "convert the images again"
            )
        return image

    def split(self, name: str) -> Split:
        """The split of that name; a `DatasetError` names the splits there are."""
        if name not in self.splits:
            raise DatasetError(
                f"{self.directory}: has no split {name!r}, only {', '.join(self.splits)}; "
                f"--split={next(iter(self.splits))} takes that one"
            )
        return self.splits[name]

    def shard_path(self, split_name: str, shard_number: int) -> str:
        """Path of one shard file."""
        return files.join(self.directory, self.split(split_name).shards[shard_number].name)

    def index(self, split_name: str) -> np.ndarray:
        """Where every record lies: int64 [N, 3] = (shard number, payload offset, payload length).

        Row n belongs to example index n; offsets and lengths are in bytes, the payload being the
        serialised `tf.train.Example` without the framing of TFRecord.

        Raises:
            DatasetError: the index is missing, damaged, or does not fit the shards.
        """
        split = self.split(split_name)
        path = files.join(self.directory, split.index_name)
        index = _read_array(path, split.index_sha256)
        expected = [split.count, 3]
        if index.dtype != np.int64 or list(index.shape) != expected:
            raise DatasetError(
                f"{path}: holds {index.dtype} {list(index.shape)}, expected int64 {expected}; "
                "convert the images again"
            )
        numbers, offsets, lengths = index.T
        sizes = np.array([shard.bytes for shard in split.shards], np.int64)
        counts = np.array([shard.count for shard in split.shards], np.int64)
        # A payload has 12 bytes of framing (length, its CRC) before and 4 (its CRC) behind it.
        fits = (
            bool(np.all((numbers >= 0) & (numbers < len(sizes))))
            and np.array_equal(np.bincount(numbers, minlength=len(sizes)), counts)
            and bool(np.all((offsets >= 12) & (lengths > 0)))
            and bool(np.all(offsets + lengths + 4 <= sizes[numbers]))
        )
        if not fits:
            raise DatasetError(f"{path}: does not fit the shards; convert the images again")
        return index


def load(directory: str | os.PathLike[str]) -> Dataset:
    """Reads `dataset.json` and checks that every file it names is there, of the right size.

    Checksums are left to `data_prep.verify`: this runs at the start of every training.

    Raises:
        DatasetError: missing folder, no or damaged `dataset.json`, another schema, a shard missing
            or of another size.
    """
    dataset = describe(directory)
    folder = dataset.directory
    for split in dataset.splits.values():
        for shard in split.shards:
            shard_path = files.join(folder, shard.name)
            size = files.size(shard_path)
            if size is None:
                raise DatasetError(f"{shard_path}: shard is missing; convert the images again")
            if size != shard.bytes:
                raise DatasetError(
                    f"{shard_path}: has {size:,} bytes, {DATASET_FILE} says {shard.bytes:,}; "
                    "convert the images again"
                )
        _require_file(files.join(folder, split.index_name))
    _require_file(files.join(folder, MEAN_IMAGE_FILE))
    return dataset


def describe(directory: str | os.PathLike[str]) -> Dataset:
    """Reads `dataset.json` alone, without a look at the files it names.

    Raises:
        DatasetError: missing folder, no or damaged `dataset.json`, or another schema.
    """
    folder = os.fspath(directory)
    if not files.is_dir(folder):
        raise DatasetError(
            f"{folder}: no such folder; expected the folder of a dataset, "
            "which python -m data_prep.build_tfrecords makes"
        )
    path = files.join(folder, DATASET_FILE)
    if not files.exists(path):
        raise DatasetError(
            f"{folder}: holds no {DATASET_FILE}, so it is not a finished dataset; "
            "run (or finish) python -m data_prep.build_tfrecords"
        )
    try:
        document = json.loads(files.read_bytes(path))
    except (OSError, ValueError, RecursionError) as error:
        raise DatasetError(f"{path}: damaged ({error}); convert the images again") from error
    return parse(document, folder)


def save(directory: str, document: Mapping[str, Any]) -> Dataset:
    """Writes `dataset.json` atomically, after checking it exactly as `load` will.

    The bytes are a pure function of `document` (sorted keys, no time, no path).

    Raises:
        DatasetError: `document` breaks the schema.
    """
    text = json.dumps(document, indent=1, sort_keys=True, ensure_ascii=True, allow_nan=False)
    dataset = parse(json.loads(text), directory)
    files.write_atomically(files.join(directory, DATASET_FILE), (text + "\n").encode())
    return dataset


def parse(document: Any, directory: str) -> Dataset:
    """Turns the content of `dataset.json` into a `Dataset`, checking all of it.

    Raises:
        DatasetError: another schema version, or a field missing, of a wrong type or contradicting
            another one.
    """
    path = files.join(directory, DATASET_FILE)
    version = document.get("schema_version") if isinstance(document, dict) else None
    if version != SCHEMA_VERSION:
        raise DatasetError(
            f"{path}: schema version {version!r}, this program reads version {SCHEMA_VERSION}; "
            "convert the images again with this version"
        )
    try:
        return _parse_checked(document, directory)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"field {error} is missing" if isinstance(error, KeyError) else str(error)
        raise DatasetError(f"{path}: damaged ({what}); convert the images again") from error


def _parse_checked(document: dict[str, Any], directory: str) -> Dataset:
    store = document["store"]
    _check(store in IMAGE_KEYS, f"store {store!r} is none of {', '.join(IMAGE_KEYS)}")
    label_order = document["label_order"]
    _check(label_order in LABEL_ORDERS, f"label_order {label_order!r} is unknown")
    exif_orientation = document.get("exif_orientation", "ignore")
    _check(exif_orientation in EXIF_ORIENTATIONS, f"exif_orientation {exif_orientation!r}")
    for repeated in document.get(REPEATED_FIELD, {}).values():
        _integer(repeated["count"], 1)
        for split_and_key in repeated["as"]:
            _check(len(_texts(split_and_key)) == 2, f"{REPEATED_FIELD} {split_and_key!r}")
        _check(len(repeated["as"]) == 2, f"{REPEATED_FIELD} {repeated['as']!r}")
    names = _texts(document["class_names"])
    _check(len(names) > 0, "no class")
    _check(len(set(names)) == len(names), "a class is named twice")
    titles = _texts(document.get("class_titles") or list(names))
    _check(len(titles) == len(names), "class_titles and class_names differ in length")
    splits = {
        str(name): _parse_split(str(name), split, len(names))
        for name, split in document["splits"].items()
    }
    _check("train" in splits, "no train split")
    statistics = document["statistics"]
    quality = document["jpeg_quality"]
    return Dataset(
        directory=directory,
        image_size=_integer(document["image_size"], 1),
        store=store,
        jpeg_quality=None if quality is None else _integer(quality, 1),
        label_order=label_order,
        label_offset=_integer(document["label_offset"], 0),
        class_names=names,
        class_titles=titles,
        splits=splits,
        channel_mean=_numbers(statistics["channel_mean"], (3,)),
        pca_standard_deviations=_numbers(statistics["pca_standard_deviations"], (3,)),
        pca_vectors=_numbers(statistics["pca_vectors"], (3, 3)),
        mean_image_sha256=_sha256(statistics["mean_image"]["sha256"]),
        document=document,
    )


def _parse_split(name: str, fields: Mapping[str, Any], num_classes: int) -> Split:
    shards = tuple(
        Shard(
            name=_file_name(shard["name"]),
            count=_integer(shard["count"], 0),
            bytes=_integer(shard["bytes"], 0),
            sha256=_sha256(shard["sha256"]),
        )
        for shard in fields["shards"]
    )
    split = Split(
        name=name,
        count=_integer(fields["count"], 0),
        class_counts=tuple(_integer(count, 0) for count in fields["class_counts"]),
        shards=shards,
        skipped=tuple(Skipped(str(s["key"]), str(s["reason"])) for s in fields["skipped"]),
        index_name=_file_name(fields["index"]["name"]),
        index_sha256=_sha256(fields["index"]["sha256"]),
    )
    _check(len(split.class_counts) == num_classes, f"{name}: class_counts of a wrong length")
    _check(sum(split.class_counts) == split.count, f"{name}: class_counts do not add up to count")
    _check(sum(s.count for s in shards) == split.count, f"{name}: shards do not add up to count")
    _check(len({s.name for s in shards}) == len(shards), f"{name}: a shard is named twice")
    return split


def _read_array(path: str, sha256: str) -> np.ndarray:
    """A .npy file whose checksum is known; never unpickles."""
    try:
        data = files.read_bytes(path)
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error}); convert the images again") from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise DatasetError(f"{path}: damaged, its checksum differs; convert the images again")
    try:
        return files.array_from_bytes(data)
    except ValueError as error:
        raise DatasetError(f"{path}: not a .npy file ({error}); convert again") from error


def _require_file(path: str) -> None:
    if not files.exists(path):
        raise DatasetError(f"{path}: is missing; convert the images again")


def _check(condition: bool, what: str) -> None:
    if not condition:
        raise ValueError(what)


def _integer(value: Any, minimum: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise ValueError(f"{value!r} is not an integer of at least {minimum}")
    return value


def _texts(values: Any) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ValueError("class names must be a list of texts")
    return tuple(values)


def _numbers(values: Any, shape: tuple[int, ...]) -> np.ndarray:
    array = np.asarray(values, np.float64)
    if array.shape != shape or not np.all(np.isfinite(array)):
        raise ValueError(f"expected finite numbers of shape {list(shape)}")
    return array


def _file_name(value: Any) -> str:
    """A name inside the folder: a hostile dataset.json must not point elsewhere."""
    if not isinstance(value, str) or not _PLAIN_NAME.fullmatch(value):
        raise ValueError(f"{value!r} is not a plain file name")
    return value


def _sha256(value: Any) -> str:
    if not isinstance(value, str) or not _SHA256.fullmatch(value):
        raise ValueError(f"{value!r} is not a SHA-256")
    return value
