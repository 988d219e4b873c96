"""Finds the images of a split: what lies where, and of which class.

The class of an image is the folder directly under the root, at whatever depth below it the image
lies, and its key is `class/path below it`. Folders and archives go through the same rule, so the
same images give the same plan from both.
"""

import os
from collections.abc import Callable, Collection, Mapping

import numpy as np

from alexnet_common.errors import UsageError, UserError
from alexnet_common.messages import log
from data_prep.sources import class_names, reading, tree, unicode_forms
from data_prep.sources.image_table import Images, Place, SourceImage
from data_prep.sources.tree import Tree

__all__ = ["Images", "LabelNames", "SourceImage", "check_classes", "find_images", "images_of",
           "read_image"]  # fmt: skip

# File names to the classes of these files.
LabelNames = Callable[[list[str]], Mapping[str, str]]

# How names of archives end.
_PACKED = (
    ".tar", ".tgz", ".tbz2", ".txz", ".gz", ".bz2", ".xz", ".zst", ".zip", ".7z", ".rar",
)  # fmt: skip
_TRAIN_FOLDERS = ("train", "training", "Train", "Training")
_VALIDATION_FOLDERS = (
    "validation", "val", "valid", "test", "testing", "Validation", "Val", "Valid", "Test",
)  # fmt: skip


def find_images(
    path: str,
    label_names: LabelNames | None = None,
    cache_folder: str | None = None,
    train_classes: Collection[str] = (),
) -> Images:
    """Finds the images of a split in a folder or an archive.

    Args:
        path: a folder of class folders or of class archives; a flat folder; a tar, tar.gz or zip of
            class folders or of class archives (`ILSVRC2012_img_train.tar`); a flat one
            (`ILSVRC2012_img_val.tar`).
        label_names: gives the file names of a flat source their classes.
        cache_folder: where the index of an archive is kept.
        train_classes: classes of the training images, when others are looked for.

    Returns:
        The images, sorted by class and name.

    Raises:
        UserError: there is nothing at `path`, it is empty, a class has no image or a name that is
            not UTF-8, files lie beside class folders, a flat source has no (or other) labels, or
            an archive is refused.
    """
    return images_of(path, tree.scan(path, cache_folder), label_names, train_classes)


def images_of(
    path: str,
    source: Tree,
    label_names: LabelNames | None = None,
    train_classes: Collection[str] = (),
    root: str = "",
) -> Images:
    """As `find_images`, of a tree that was listed, at or below `root`; `path` is for messages."""
    if source.hidden:
        count = _count(source.hidden, "hidden file or folder", "hidden files or folders")
        log(f"{path}: ignored {count} (as {source.hidden[0]!r})")
    begin, root = root, _root(source, train_classes, root)
    names, folders = source.children(root)
    if root != begin:
        log(f"{path}: its images lie in {root!r}, whose folders are the classes")
    if not folders and not names:
        raise UserError(f"{path}: is empty; expected one folder of images per class")
    _refuse_splits(path, source, root, folders)
    if folders and names:
        lie = "1 file lies" if len(names) == 1 else f"{len(names)} files lie"
        first = os.path.join(path, root, names[0])
        dangling = os.path.islink(first) and not os.path.exists(first)
        raise UserError(
            f"{path}: {lie} beside the class folders (as {names[0]!r}"
            f"{', a link to what is not there' if dangling else ''}); "
            "move each into its class folder, or away"
        )
    if folders and not _is_flat(source, root, folders, label_names, train_classes):
        return class_folders(path, source, root, folders)
    if folders:
        # ILSVRC-2010 keeps its validation images in one folder `val/`.
        root += f"{folders[0]}/"
    return labelled(path, source, root, label_names)


def labelled(path: str, source: Tree, root: str, label_names: LabelNames | None) -> Images:
    """The files below `root`, unsorted, each with the class that `label_names` gives it.

    Raises:
        UserError: labels and files do not fit each other.
    """
    below, rows = _rows_below(source, root)
    table = source.table
    names = [below[table.folder_ids[row]] + table.name(int(row)) for row in rows]
    classes = _labels_of(path, sorted(names), label_names)
    of_labels = sorted(set(classes.values()))
    numbers = {name: number for number, name in enumerate(of_labels)}
    ids = np.array([numbers[classes[name]] for name in names], np.int32)
    return Images(table, rows, ids, of_labels, below, True).sorted()


def read_image(image: SourceImage) -> bytes:
    """The bytes of one image file, as `reading.read_place` gives them."""
    return reading.read_place(Place(*image[2:]))


def check_classes(
    train: Images, validation: Images | None, train_path: str, validation_path: str = ""
) -> tuple[str, ...]:
    """The sorted classes of the training images; validation must not bring others.

    Args:
        train, validation: the images.
        train_path, validation_path: where the classes are from, for messages.

    Raises:
        UserError: fewer than two classes, or validation images of an unknown class.
    """
    names = tuple(sorted(train.class_counts()))
    if len(names) < 2:
        raise UserError(
            f"{train_path}: has only one class ({names[0]!r}); training needs at least two"
        )
    twins = unicode_forms.twins(names, names)
    if twins:
        log(f"note: classes {unicode_forms.told_apart(*twins)}; they are two classes")
    unknown = sorted(validation.class_counts().keys() - set(names)) if validation else []
    if unknown:
        shown = ", ".join(unknown[:3]) + (", ..." if len(unknown) > 3 else "")
        raise UserError(
            f"{validation_path}: has {_count(unknown, 'class', 'classes')} that the training "
            f"images do not have: {shown}{_twins(unknown, names)}"
        )
    return names


