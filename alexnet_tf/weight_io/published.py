"""Networks that other programs published: recipe, mean, and the 1,000 classes of ImageNet.

Their files hold weights only. What else a prediction needs is known: torchvision's and Caffe's nets
have the classes of ILSVRC 2012 in the order of their sorted WordNet ids, and each subtracts its own
mean from the pixels.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from alexnet_common.imagenet_classes import imagenet_classes
from alexnet_tf.weight_io import weight_files
from alexnet_tf.weight_io.means import MEANS
from data_prep import dataset

# What their images were resized to: the shorter side, or both.
_IMAGE_SIZE = 256
ORIGIN_KEY = "published_by"
"""Key of a `dataset.json` that was made for published weights, without a dataset."""


@dataclass(frozen=True)
class Published:
    """A published network: the recipe of its layers, and the name of its mean (`means.MEANS`)."""

    recipe: str
    mean: str


NETWORKS = {
    weight_files.TORCHVISION: Published("alexnet_owt", "torchvision"),
    weight_files.CAFFE: Published("alexnet_caffe", "caffe"),
}
"""By the layout of their files (`weight_files.WeightFile.layout`)."""


def class_names(file: weight_files.WeightFile) -> tuple[str, ...] | None:
    """WordNet ids of the outputs of a published network; None: the file does not tell.

    With another number of outputs than ImageNet's 1,000 it is somebody's own training.
    """
    names = tuple(wordnet_id for wordnet_id, _ in imagenet_classes())
    return names if file.layout in NETWORKS and file.outputs == len(names) else None


def describe(file: weight_files.WeightFile) -> tuple[dict[str, Any], bytes]:
    """What a dataset would say of a published network: class names, titles and mean.

    Classes of a file with another number of outputs than 1,000 are called by their numbers.

    Returns:
        A document of the form of `dataset.json`, whose training split is empty, and the content of
        its mean image: float32 [256, 256, 3] in NumPy's format, the published mean at every pixel.
    """
    classes: Sequence[tuple[str, str]] = imagenet_classes()
    if class_names(file) is None:
        classes = [(f"class {number}", f"class {number}") for number in range(file.outputs)]
    mean = np.array(MEANS[NETWORKS[file.layout].mean])
    image = np.broadcast_to(mean.astype(np.float32), (_IMAGE_SIZE, _IMAGE_SIZE, 3))
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(image))
    content = buffer.getvalue()
    no_file = hashlib.sha256(b"").hexdigest()
    train: Mapping[str, Any] = {
        "count": 0,
        "class_counts": [0] * len(classes),
        "shards": [],
        "skipped": [],
        "index": {"name": "none", "sha256": no_file},
    }
    return {
        "schema_version": dataset.SCHEMA_VERSION,
        ORIGIN_KEY: file.layout,
        "image_size": _IMAGE_SIZE,
        "store": "jpeg",
        "jpeg_quality": None,
        "label_order": "sorted",
        "label_offset": 1,
        "class_names": [name for name, _ in classes],
        "class_titles": [title for _, title in classes],
        "splits": {"train": train},
        "statistics": {
            "channel_mean": mean.tolist(),
            # Colour noise, which these networks were trained without, would be none.
            "pca_standard_deviations": [0.0] * 3,
            "pca_vectors": np.eye(3).tolist(),
            "mean_image": {"sha256": hashlib.sha256(content).hexdigest()},
        },
    }, content
