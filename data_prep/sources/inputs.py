"""From what the user names (folders, archives, label files, a devkit) to images and classes."""

import dataclasses
import hashlib
import os
from collections.abc import Mapping

import numpy as np

from alexnet_common import files
from alexnet_common.errors import UsageError, UserError
from alexnet_common.messages import log
from data_prep.sources import class_list, forms, imagenet, kaggle, labels, listing, tree
from data_prep.sources.class_list import ClassList
from data_prep.sources.image_table import Images
from data_prep.sources.imagenet import Devkit


@dataclasses.dataclass(frozen=True)
class Inputs:
    """All images per split, and the classes in the order of their labels.

    `class_titles` is empty where the classes are not known in words.
    """

    images: dict[str, Images]
    class_names: tuple[str, ...]
    class_titles: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class _Labelling:
    """How files become images of classes, by what the user names beside the images."""

    train_labels: str | None
    validation_labels: str | None
    devkit_path: str | None
    devkit: Devkit | None
    classes: ClassList | None
    cache_folder: str | None

    def label_file(self, split: str) -> str | None:
        """The label file of a split, where one is named."""
        return self.train_labels if split == "train" else self.validation_labels

    def label_names(self, path: str, split: str, names: list[str]) -> Mapping[str, str]:
        """The classes of the files of a flat source."""
        if split == "train":
            return labels.read(str(self.train_labels), names, self.devkit)
        if self.validation_labels is not None:
            return labels.read(self.validation_labels, names, self.devkit)
        if self.devkit is None or not self.devkit.validation_ids:
            raise UserError(
                f"{path}: is a flat collection of images; "
                "name their classes with --validation_labels or --devkit"
            )
        ids = self.devkit.validation_ids
        return imagenet.ground_truth(str(self.devkit_path), ids, names, self.devkit)


def find(
    train: str,
    validation: str | None,
    *,
    train_labels: str | None = None,
    validation_labels: str | None = None,
    devkit_path: str | None = None,
    class_list_path: str | None = None,
    validation_fraction: float | None = None,
    label_order: str = "sorted",
    cache_folder: str | None = None,
) -> Inputs:
    """Finds everything that is to be converted.

    Args:
        train, validation: collections of images in any form: folders and archives as
            `listing.find_images` takes them, Kaggle's ImageNet, and what `forms` tells. Where
            `train` holds both splits, `validation` may be left out.
        train_labels, validation_labels: label files of flat images.
        devkit_path: ILSVRC devkit; without it one that lies beside `train` is used.
        class_list_path: names of the classes, where the images are labelled with numbers.
        validation_fraction: part of the training images that is held out for validation; None for
            no part. Only without validation images.
        label_order: "sorted" (by class name) or "devkit" (by ILSVRC ID).
        cache_folder: where the index of an archive is kept.

    Raises:
        UserError: something is missing, empty, or does not fit together.
    """
    devkit_path = devkit_path or imagenet.find_devkit(train)
    devkit = None
    if devkit_path is not None:
        devkit = imagenet.read_devkit(devkit_path)
        log(f"{devkit_path}: {len(devkit.class_names):,} classes")
    if label_order == "devkit" and devkit is None:
        raise UsageError("--label_order=devkit needs the devkit; name it with --devkit")
    classes = class_list.read(class_list_path) if class_list_path else None
    labelling = _Labelling(
        train_labels, validation_labels, devkit_path, devkit, classes, cache_folder
    )
    titles_of: dict[str, str] = dict(classes.titles) if classes else {}
    wanted = ["train"] if validation else ["train", "validation"]
    images, in_words = _open(train, wanted, labelling, {})
    titles_of.update(in_words)
    if "validation" in images and validation_fraction is not None:
        raise UsageError(
            f"--validation_fraction is for sets without validation images; {train} holds some"
        )
    if validation is not None:
        trained = images["train"].class_counts()
        others, in_words = _open(validation, ["validation"], labelling, trained)
        images["validation"] = others["validation"]
        titles_of.update(in_words)
    elif validation_fraction is not None:
        listing.check_classes(images["train"], None, train)
        images = hold_out(images["train"], validation_fraction)
    names = listing.check_classes(
        images["train"],
        images.get("validation"),
        train_labels or train,
        validation_labels or validation or train,
    )
    if devkit is not None:
        titles_of = dict(zip(devkit.class_names, devkit.class_titles, strict=True))
        unknown = [name for name in names if name not in titles_of]
        if label_order == "devkit":
            if unknown:
                raise UserError(f"{train}: class {unknown[0]!r} is not in the devkit")
            trained = images["train"].class_counts()
            names = tuple(name for name in devkit.class_names if name in trained)
    titles = tuple(titles_of[name] for name in names if name in titles_of)
    return Inputs(images, names, titles if len(titles) == len(names) else ())


