"""Which rows of a network a layer's name means: one column's, or all columns' joined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from alexnet_common.errors import UsageError
from alexnet_common.suggestions import near_misses
from alexnet_tf.tables.rows import COLUMN_LETTERS, FullyConnected
from alexnet_tf.tables.shapes import Shape
from alexnet_tf.tables.table import Table


@dataclass(frozen=True)
class Selection:
    """A layer whose outputs are wanted.

    Attributes:
        name: as it was asked for: "conv5", "fc7", or one column's "conv5a".
        rows: rows of the table, in the order of their columns; their outputs are joined along the
            last axis (channels, or values of a vector).
        shape: of the joined outputs of one image: (height, width, channels) or (values,).
    """

    name: str
    rows: tuple[str, ...]
    shape: Shape


def choose(table: Table, names: Sequence[str]) -> list[Selection]:
    """The layers of `table` that `names` mean.

    `conv5` is the row of that name or, where every column has its own, `conv5a`, `conv5b`, ...,
    joined in the order of the columns: what a network without columns has as its channels.

    Raises:
        UsageError: no name, a name twice, or one that no layer has (near misses are named).
    """
    if not names:
        raise UsageError(f"no layer named; network {table.name} has {', '.join(layers(table))}")
    joined = _joined(table)
    rows = {row.name: (row.name,) for row in table.layers}
    shapes = table.shapes()
    selections = []
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"layer {name} is named twice")
        chosen = rows.get(name) or joined.get(name)
        if chosen is None:
            near = near_misses(name, {*rows, *joined})
            hint = f"did you mean {' or '.join(near)}?" if near else ""
            listed = f"it has {', '.join(layers(table))}"
            raise UsageError(f"network {table.name} has no layer {name!r}; {hint or listed}")
        first = shapes[chosen[0]]
        channels = sum(shapes[row][-1] for row in chosen)
        selections.append(Selection(name, chosen, (*first[:-1], channels)))
    return selections


def layers(table: Table) -> list[str]:
    """The names of the layers in the table's order, columns joined."""
    letters = {row: stem for stem, rows in _joined(table).items() for row in rows}
    return list(dict.fromkeys(letters.get(row.name, row.name) for row in table.layers))


def last_hidden(table: Table) -> str:
    """The fully connected layer before the output ("fc7"): where section 6.1 compares images.

    Raises:
        UsageError: the network has none.
    """
    joined = _joined(table)
    stems = {row: stem for stem, rows in joined.items() for row in rows}
    for row in reversed(table.layers):
        if isinstance(row, FullyConnected) and row.name != table.output_name:
            return stems.get(row.name, row.name)
    raise UsageError(f"network {table.name} has no hidden fully connected layer: name a layer")


def _joined(table: Table) -> dict[str, tuple[str, ...]]:
    """Rows by the name without the column's letter, where their outputs can be joined."""
    if table.num_columns == 1:
        return {}
    names = {row.name for row in table.layers}
    shapes = table.shapes()
    groups: dict[str, list[str]] = {}
    for row in table.layers:
        stem, letter = row.name[:-1], row.name[-1:]
        if stem and stem not in names and letter in COLUMN_LETTERS:
            groups.setdefault(stem, []).append(row.name)
    return {
        stem: tuple(sorted(rows))
        for stem, rows in groups.items()
        if len(rows) > 1 and len({shapes[row][:-1] for row in rows}) == 1
    }
