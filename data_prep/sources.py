"""Finds the images of a split: what lies where, and of which class.

Whatever the source, an image's key is `class/file`, so that the same images give the same plan
from folders and from archives.
"""

import os
from collections.abc import Mapping
from typing import NamedTuple

from data_prep import command, files

WHOLE_FILE = -1
# Files larger than this are not read: no photograph comes near, and memory stays bounded.
MAX_FILE_BYTES = 1 << 28


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


def find_images(path: str, labels: Mapping[str, str] | None = None) -> list[SourceImage]:
    """Finds the images of a folder.

    Args:
      path: a folder of class folders, or a flat folder of images.
      labels: class of every file name, which a flat folder needs.

    Raises:
      command.UserError: there is no such folder, it is empty, a class has no image, files lie
        beside class folders, or a flat folder has no (or other) labels.
    """
    if not os.path.exists(path):
        raise command.UserError(f"{path}: no such file or folder")
    if not os.path.isdir(path):
        raise command.UserError(f"{path}: not a folder of images")
    folders, loose = _list_folder(path)
    if not folders and not loose:
        raise command.UserError(f"{path}: is empty; expected one folder of images per class")
    if not folders:
        if labels is None:
            raise command.UserError(
                f"{path}: holds files but no class folders; expected one folder per class, "
                "or a label file for these images"
            )
        found = [(name, os.path.join(path, name)) for name in loose]
        return with_labels(path, found, labels)
    if loose:
        raise command.UserError(
            f"{path}: {len(loose)} files lie beside the class folders (as {loose[0]!r}); "
            "move each into its class folder, or away"
        )
    return _class_folders(path, folders)


def with_labels(
    where: str, found: list[tuple[str, str]], labels: Mapping[str, str]
) -> list[SourceImage]:
    """Gives the (name, path) pairs of a flat folder their classes; every image needs one."""
    missing = [name for name, _ in found if name not in labels]
    if missing:
        raise command.UserError(
            f"{where}: {len(missing)} of {len(found)} images have no label (as {missing[0]!r})"
        )
    if len(labels) != len(found):
        names = {name for name, _ in found}
        absent = next(name for name in labels if name not in names)
        raise command.UserError(
            f"{where}: {len(labels)} labels for {len(found)} images; {absent!r} is not there"
        )
    return [SourceImage(f"{labels[name]}/{name}", labels[name], path) for name, path in found]


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
      command.UserError: fewer than two classes, or validation images of an unknown class.
    """
    names = tuple(sorted({image.class_name for image in train}))
    if len(names) < 2:
        raise command.UserError(f"only one class ({names[0]!r}); training needs at least two")
    unknown = sorted({image.class_name for image in validation} - set(names))
    if unknown:
        shown = ", ".join(unknown[:3]) + (", ..." if len(unknown) > 3 else "")
        raise command.UserError(
            f"{where}: has {len(unknown)} classes that the training images have not: {shown}"
        )
    return names


def _class_folders(path: str, folders: list[str]) -> list[SourceImage]:
    images: list[SourceImage] = []
    for class_name in folders:
        folder = os.path.join(path, class_name)
        names = sorted(_walk(folder, ""))
        if not names:
            raise command.UserError(f"{folder}: class without images; add some or remove it")
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
