"""A file of weights as a network, without a work folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from alexnet_common.errors import UsageError
from alexnet_tf import config as recipes
from alexnet_tf.input.preprocess import Preprocess
from alexnet_tf.model import build
from alexnet_tf.runs import checkpoint, restore
from alexnet_tf.tables import table
from alexnet_tf.weight_io import weight_files, weights
from data_prep import dataset

# Recipe and mean of the networks whose files are known by their layout.
PUBLISHED = {
    weight_files.TORCHVISION: ("alexnet_owt", "torchvision"),
    weight_files.CAFFE: ("alexnet_caffe", "caffe"),
}
# What the author's images were resized to.
IMAGE_SIZE = 256


def restore_run(path: str, recipe: str = "", data_dir: str = "") -> restore.TrainedRun:
    """The network whose weights a file holds.

    Args:
        path: weights in torchvision's or Caffe's layout, which say by themselves which recipe and
            mean they go with; or a .npz file of ours.
        recipe: name or file of a recipe; needed for a file of ours.
        data_dir: the dataset whose classes (and, for a file of ours, mean) the network was trained
            on; needed for a file of ours. Without it classes are called by their numbers.

    Raises:
        UsageError: a file of ours without recipe or dataset.
        UserError: not weights, or of another network than the recipe's.
    """
    found = weight_files.read(path)
    published, mean = PUBLISHED.get(found.layout, ("", ""))
    if not published and not (recipe and data_dir):
        raise UsageError(
            f"{path} ({found.description}) does not say what network, classes and mean it goes "
            "with: name the recipe and the dataset, or take the work folder of the run"
        )
    config = recipes.resolve(recipes.load(recipe or published))
    with config.unlocked():
        config.preprocess.mean = mean or config.preprocess.mean
    values = found.values(float(config.network.get("input_scale", 1.0)))
    biases = [name for name in values if name.endswith("/bias")]
    facts = dataset.load(data_dir) if data_dir else _facts(path, len(values[biases[-1]]))
    layers = table.from_config(config.network, facts.num_classes)
    model = build.build(layers, seed=config.seed)
    variables = build.named_variables(model)
    drawn = {name: np.asarray(variable) for name, variable in variables.items()}
    try:
        choice = weights.choose(layers, drawn, values)
    except weights.WeightsError as error:
        raise weights.WeightsError(
            f"{path} ({found.description}) does not fit {config.name}: {error}"
        ) from error
    checkpoint.assign_weights(variables, choice.values, path)
    prepare = Preprocess(facts, config.preprocess, layers.input_size)
    return restore.TrainedRun(
        Path(path), config, facts, layers, model, prepare, "file", {"step": 0, "epoch": 0}
    )


def _facts(path: str, classes: int) -> dataset.Dataset:
    """What a dataset would say; its classes have no names, and no mean of its own is asked for."""
    names = tuple(f"class {number}" for number in range(classes))
    return dataset.Dataset(
        directory=path,
        image_size=IMAGE_SIZE,
        store="jpeg",
        jpeg_quality=None,
        label_order="sorted",
        label_offset=1,
        class_names=names,
        class_titles=names,
        splits={},
        channel_mean=np.zeros(3),
        pca_standard_deviations=np.zeros(3),
        pca_vectors=np.eye(3),
        mean_image_sha256="",
        document={},
    )
