"""Weights that a run begins with instead of drawn ones: from a file or another work folder."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from alexnet_common.imagenet_classes import imagenet_classes
from alexnet_tf import recipes
from alexnet_tf.recipes import ConfigDict
from alexnet_tf.runs import checkpoint, dataset_copy
from alexnet_tf.runs.workdir import WorkFolder
from alexnet_tf.tables import rows
from alexnet_tf.tables.table import Table
from alexnet_tf.weight_io import published, weight_files, weights
from alexnet_tf.weight_io.means import MEANS
from data_prep import dataset

if TYPE_CHECKING:
    from alexnet_tf.runs.portable import Names

# How many classes a message names.
_SHOWN = 3
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
        UserError: there is nothing that can be read.
    """
    if not Path(path).is_dir():
        return weight_files.read(path)
    folder = WorkFolder(path)
    folder.load_config()
    which = "best" if checkpoint.steps(folder.best) else "newest"
    loaded = folder.load_checkpoint(which)
    container = f"work folder, {which} checkpoint, step {loaded.state.get('step', 0):,}"
    return weight_files.WeightFile(path, container, weight_files.OWN, loaded.weights)


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
        UserError: not readable, of another network (the first variable that does not fit is named),
            or with outputs for other classes, unless `partial`. No variable is changed then.
    """
    file = read(wanted.path)
    scale = float(config.network.get("input_scale", 1.0))
    drawn = names.weights_out(variables)
    hint = ""
    try:
        values = file.values(scale)
        if not wanted.partial and not table.imports:
            hint = f"; {wanted.option} takes what fits"
        choice = weights.choose(table, drawn, values, partial=wanted.partial)
    except weights.WeightsError as error:
        raise weights.WeightsError(f"{file.misfit(config.name, error)}{hint}") from error
    weights.check_finite(wanted.path, choice.values)
    classes = _class_lines(file, wanted, table, data, choice)
    checkpoint.assign_weights(dict(variables), names.weights_in(choice.values), wanted.path)
    taken = f"{choice.taken} of {len(drawn)} variables"
    lines = [("begins with", f"{wanted.path}: {file.description}; {taken}"), *classes]
    if choice.kept:
        why = "not asked for" if choice.requested else "not in the file in that shape"
        lines.append(("drawn anew", f"{', '.join(choice.kept)} ({why})"))
    lines += [("note", note) for note in _notes(file, config, data) if not choice.requested]
    return Beginning(tuple(lines), _fingerprint(choice.values))


def _fingerprint(values: weights.Values) -> int:
    total = 0
    for name in sorted(values):
        total = zlib.crc32(np.ascontiguousarray(values[name], np.float32).tobytes(), total)
    return total


def _class_lines(
    file: weight_files.WeightFile,
    wanted: Source,
    table: Table,
    data: dataset.Dataset,
    choice: weights.Choice,
) -> list[tuple[str, str]]:
    """What there is to say of the classes of the outputs that were taken.

    Raises:
        UserError: they are not the dataset's, and `wanted.partial` does not allow that.
    """
    outputs = [name for name in choice.values if name.startswith(f"{_last_weights(table)}/")]
    if not data.document or set(outputs) <= set(choice.kept):
        return []
    trained_on = _class_names(file)
    if trained_on is None:
        text = f"the weights do not name theirs; taken in the order of {data.directory}"
        return [("classes", text)]
    pairs = enumerate(zip(trained_on, data.class_names, strict=True))
    other = [(number, *pair) for number, pair in pairs if pair[0] != pair[1]]
    if not other:
        return []
    titles = dict(imagenet_classes())
    shown = [
        f"class {number} is {name!r}{f' ({titles[name]})' if name in titles else ''} for the "
        f"weights, {ours!r} in the dataset"
        for number, name, ours in other[:_SHOWN]
    ]
    more = f"; and {len(other) - _SHOWN:,} more" if len(other) > _SHOWN else ""
    text = f"other classes than those of {data.directory}: {'; '.join(shown)}{more}"
    if wanted.partial:
        return [("WARNING", f"the outputs were trained on {text}")]
    raise weights.WeightsError(
        f"{wanted.path} was trained on {text}. {wanted.option} begins with them nevertheless"
    )


def _last_weights(table: Table) -> str:
    """Name of the row whose weights make the outputs."""
    row = table.row(table.output_name)
    while not isinstance(row, rows.WeightRow):
        row = table.row(row.inputs[0])
    return row.name


def _class_names(file: weight_files.WeightFile) -> tuple[str, ...] | None:
    """Classes of the outputs of `file`, a file or a work folder; None: it does not tell."""
    if not Path(file.path).is_dir():
        return published.class_names(file)
    copy = dataset_copy.read(Path(file.path))
    return copy.class_names if copy else None


def _notes(file: weight_files.WeightFile, config: ConfigDict, data: dataset.Dataset) -> list[str]:
    """In what this run differs from the one that the weights come from, as far as it is told."""
    network = published.NETWORKS.get(file.layout)
    if network:
        theirs = recipes.resolve(recipes.load(network.recipe))
        # Converting the first kernels has taken care of the factor on the pixels.
        return [
            *_network_note(theirs, config, ("input_scale",)),
            *_mean_note(network.mean, np.array(MEANS[network.mean]), config, data),
        ]
    if not Path(file.path).is_dir():
        return []
    theirs = WorkFolder(file.path).load_config()
    copy = dataset_copy.read(Path(file.path))
    notes = _network_note(theirs, config, ())
    if copy is not None:
        kind = theirs.preprocess.mean
        notes += _mean_note(kind, _mean(kind, copy), config, data)
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
