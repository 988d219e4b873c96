"""What a run must remember of its training dataset: classes, mean image, colour statistics.

A trained network is of no use without the mean image that was subtracted and the names of its
classes. A run keeps both in its work folder, in `dataset/`, as copies of the dataset's own
`dataset.json` and mean image; so a dataset may be moved or deleted when training is over.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from alexnet_common import files
from alexnet_common.counting import counted
from alexnet_common.errors import UserError, one_line
from alexnet_common.messages import log
from alexnet_tf.weight_io import published
from data_prep import dataset

FOLDER = "dataset"


def keep(workdir: Path, data: dataset.Dataset) -> None:
    """Copies the description of the training dataset into a work folder, unless it is there.

    Args:
        workdir: the run's work folder.
        data: the dataset that it trains on; synthetic data has no description.

    Warns where the classes, mean image and number of images are the same, but not the records.

    Raises:
        UserError: the run was trained on another dataset before (a dataset may move, not change).
    """
    if not data.document:
        return
    old = read(workdir)
    if old is not None:
        _check_same(workdir, old, data)
        return
    image = files.read_bytes(files.join(data.directory, dataset.MEAN_IMAGE_FILE))
    write(workdir, data.document, image)


def write(workdir: Path, document: Mapping[str, Any], mean_image: bytes) -> None:
    """Writes the content of a `dataset.json` and of its mean image into a work folder."""
    folder = workdir / FOLDER
    files.write_atomically(folder / dataset.MEAN_IMAGE_FILE, mean_image)
    text = json.dumps(dict(document), indent=1, sort_keys=True) + "\n"
    # Last: with this file the copy is complete.
    files.write_atomically(folder / dataset.DATASET_FILE, text.encode())


def read(workdir: Path) -> dataset.Dataset | None:
    """The training dataset as a work folder describes it, or None.

    Shards are not there to be read: this serves `class_names`, `mean_image()`, `image_size` and
    the colour statistics.

    Raises:
        DatasetError: the copy is damaged.
    """
    path = workdir / FOLDER / dataset.DATASET_FILE
    if not path.is_file():
        return None
    try:
        document = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise dataset.DatasetError(f"{path}: damaged ({one_line(error)})") from error
    return dataset.parse(document, str(path.parent))


def check_classes(trained: dataset.Dataset, other: dataset.Dataset, whose: str) -> None:
    """Refuses a dataset whose classes are not those that a network was trained on.

    Args:
        trained: the training dataset.
        other: the one to compare.
        whose: names the first in the message, such as "the run in DIR".

    Raises:
        UserError: names the first class that differs.
    """
    where = other.directory
    if trained.num_classes != other.num_classes:
        raise UserError(
            f"{where} has {counted(other.num_classes, 'class', 'classes')}, {whose} has "
            f"{trained.num_classes}; errors among different numbers of classes do not compare"
        )
    pairs = zip(trained.class_names, other.class_names, strict=True)
    for number, (mine, theirs) in enumerate(pairs):
        if mine != theirs:
            raise UserError(
                f"{where} has other classes: class {number} is {theirs!r}, for {whose} it is "
                f"{mine!r}; evaluate on a dataset converted from the same class folders"
            )


def _check_same(workdir: Path, old: dataset.Dataset, data: dataset.Dataset) -> None:
    if published.ORIGIN_KEY in old.document:
        raise UserError(
            f"{workdir} holds imported weights without a dataset, so it cannot be trained in; "
            f"--config.initial_weights={workdir} begins a run in a new --workdir with them"
        )
    check_classes(old, data, f"the run in {workdir}")
    if old.mean_image_sha256 != data.mean_image_sha256 or old.image_size != data.image_size:
        raise UserError(
            f"{data.directory} is not the dataset that {workdir} was trained on: its mean image "
            "differs; use that dataset, or a new --workdir"
        )
    if old.split("train").count != data.split("train").count:
        raise UserError(
            f"{data.directory} is not the dataset that {workdir} was trained on: it has "
            f"{data.split('train').count:,} training images, not {old.split('train').count:,}"
        )
    others = [
        name for name in ("train", "validation") if _records(old, name) != _records(data, name)
    ]
    if others:
        log(
            f"WARNING: {data.directory} is not the very dataset that {workdir} was trained on: "
            f"other records in {' and '.join(others)} (images, order, store or quality); what "
            "comes now is another run than without this change, and its errors may not compare "
            "with those before"
        )


def _records(data: dataset.Dataset, split: str) -> list[str]:
    """What tells records from others: the checksums of their files."""
    return [shard.sha256 for shard in data.splits[split].shards] if split in data.splits else []
