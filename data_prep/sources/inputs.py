"""From what the user names (folders, archives, label files, a devkit) to images and classes."""

import dataclasses
from collections.abc import Mapping

from alexnet_common.errors import UsageError, UserError
from alexnet_common.messages import log
from data_prep.sources import imagenet, listing
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
    label_order: str = "sorted",
    cache_folder: str | None = None,
) -> Inputs:
    """Finds everything that is to be converted.

    Args:
      train, validation: folders or archives, as `listing.find_images` takes them.
      validation_labels: label file of a flat `validation`.
      devkit_path: ILSVRC devkit; without it one that lies beside `train` is used.
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
            return imagenet.read_labels(validation_labels, names, devkit)
        if devkit is None or not devkit.validation_ids:
            raise UserError(
                f"{validation}: is a flat collection of images; "
                "name their classes with --validation_labels or --devkit"
            )
        return imagenet.ground_truth(str(devkit_path), devkit.validation_ids, names, devkit)

    images = {"train": listing.find_images(train, None, cache_folder)}
    if validation is not None:
        images["validation"] = listing.find_images(validation, label_names, cache_folder)
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
            known = set(names)
            names = tuple(name for name in devkit.class_names if name in known)
        if not unknown:
            titles = tuple(in_words[name] for name in names)
    return Inputs(images, names, titles)
