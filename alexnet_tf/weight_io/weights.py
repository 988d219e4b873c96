"""Weights by name: .npz files, and which values a network takes from a file.

A .npz file holds one float32 array per variable under its name `row/variable`, in the shapes that
`shapes.variable_shapes` documents: convolutions (y, x, channel of the group, filter), fully
connected layers (input, output) with images flattened as (y, x, channel), inputs RGB. Names are
those of the towers ("conv2a/kernel", "conv2b/kernel") or of merged columns ("conv2/kernel").
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from alexnet_common import files
from alexnet_common.errors import UserError
from alexnet_tf.model import grouped
from alexnet_tf.tables.rows import TableError
from alexnet_tf.tables.table import Table

Values = dict[str, np.ndarray]


class WeightsError(UserError):
    """Weights that are damaged or belong to another network; the message names the first."""


@dataclass(frozen=True)
class Choice:
    """What a network begins with.

    Attributes:
        values: of every variable of the towers, float32.
        kept: names of the variables that kept their drawn values.
        taken: how many variables come from the file.
        requested: whether only what a definition file of 2012 asks for was copied.
    """

    values: Values
    kept: tuple[str, ...]
    taken: int
    requested: bool = False


def choose(
    table: Table, drawn: Mapping[str, np.ndarray], others: Values, *, partial: bool = False
) -> Choice:
    """The values that a network takes from another one's weights.

    A network that asks for layers of another one (`table.imports`: `initWFunc=initw.makew(LAYER)`
    in the 2012 files) gets those, unless `others` is complete for the network itself.

    Args:
        table: the network.
        drawn: its initial values, by the names of its towers.
        others: the other weights, in the names of the towers or of merged columns.
        partial: take what fits in name and shape and keep the rest as drawn (to start from a
            net with other classes, for instance).

    Raises:
        WeightsError: a missing, unknown or misshapen array, unless `partial`; with it, if nothing
            fits. The first one in the network's order is named.
    """
    towers, misfit = _to_towers(table, drawn, others)
    fitting = {n: np.asarray(v, np.float32) for n, v in towers.items() if _fits(drawn.get(n), v)}
    kept = tuple(name for name in drawn if name not in fitting)
    if kept and table.imports:
        asked = _requested(table, drawn, others)
        kept = tuple(name for name in drawn if name not in asked)
        return Choice({**drawn, **asked}, kept, len(asked), requested=True)
    if partial:
        if not fitting:
            raise WeightsError("no variable of this network is in it, in name and shape")
        return Choice({**drawn, **fitting}, kept, len(fitting))
    if misfit or kept:
        raise WeightsError(misfit or _misfit(kept[0], drawn[kept[0]].shape, towers.get(kept[0])))
    unknown = sorted(set(towers) - set(drawn))
    if unknown:
        raise WeightsError(f"it has {unknown[0]}, which the network {table.name} does not have")
    return Choice(fitting, (), len(fitting))


def _to_towers(table: Table, drawn: Mapping[str, np.ndarray], others: Values) -> tuple[Values, str]:
    """`others` in the towers' names, without merged arrays that do not fit; what is wrong there."""
    unknown = set(others) - set(drawn)
    if table.num_columns == 1 or not unknown:
        return others, ""
    try:
        merged = grouped.merge(table)
    except TableError:
        return others, ""
    if not unknown & set(merged.assemblies):
        return others, ""
    wanted = merged.to_grouped(drawn)
    result = {name: value for name, value in others.items() if name not in merged.assemblies}
    misfit = ""
    for name, assembly in merged.assemblies.items():
        if name in others and _fits(wanted[name], others[name]):
            result |= assembly.divide(others[name])
        else:
            misfit = misfit or _misfit(name, wanted[name].shape, others.get(name))
    return result, misfit


def _requested(table: Table, drawn: Mapping[str, np.ndarray], others: Values) -> Values:
    """What `table.imports` asks for; raises WeightsError where it is missing or misshapen."""
    result: Values = {}
    for target, source in table.imports:
        # The kernel of a layer of one input bears no number.
        names = (source, source.removesuffix("0")) if source.endswith("/kernel0") else (source,)
        value = next((others[name] for name in names if name in others), None)
        if value is None or not _fits(drawn[target], value):
            wish = _misfit(source, drawn[target].shape, value)
            raise WeightsError(f"{target} begins with {source} of another network, but {wish}")
        result[target] = np.asarray(value, np.float32)
    return result


def check_finite(path: str, values: Mapping[str, np.ndarray]) -> None:
    """Raises WeightsError for the first array of the file `path` with NaN or infinite values."""
    for name, value in values.items():
        if not np.isfinite(value).all():
            raise WeightsError(f"{path}: {name} has non-finite values")


def _fits(wanted: np.ndarray | None, value: np.ndarray) -> bool:
    return wanted is not None and tuple(wanted.shape) == tuple(value.shape)


def _misfit(name: str, shape: tuple[int, ...], value: np.ndarray | None) -> str:
    has = "has none" if value is None else f"has shape {list(value.shape)}"
    return f"{name} needs shape {list(shape)}, and the file {has}"


def save_npz(path: str, values: Mapping[str, np.ndarray]) -> None:
    """Writes `values` to the .npz file `path`, whole or not at all.

    Raises:
        OSError: the disk is full, say; `path` is as it was before.
    """
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {name: np.asarray(v, np.float32) for name, v in values.items()}
    np.savez(buffer, **arrays)
    files.write_atomically(path, buffer.getvalue())
