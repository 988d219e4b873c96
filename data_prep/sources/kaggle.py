"""Kaggle's ImageNet, its zip or the folder that it unpacks to: both splits in one place.

Layout: `ILSVRC/Data/CLS-LOC/train/<class>/`, `ILSVRC/Data/CLS-LOC/val/` flat, beside `ILSVRC/` the
files `LOC_val_solution.csv` (classes of the validation images) and `LOC_synset_mapping.txt`
(classes in words).
"""

import dataclasses

from alexnet_common.errors import UserError
from data_prep.sources import class_list, labels, listing
from data_prep.sources.image_table import Images
from data_prep.sources.tree import Tree

_IMAGES = ("ILSVRC/Data/CLS-LOC/", "Data/CLS-LOC/", "CLS-LOC/")
_SOLUTION, _MAPPING = "LOC_val_solution.csv", "LOC_synset_mapping.txt"


@dataclasses.dataclass(frozen=True)
class Kaggle:
    """Where the images lie in a tree, and the prefix of the files beside them."""

    path: str
    tree: Tree
    images: str
    beside: str

    def train(self) -> Images:
        """The training images."""
        return listing.images_of(self.path, self.tree, root=f"{self.images}train/")

    def validation(self, label_names: listing.LabelNames | None) -> Images | None:
        """The validation images, with the classes of `label_names` or of the solution file.

        None where there are none.

        Raises:
            UserError: there are images but neither of the two.
        """
        root = f"{self.images}val/"
        if not self.tree.children(root)[0]:
            return None
        solution = self.tree.read(f"{self.beside}{_SOLUTION}")
        if label_names is None and solution is None:
            raise UserError(
                f"{self.path}: has validation images but no {_SOLUTION}; name it with "
                "--validation_labels, or the devkit with --devkit"
            )

        def of_solution(names: list[str]) -> dict[str, str]:
            where = f"{self.path}: {_SOLUTION}"
            return labels.parse(where, solution or b"", names, None)

        return listing.labelled(self.path, self.tree, root, label_names or of_solution)

    def titles(self) -> dict[str, str]:
        """The classes in words, or nothing."""
        content = self.tree.read(f"{self.beside}{_MAPPING}")
        if content is None:
            return {}
        return class_list.parse(f"{self.path}: {_MAPPING}", content).titles


def locate(path: str, tree: Tree) -> Kaggle | None:
    """Kaggle's layout at the top of a tree or in a single folder around it, or None."""
    top = ""
    names, folders = tree.children("")
    if not names and len(folders) == 1 and folders[0] not in ("ILSVRC", "Data", "CLS-LOC"):
        top = f"{folders[0]}/"
    folders_of = set(tree.folders)
    for images in _IMAGES:
        if f"{top}{images}train" in folders_of:
            return Kaggle(path, tree, f"{top}{images}", top)
    return None
