"""A trained run from its work folder: config, network with its weights, and what it expects."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import keras

from alexnet_common.errors import UserError
from alexnet_common.messages import log
from alexnet_tf.input.preprocess import Preprocess
from alexnet_tf.model import build
from alexnet_tf.recipes import ConfigDict
from alexnet_tf.runs import checkpoint, dataset_copy, definition_copy
from alexnet_tf.runs.workdir import WorkFolder
from alexnet_tf.tables import table
from data_prep import dataset

CHECKPOINTS = ("best", "newest")


@dataclasses.dataclass(frozen=True, eq=False)
class TrainedRun:
    """A run that can be evaluated or exported.

    Attributes:
        folder: its work folder.
        config: its resolved config.
        facts: the training dataset's classes, image size and statistics.
        table: the network.
        model: from float32 pixels [B, S, S, 3] to float32 logits, with trained weights.
        prepare: uint8 pixels to network input, with the training dataset's mean.
        which: "best" or "newest".
        state: the checkpoint's: `step`, `epoch`, `best`, ...
    """

    folder: Path
    config: ConfigDict
    facts: dataset.Dataset
    table: table.Table
    model: keras.Model
    prepare: Preprocess
    which: str
    state: dict[str, Any]

    @property
    def crop(self) -> int:
        """Side of the network's input in pixels."""
        return self.table.input_size


def available(folder: WorkFolder) -> list[str]:
    """Which checkpoints a run has: of "best" and "newest", in this order."""
    return [which for which in CHECKPOINTS if checkpoint.steps(folder.checkpoint_folder(which))]


def load(workdir: str, which: str = "best", data_dir: str = "") -> TrainedRun:
    """Restores a run, to compute in float32 on one device, however it was trained.

    Args:
        workdir: its work folder; a run that still trains may be read too.
        which: "best" (lowest validation error) or "newest". Where the training dataset has no
            validation split there is no best, and the newest is taken.
        data_dir: where the training dataset lies, if neither the work folder keeps its facts nor
            the config's `data_dir` is there any more.

    Raises:
        UserError: no run, no such checkpoint, or no facts of the training dataset to be found.
    """
    folder = WorkFolder(workdir)
    config = folder.load_config()
    facts = training_facts(folder, config, data_dir)
    unvalidated = "validation" not in facts.splits and not checkpoint.steps(folder.best)
    if which == "best" and unvalidated:
        log(f"{workdir}: its dataset has no validation split, so the latest weights are taken")
        which = "newest"
    # Before the network is built, which for 61 million weights takes a while.
    folder.check_checkpoint(which)
    network = definition_copy.kept(folder.folder, config.network)
    layers = table.from_config(network, facts.num_classes)
    model = build.build(layers, seed=config.seed)
    state = folder.load_weights(build.named_variables(model), which)
    prepare = Preprocess(facts, config.preprocess, layers.input_size)
    return TrainedRun(folder.folder, config, facts, layers, model, prepare, which, state)


def training_facts(folder: WorkFolder, config: ConfigDict, data_dir: str = "") -> dataset.Dataset:
    """The facts of the dataset that a run was trained on.

    They come from the work folder's own copy; where there is none, from the config's `data_dir`;
    where that is gone, from `data_dir`, which is then taken for the same dataset at a new place.

    Raises:
        UserError: none of them is there.
    """
    if config.get("synthetic_data"):
        raise UserError(
            f"{folder.folder} was trained on synthetic data, which has no classes to tell apart"
        )
    kept = dataset_copy.read(folder.folder)
    if kept is not None:
        return kept
    try:
        return dataset.load(config.data_dir)
    except dataset.DatasetError as error:
        if not data_dir:
            raise UserError(
                f"the dataset that {folder.folder} was trained on is not at {config.data_dir} "
                "any more: name its new place as data_dir (--data_dir=DIR)"
            ) from error
    log(
        f"note: the training dataset is not at {config.data_dir} any more; the mean image of "
        f"{data_dir} is taken instead"
    )
    return dataset.load(data_dir)
