"""From what the user names (folders, archives, label files, a devkit) to images and classes."""

import dataclasses
import hashlib
import os
from collections.abc import Mapping

from alexnet_common import files
from alexnet_common.errors import UsageError, UserError
from alexnet_common.messages import log
from data_prep.sources import imagenet, labels, listing
from data_prep.sources.listing import SourceImage


@dataclasses.dataclass(frozen=True)
class Inputs:
    """All images per split, and the classes in the order of their labels.

    `class_titles` is empty where the classes are not known in words.
    """

    images: dict[str, list[SourceImage]]
    class_names: tuple[str, ...]
    class_titles: tuple[str, ...]


def find(
    train: str,
    validation: str | None,
    *,
    validation_labels: str | None = None,
    devkit_path: str | None = None,
    validation_fraction: float | None = None,
    label_order: str = "sorted",
    cache_folder: str | None = None,
) -> Inputs:
    """Finds everything that is to be converted.

    Args:
        train, validation: folders or archives, as `listing.find_images` takes them.
        validation_labels: label file of a flat `validation`.
        devkit_path: ILSVRC devkit; without it one that lies beside `train` is used.
        validation_fraction: part of the training images that is held out for validation; None for
            no part. Only without `validation`.
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

    def label_names(names: list[str]) -> Mapping[str, str]:
        if validation_labels is not None:
            return labels.read(validation_labels, names, devkit)
        if devkit is None or not devkit.validation_ids:
            raise UserError(
                f"{validation}: is a flat collection of images; "
                "name their classes with --validation_labels or --devkit"
            )
        return imagenet.ground_truth(str(devkit_path), devkit.validation_ids, names, devkit)

    images = {"train": listing.find_images(train, None, cache_folder)}
    if validation is not None:
        classes = {image.class_name for image in images["train"]}
        images["validation"] = listing.find_images(validation, label_names, cache_folder, classes)
    elif validation_fraction is not None:
        listing.check_classes(images["train"], [], train)
        images = hold_out(images["train"], validation_fraction)
    names = listing.check_classes(
        images["train"], images.get("validation", []), validation_labels or validation or ""
    )
    titles: tuple[str, ...] = ()
    if devkit is not None:
        in_words = dict(zip(devkit.class_names, devkit.class_titles, strict=True))
        unknown = [name for name in names if name not in in_words]
        if label_order == "devkit":
            if unknown:
                raise UserError(f"{train}: class {unknown[0]!r} is not in the devkit")
            trained = set(names)
            names = tuple(name for name in devkit.class_names if name in trained)
        if not unknown:
            titles = tuple(in_words[name] for name in names)
    return Inputs(images, names, titles)


def hold_out(images: list[SourceImage], fraction: float) -> dict[str, list[SourceImage]]:
    """Splits images into "train" and "validation", each by the hash of its own key.

    An image stays on its side whatever other images come or go, in any order and with any seed,
    and what a smaller fraction holds out, a larger one holds out too.

    Raises:
        UserError: a class would lose all of its images, or nothing is held out.
    """
    limit = round(fraction * 2**64)
    splits: dict[str, list[SourceImage]] = {"train": [], "validation": []}
    for image in images:
        digest = hashlib.blake2b(image.key.encode("utf-8", "surrogateescape"), digest_size=8)
        held_out = int.from_bytes(digest.digest(), "big") < limit
        splits["validation" if held_out else "train"].append(image)
    if not splits["validation"]:
        raise UserError(
            f"--validation_fraction={fraction:g} holds out none of {len(images)} images; "
            "take a larger one, or leave it out to train without validation"
        )
    left = {image.class_name for image in splits["train"]}
    lost = sorted({image.class_name for image in images} - left)
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
