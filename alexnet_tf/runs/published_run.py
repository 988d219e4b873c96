"""A network from a file of weights alone: loaded, or made into a work folder, without a dataset."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from alexnet_common.errors import UsageError
from alexnet_tf import recipes
from alexnet_tf.input.preprocess import Preprocess
from alexnet_tf.model import build
from alexnet_tf.recipes import ConfigDict
from alexnet_tf.runs import checkpoint, dataset_copy, restore
from alexnet_tf.runs.workdir import WorkFolder
from alexnet_tf.tables import table
from alexnet_tf.weight_io import published, weight_files, weights
from data_prep import dataset


def restore_run(path: str, recipe: str = "", data_dir: str = "") -> restore.TrainedRun:
    """The network whose weights a file holds.

    Args:
        path: weights in torchvision's or Caffe's layout, which say by themselves which recipe,
            classes and mean they go with; or a .npz file of ours.
        recipe: name or file of a recipe; needed for a file of ours.
        data_dir: the dataset whose classes (and, for a file of ours, mean) the network was trained
            on; needed for a file of ours.

    Raises:
        UsageError: a file of ours without recipe or dataset.
        UserError: not weights, or of another network than the recipe's.
    """
    file = weight_files.read(path)
    network = published.NETWORKS.get(file.layout)
    if not data_dir and published.class_names(file) is None:
        _check_names(file)
    if not network and not (recipe and data_dir):
        raise UsageError(
            f"{path} ({file.description}) does not say what network, classes and mean it goes "
            "with: name the recipe and the dataset, or take the work folder of the run"
        )
    config = recipes.resolve(recipes.load(recipe or (network.recipe if network else "")))
    if network:
        _subtract_published_mean(config, network)
    data = dataset.load(data_dir) if data_dir else dataset.parse(published.describe(file)[0], path)
    return _with_weights(file, config, data)


def import_file(
    path: str, config: ConfigDict | None, folder: WorkFolder
) -> tuple[restore.TrainedRun, str]:
    """Makes a work folder, at step 0, of published weights: classes and mean come with them.

    Args:
        path: weights of ImageNet's 1,000 classes in torchvision's or Caffe's layout.
        config: a resolved recipe; None: the one of the published network.
        folder: new, or claimed and empty.

    Returns:
        The run in its new folder, and what there is to say about the file.

    Raises:
        UsageError: other weights.
        UserError: no weights, or of another network than the recipe's.
    """
    file = weight_files.read(path)
    network = published.NETWORKS.get(file.layout)
    if network is None or published.class_names(file) is None:
        _check_names(file)
        outputs = f" with {file.outputs:,} outputs" if network else ""
        raise UsageError(
            f"{path} ({file.description}{outputs}) does not say what its classes are: name the "
            "dataset that it was trained on with --config.data_dir, and its recipe with --config"
        )
    if config is None:
        config = recipes.resolve(recipes.load(network.recipe))
    _subtract_published_mean(config, network)
    document, mean_image = published.describe(file)
    run = _with_weights(file, config, dataset.parse(document, path))
    folder.open(config)
    dataset_copy.write(folder.folder, document, mean_image)
    values = {
        name: np.asarray(variable) for name, variable in build.named_variables(run.model).items()
    }
    # No optimizer: without a dataset there is no training to go on with.
    state = checkpoint.Checkpoint(values, {}, run.state)
    for place in (folder.best, folder.checkpoints):
        checkpoint.save(checkpoint.path_of(place, 0), state)
    folder.keep(config)
    text = f"{file.description}, {run.facts.num_classes:,} classes of ImageNet, mean {network.mean}"
    return dataclasses.replace(run, folder=folder.folder, which="best"), text


def _check_names(file: weight_files.WeightFile) -> None:
    """Raises WeightsError for arrays of none of the networks that can be read."""
    try:
        file.values(1.0)
    except weights.WeightsError as error:
        raise weights.WeightsError(f"{file.path} ({file.description}): {error}") from error


def _subtract_published_mean(config: ConfigDict, network: published.Published) -> None:
    # The first two would be the mean of a dataset, which there is not.
    if config.preprocess.mean not in ("image", "channel", network.mean):
        raise UsageError(
            f"config.preprocess.mean={config.preprocess.mean} is not what these weights were "
            f"trained with: {network.mean}"
        )
    with config.unlocked():
        config.preprocess.mean = network.mean


def _with_weights(
    file: weight_files.WeightFile, config: ConfigDict, data: dataset.Dataset
) -> restore.TrainedRun:
    layers = table.from_config(config.network, data.num_classes)
    model = build.build(layers, seed=config.seed)
    variables = build.named_variables(model)
    drawn = {name: np.asarray(variable) for name, variable in variables.items()}
    try:
        values = file.values(float(config.network.get("input_scale", 1.0)))
        choice = weights.choose(layers, drawn, values)
    except weights.WeightsError as error:
        raise file.misfit(config.name, error) from error
    weights.check_finite(file.path, choice.values)
    checkpoint.assign_weights(variables, choice.values, file.path)
    prepare = Preprocess(data, config.preprocess, layers.input_size)
    state = {"step": 0, "epoch": 0, "best": None}
    return restore.TrainedRun(Path(file.path), config, data, layers, model, prepare, "file", state)
