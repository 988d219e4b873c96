"""Weights that a run begins with instead of drawn ones: from a file or another work folder."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from alexnet_tf import config as recipes
from alexnet_tf.config import ConfigDict
from alexnet_tf.runs import checkpoint, dataset_copy
from alexnet_tf.runs.workdir import WorkFolder
from alexnet_tf.tables.table import Table
from alexnet_tf.weight_io import weight_files, weights
from alexnet_tf.weight_io.means import MEANS
from data_prep import dataset

if TYPE_CHECKING:
    from alexnet_tf.runs.portable import Names

# Recipes whose networks are those of the other programs.
_RECIPES = {weight_files.TORCHVISION: "alexnet_owt", weight_files.CAFFE: "alexnet_caffe"}
# Options of a network that say how it learns, not what it computes.
_LEARNING = ("init_", "weight_decay", "bias_", "dropout_after", "dropout_keep", "layer_params",
             "rates", "start_")  # fmt: skip


@dataclass(frozen=True)
class Source:
    """Where weights come from.

    Attributes:
        path: a file of weights, or a work folder.
        partial: take what fits in name and shape; the rest keeps its drawn values.
        option: how a user asks for `partial`.
    """

    path: str
    partial: bool = False
    option: str = "--config.initial_weights_partial=true"


@dataclass(frozen=True)
class Beginning:
    """What a run began with.

    Attributes:
        lines: for the run's first page: a heading and words each.
        fingerprint: of all values; the same on every worker.
    """

    lines: tuple[tuple[str, str], ...]
    fingerprint: int = 0


def source(config: ConfigDict) -> Source | None:
    """What `config.initial_weights` names."""
    path = config.initial_weights
    return Source(path, config.initial_weights_partial) if path else None


def read(path: str) -> weight_files.WeightFile:
    """Weights of a file, or of a work folder: its best checkpoint, else its newest.

    Raises:
        UserError: nothing there that could be read.
    """
    if not Path(path).is_dir():
        return weight_files.read(path)
    folder = WorkFolder(path)
    folder.load_config()
    which = "best" if checkpoint.steps(folder.best) else "newest"
    found = checkpoint.load_newest(folder.checkpoint_folder(which))
    if found is None:
        raise weights.WeightsError(f"{path}: this run has no checkpoint yet")
    container = f"work folder, {which} checkpoint, step {found.state.get('step', 0):,}"
    return weight_files.WeightFile(path, container, weight_files.OWN, found.weights)


def begin(
    wanted: Source,
    config: ConfigDict,
    table: Table,
    data: dataset.Dataset,
    variables: Mapping[str, Any],
    names: Names,
) -> Beginning:
    """Sets a model's variables to weights from elsewhere.

    Args:
        wanted: where they come from.
        config: the run's.
        table: its network.
        data: what it trains on, whose mean it may subtract.
        variables: the model's by name, with drawn values.
        names: translates between them and those of the table's towers.

    Raises:
        UserError: not readable, or of another network; the first variable that does not fit is
            named. No variable is changed then.
    """
    found = read(wanted.path)
    scale = float(config.network.get("input_scale", 1.0))
    drawn = names.weights_out(variables)
    hint = ""
    try:
        values = found.values(scale)
        if not wanted.partial and not table.imports:
            hint = f"; {wanted.option} takes what fits"
        choice = weights.choose(table, drawn, values, partial=wanted.partial)
    except weights.WeightsError as error:
        raise weights.WeightsError(
            f"{wanted.path} ({found.description}) does not fit {config.name}: {error}{hint}"
        ) from error
    for name, value in choice.values.items():
        if not np.isfinite(value).all():
            raise weights.WeightsError(f"{wanted.path}: {name} holds NaN or infinite numbers")
    checkpoint.assign_weights(dict(variables), names.weights_in(choice.values), wanted.path)
    taken = f"{choice.taken} of {len(drawn)} variables"
    lines = [("begins with", f"{wanted.path}: {found.description}; {taken}")]
    if choice.kept:
        why = "not asked for" if choice.requested else "not in the file in that shape"
        lines.append(("drawn at random", f"{', '.join(choice.kept)} ({why})"))
    lines += [("note", note) for note in _notes(found, config, data) if not choice.requested]
    return Beginning(tuple(lines), _fingerprint(choice.values))


def _fingerprint(values: weights.Values) -> int:
    total = 0
    for name in sorted(values):
        total = zlib.crc32(np.ascontiguousarray(values[name], np.float32).tobytes(), total)
    return total


def _notes(found: weight_files.WeightFile, config: ConfigDict, data: dataset.Dataset) -> list[str]:
    """What this run does otherwise than the one that the weights come from, as far as known."""
    if found.layout in _RECIPES:
        theirs = recipes.resolve(recipes.load(_RECIPES[found.layout]))
        order = "their classes are in the order of sorted WordNet ids, this dataset's are not"
        # Converting the first kernels has taken care of the factor on the pixels.
        return [
            *([order] if data.label_order != "sorted" else []),
            *_network_note(theirs, config, ("input_scale",)),
            *_mean_note(found.layout, np.array(MEANS[found.layout]), config, data),
        ]
    if not Path(found.path).is_dir():
        return []
    theirs = WorkFolder(found.path).load_config()
    known = dataset_copy.read(Path(found.path))
    notes = _network_note(theirs, config, ())
    if known is not None:
        kind = theirs.preprocess.mean
        notes += _mean_note(kind, _mean(kind, known), config, data)
    return notes


def _network_note(theirs: ConfigDict, config: ConfigDict, converted: tuple[str, ...]) -> list[str]:
    other, ours = recipes.to_dict(theirs)["network"], recipes.to_dict(config)["network"]
    different = [
        str(one)
        for one in recipes.differences(other, ours)
        if not one.key.startswith(_LEARNING) and one.key not in converted
    ]
    if not different:
        return []
    return [f"they were made for another network ({theirs.name}): {'; '.join(different)}"]


def _mean(kind: str, data: dataset.Dataset) -> np.ndarray:
    """Of each channel, what preprocess.mean=`kind` subtracts on average."""
    return np.array(MEANS.get(kind, (0, 0, 0) if kind == "none" else data.channel_mean), float)


def _mean_note(
    kind: str, theirs: np.ndarray, config: ConfigDict, data: dataset.Dataset
) -> list[str]:
    ours = _mean(config.preprocess.mean, data)
    if kind == config.preprocess.mean and np.abs(ours - theirs).max() < 0.005:
        return []
    numbers = [", ".join(f"{value:.2f}" for value in mean) for mean in (theirs, ours)]
    remedy = f"; --config.preprocess.mean={kind} subtracts theirs" if kind in MEANS else ""
    return [
        f"they were trained on pixels less ({numbers[0]}) ({kind}), RGB; this run subtracts "
        f"({numbers[1]}) ({config.preprocess.mean}){remedy}"
    ]
