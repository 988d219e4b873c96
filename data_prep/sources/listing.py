"""Finds the images of a split: what lies where, and of which class.

Whatever the source, an image's key is `class/file`, so that the same images give the same plan
from folders and from archives.
"""

import os
from collections.abc import Callable, Mapping
from typing import NamedTuple

from alexnet_common import files
from alexnet_common.errors import UserError
from data_prep.sources import archives

# File names to the classes of these files.
LabelNames = Callable[[list[str]], Mapping[str, str]]

WHOLE_FILE = -1
# Files larger than this are not read: no photograph comes near, and memory stays bounded.
MAX_FILE_BYTES = 1 << 26


class SourceImage(NamedTuple):
    """One image file: all of `path`, or `size` bytes of it from `offset`."""

    key: str
    class_name: str
    path: str
    offset: int = WHOLE_FILE
    size: int = 0

    @property
    def filename(self) -> str:
        """The file's own name, without folders."""
        return self.key.rsplit("/", 1)[-1]


def find_images(
    path: str, label_names: LabelNames | None = None, cache_folder: str | None = None
) -> list[SourceImage]:
    """Finds the images of a split.

    Args:
      path: a folder of class folders; a flat folder; a tar archive of class folders or of class
        archives (`ILSVRC2012_img_train.tar`); a flat tar archive (`ILSVRC2012_img_val.tar`).
      label_names: gives the file names of a flat source their classes.
      cache_folder: where the index of an archive is kept.

    Raises:
      UserError: there is nothing at `path`, it is empty, a class has no image, files lie
        beside class folders, a flat source has no (or other) labels, or an archive is refused.
    """
    if not os.path.exists(path):
        raise UserError(f"{path}: no such file or folder")
    if not os.path.isdir(path):
        return _from_archive(path, label_names, cache_folder)
    folders, loose = _list_folder(path)
    if not folders and not loose:
        raise UserError(f"{path}: is empty; expected one folder of images per class")
    if folders and loose:
        raise UserError(
            f"{path}: {len(loose)} files lie beside the class folders (as {loose[0]!r}); "
            "move each into its class folder, or away"
        )
    if folders:
        return _class_folders(path, folders)
    classes = _labels_of(path, loose, label_names)
    return [
        SourceImage(f"{classes[name]}/{name}", classes[name], os.path.join(path, name))
        for name in loose
    ]


def read_image(image: SourceImage) -> bytes:
    """The bytes of one image file.

    Raises:
      OSError: it cannot be read, is shorter than it was, or is larger than `MAX_FILE_BYTES`.
    """
    if files.is_remote(image.path):
        return files.read_bytes(image.path)
    with open(image.path, "rb") as file:
        size = os.fstat(file.fileno()).st_size if image.offset == WHOLE_FILE else image.size
        if size > MAX_FILE_BYTES:
            raise OSError(f"{size:,} bytes are more than the {MAX_FILE_BYTES:,} that are read")
        data = os.pread(file.fileno(), size, max(image.offset, 0))
    if len(data) != size:
        raise OSError(f"only {len(data):,} of {size:,} bytes are there")
    return data


def check_classes(
    train: list[SourceImage], validation: list[SourceImage], where: str
) -> tuple[str, ...]:
    """The sorted classes of the training images; validation must not bring others.

    Raises:
      UserError: fewer than two classes, or validation images of an unknown class.
    """
    names = tuple(sorted({image.class_name for image in train}))
    if len(names) < 2:
        raise UserError(f"only one class ({names[0]!r}); training needs at least two")
    unknown = sorted({image.class_name for image in validation} - set(names))
    if unknown:
        shown = ", ".join(unknown[:3]) + (", ..." if len(unknown) > 3 else "")
        raise UserError(
            f"{where}: has {len(unknown)} classes that the training images have not: {shown}"
        )
    return names


def _from_archive(
    path: str, label_names: LabelNames | None, cache_folder: str | None
) -> list[SourceImage]:
    found = [
        member
        for member in archives.nested_members(path, cache_folder)
        if not member.name.rsplit("/", 1)[-1].startswith(".")
    ]
    if not found:
        raise UserError(f"{path}: holds no image")
    parents = {os.path.dirname(member.name) for member in found}
    names = [os.path.basename(member.name) for member in found]
    # ILSVRC-2010 keeps its validation images in one folder `val/`: that is a flat source too.
    if len(parents) == 1:
        labels = _labels_of(path, names, label_names)
        classes = [labels[name] for name in names]
    else:
        classes = [os.path.basename(os.path.dirname(member.name)) for member in found]
        if "" in classes:
            raise UserError(
                f"{path}: files lie beside the class folders (as {names[classes.index('')]!r})"
            )
    return [
        SourceImage(f"{class_name}/{name}", class_name, path, member.offset, member.size)
        for class_name, name, member in zip(classes, names, found, strict=True)
    ]


def _labels_of(path: str, names: list[str], label_names: LabelNames | None) -> dict[str, str]:
    """The class of every file of a flat source; every image needs one, and the other way round."""
    if label_names is None:
        raise UserError(
            f"{path}: holds images but no class folders; expected one folder per class, "
            "or for validation images --validation_labels or --devkit"
        )
    labels = label_names(names)
    missing = sorted(set(names) - labels.keys())
    if missing:
        raise UserError(
            f"{path}: {len(missing)} of {len(names)} images have no label (as {missing[0]!r})"
        )
    absent = sorted(labels.keys() - set(names))
    if absent:
        raise UserError(
            f"{path}: {len(labels)} labels for {len(names)} images; {absent[0]!r} is not there"
        )
    return dict(labels)


def _class_folders(path: str, folders: list[str]) -> list[SourceImage]:
    images: list[SourceImage] = []
    for class_name in folders:
        folder = os.path.join(path, class_name)
        names = sorted(_walk(folder, ""))
        if not names:
            raise UserError(f"{folder}: class without images; add some or remove it")
        images.extend(
            SourceImage(f"{class_name}/{name}", class_name, os.path.join(folder, name))
            for name in names
        )
    return images


def _walk(folder: str, prefix: str) -> list[str]:
    folders, names = _list_folder(folder)
    found = [prefix + name for name in names]
    for name in folders:
        found.extend(_walk(os.path.join(folder, name), f"{prefix}{name}/"))
    return found


def _list_folder(path: str) -> tuple[list[str], list[str]]:
    """Sorted names of folders and of files; hidden ones are what systems leave, not images."""
    folders: list[str] = []
    names: list[str] = []
    with os.scandir(path) as entries:
        for entry in entries:
            if not entry.name.startswith("."):
                (folders if entry.is_dir() else names).append(entry.name)
    return sorted(folders), sorted(names)