def _count(things: Collection[object], singular: str, plural: str) -> str:
    return f"{len(things):,} {singular if len(things) == 1 else plural}"


def _twins(missing: list[str], names: Collection[str]) -> str:
    """A clause for the end of a message, where a missing name is there in another Unicode form."""
    twins = unicode_forms.twins(missing, names)
    return f" ({unicode_forms.told_apart(*twins)}; rename one)" if twins else ""


def _root(source: Tree, train_classes: Collection[str], root: str) -> str:
    """The folder, at or below `root`, whose folders are the classes.

    Archives are often made of one folder around all. "" or a path that ends with a slash.
    """
    while True:
        names, folders = source.children(root)
        if names or len(folders) != 1 or folders[0] in train_classes:
            return root
        inner = f"{root}{folders[0]}/"
        if not source.children(inner)[1]:
            return root
        root = inner


def _is_flat(
    source: Tree,
    root: str,
    folders: list[str],
    label_names: LabelNames | None,
    train_classes: Collection[str],
) -> bool:
    """Whether the only folder holds unsorted images, and is not a class."""
    return (
        label_names is not None
        and len(folders) == 1
        and folders[0] not in train_classes
        and not source.children(f"{root}{folders[0]}/")[1]
    )


def _refuse_splits(path: str, source: Tree, root: str, folders: list[str]) -> None:
    """Says what was probably meant where the folder of all splits is named."""
    train = next((name for name in _TRAIN_FOLDERS if name in folders), None)
    validation = next((name for name in _VALIDATION_FOLDERS if name in folders), None)
    if train is None or validation is None:
        return
    if not all(source.children(f"{root}{name}/")[1] for name in (train, validation)):
        return
    base = path.rstrip("/")
    if os.path.isdir(path):
        base = os.path.join(base, root.rstrip("/")) if root else base
        advice = f"did you mean --train={base}/{train} --validation={base}/{validation}?"
    else:
        advice = "make an archive of each, or unpack it"
    raise UsageError(
        f"{path}: its folders {train!r} and {validation!r} are splits, not classes; {advice}"
    )


def _labels_of(path: str, names: list[str], label_names: LabelNames | None) -> dict[str, str]:
    """The class of every file of a flat source; every image needs one, and the other way round."""
    packed = next((name for name in names if name.casefold().endswith(_PACKED)), None)
    if packed is not None:
        raise UserError(
            f"{path}: holds archives (as {packed!r}) where images are expected; unpack each into a "
            "folder of its name, or name a folder or a tar of class tars"
        )
    if label_names is None:
        raise UserError(
            f"{path}: holds images but no class folders; expected one folder per class, "
            "or a label file (--train_labels, --validation_labels), or for ILSVRC's validation "
            "images --devkit"
        )
    labels = label_names(names)
    missing = sorted(set(names) - labels.keys())
    absent = sorted(labels.keys() - set(names))
    if missing:
        others = f"; there is one of {absent[0]!r}, which is no image here" if absent else ""
        raise UserError(
            f"{path}: {len(missing):,} of {_count(names, 'image', 'images')} "
            f"{'has' if len(missing) == 1 else 'have'} no label (as {missing[0]!r})"
            f"{_twins(missing, labels.keys()) or others}"
        )
    if absent:
        raise UserError(
            f"{path}: {_count(labels, 'label', 'labels')} for {_count(names, 'image', 'images')}; "
            f"{absent[0]!r} is not there"
        )
    for name in set(labels.values()):
        class_names.check(path, name)
    return dict(labels)


def class_folders(path: str, source: Tree, root: str, folders: list[str]) -> Images:
    """The files below `root`, whose class is the folder directly under it.

    Raises:
        UserError: a class has no image, or a name that is not UTF-8.
    """
    for name in folders:
        class_names.check(path, name)
    below, rows = _rows_below(source, root)
    numbers = {name: number for number, name in enumerate(folders)}
    of_folders = [numbers.get(folder.partition("/")[0], -1) for folder in below]
    ids = np.array(of_folders, np.int32)[np.array(source.table.folder_ids, np.int32)[rows]]
    images = Images(source.table, rows, ids, folders, below, False)
    empty = sorted(set(folders) - images.class_counts().keys())
    if empty:
        raise UserError(
            f"{path.rstrip('/')}/{root}{empty[0]}: class without images; add some or remove it"
        )
    return images.sorted()


def _rows_below(source: Tree, root: str) -> tuple[list[str], np.ndarray]:
    """For every folder of the table its path below `root` ("" or "a/b/"), and the rows there."""
    below, inside = [], []
    for folder in source.table.folders:
        whole = f"{folder}/" if folder else ""
        inside.append(whole.startswith(root))
        below.append(whole[len(root) :])
    if not inside:
        return below, np.zeros(0, np.int64)
    ids = np.array(source.table.folder_ids, np.int32)
    return below, np.flatnonzero(np.array(inside)[ids])