def _open(
    path: str, wanted: list[str], labelling: _Labelling, train_classes: Mapping[str, int]
) -> tuple[dict[str, Images], dict[str, str]]:
    """The wanted splits of a collection, and its classes in words where it tells them.

    A collection that does not tell its splits apart is the first of them.
    """
    shards = forms.detect(path)
    if shards is not None:
        _refuse_labels(path, labelling.label_file(wanted[0]), "states its own labels")
        splits = wanted if shards.has_both() else wanted[:1]
        result, titles = {}, {}
        for split in splits:
            result[split], in_words = forms.find(
                shards, split, given=labelling.classes, devkit=labelling.devkit,
                cache_folder=labelling.cache_folder,
            )  # fmt: skip
            titles.update(in_words)
        return result, titles
    source = tree.scan(path, labelling.cache_folder)
    of_kaggle = kaggle.locate(path, source)
    if of_kaggle is None:
        split, label_names = wanted[0], None
        if split == "validation" or labelling.train_labels:
            label_names = lambda names: labelling.label_names(path, split, names)  # noqa: E731
        images = listing.images_of(path, source, label_names, train_classes)
        if not images.by_label:
            _refuse_labels(path, labelling.label_file(split), "has class folders")
        return {split: images}, {}
    if "train" in wanted:
        _refuse_labels(path, labelling.train_labels, "has class folders")
    log(f"{path}: is Kaggle's ImageNet; its images lie in {of_kaggle.images!r}")
    result = {}
    if "train" in wanted:
        result["train"] = of_kaggle.train()
    if "validation" in wanted:
        label_names = None
        if labelling.validation_labels is not None:
            label_names = lambda names: labelling.label_names(path, "validation", names)  # noqa: E731
        flat = of_kaggle.validation(label_names)
        if flat is not None:
            result["validation"] = flat
        elif wanted == ["validation"]:
            raise UserError(f"{path}: has no validation images in {of_kaggle.images}val")
    return result, of_kaggle.titles()


def _refuse_labels(path: str, label_file: str | None, why: str) -> None:
    if label_file is not None:
        raise UsageError(f"{path}: {why}; the label file {label_file} is for flat images")


def hold_out(images: Images, fraction: float) -> dict[str, Images]:
    """Splits images into "train" and "validation", each by the hash of its own key.

    An image stays on its side whatever other images come or go, in any order and with any seed,
    and what a smaller fraction holds out, a larger one holds out too.

    Raises:
        UserError: a class would lose all of its images, or nothing is held out.
    """
    limit = round(fraction * 2**64)
    held_out = np.zeros(len(images), bool)
    for place, key in enumerate(images.keys()):
        digest = hashlib.blake2b(key.encode("utf-8", "surrogateescape"), digest_size=8)
        held_out[place] = int.from_bytes(digest.digest(), "big") < limit
    splits = {
        "train": images.take(np.flatnonzero(~held_out)),
        "validation": images.take(np.flatnonzero(held_out)),
    }
    if not len(splits["validation"]):
        raise UserError(
            f"--validation_fraction={fraction:g} holds out none of {len(images):,} images; "
            "take a larger one, or leave it out to train without validation"
        )
    lost = sorted(images.class_counts().keys() - splits["train"].class_counts().keys())
    if lost:
        raise UserError(
            f"--validation_fraction={fraction:g} leaves class {lost[0]!r} without a training image;"
            " take a smaller one, or add images"
        )
    return splits


def check_paths(train: str, validation: str | None, output_dir: str) -> None:
    """Refuses paths that lie within each other, before anything is listed.

    Raises:
        UsageError: the output would become part of an input, or the same images would be trained
            on and validated with.
    """
    for flag, path in (("train", train), ("validation", validation)):
        if path and not files.is_remote(output_dir) and _within(output_dir, path):
            raise UsageError(
                f"--output_dir={output_dir}: lies in --{flag}={path}, whose folders are the "
                "classes; name a folder outside of it"
            )
    if not validation:
        return
    if _within(train, validation) and _within(validation, train):
        raise UsageError(
            f"--validation={validation}: is the same as --train; --validation_fraction=0.1 holds "
            "out a part of the training images"
        )
    if _within(validation, train):
        raise UsageError(
            f"--validation={validation}: lies in --train={train}, so its images would be trained "
            f"on; did you mean --train={os.path.join(train, 'train')}?"
        )
    if _within(train, validation):
        raise UsageError(f"--train={train}: lies in --validation={validation}")


def _within(path: str, folder: str) -> bool:
    """Whether a path is `folder` or lies below it, links followed."""
    real, root = os.path.realpath(path), os.path.realpath(folder)
    return real == root or real.startswith(root.rstrip(os.sep) + os.sep)
