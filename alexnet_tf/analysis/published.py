"""Published errors of AlexNet, for results that compare with them.

Sources: Krizhevsky, Sutskever and Hinton 2012, table 2 and section 6; the run diaries in the 2012
code's parameter files; the READMEs of Caffe's reference models; torchvision's documentation.
"""

from __future__ import annotations

import dataclasses
import re

from data_prep import dataset

VALIDATION_IMAGES = 50_000
CLASSES = 1000


@dataclasses.dataclass(frozen=True)
class Published:
    """Errors on the validation images of ILSVRC-2012, shares 0..1.

    Attributes:
        networks: how many networks' probabilities are averaged.
        views: 1: the centre; 10: the paper's.
    """

    name: str
    networks: int
    views: int
    top_1_error: float
    top_5_error: float


RESULTS = (
    Published("the paper, 1 CNN (table 2)", 1, 10, 0.407, 0.182),
    Published("run 145 of the 2012 code (its diary)", 1, 10, 0.40664, 0.18210),
    Published("the paper, 5 CNNs (table 2)", 5, 10, 0.381, 0.164),
    Published("run 170 of the 2012 code (its diary)", 1, 1, 0.4234, 0.1958),
    Published("Caffe, bvlc_alexnet", 1, 1, 0.429, 0.198),
    Published("Caffe, bvlc_reference_caffenet", 1, 1, 0.426, 0.196),
    Published("torchvision, alexnet (one weird trick)", 1, 1, 0.43478, 0.20934),
)


def incomparable(data: dataset.Dataset, split: str) -> str:
    """Why errors on a split do not compare with the published ones; empty where they do."""
    names = data.class_names
    if data.num_classes != CLASSES:
        return f"errors among {data.num_classes:,} classes do not compare with ImageNet's 1,000"
    if not all(re.fullmatch(r"n\d{8}", name) for name in names):
        return "the classes are not those of ImageNet (n01440764, ...)"
    count = data.split(split).count
    if split != "validation" or count != VALIDATION_IMAGES:
        return (
            f"published errors are of the {VALIDATION_IMAGES:,} validation images of ILSVRC-2012, "
            f"not of {count:,} images of the split {split}"
        )
    return ""


def beside(networks: int, views: int) -> list[Published]:
    """What so many networks on so many views compare with."""
    return [r for r in RESULTS if r.networks == networks and r.views == views]
