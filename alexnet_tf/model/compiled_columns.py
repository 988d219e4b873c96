"""Columns on devices of their own, compiled by XLA: one program per device between two exchanges.

XLA compiles for one device. So a network on two is cut wherever a column reads the other one:
each part lies on one device and is a compiled function of what crosses. Its gradient is compiled
too, and lies on its device where `placement.gradients` computes it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from alexnet_tf.tables import rows
from alexnet_tf.tables.table import Table


@dataclass(frozen=True)
class Part:
    """Rows between two exchanges.

    Attributes:
        device: where they are compiled; "": they are not, and lie where each says.
        layers: the rows, in the table's order.
        inputs: rows of other parts, or `rows.IMAGE`, that they read.
        outputs: those of them that other parts or costs read.
    """

    device: str
    layers: tuple[rows.Row, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def parts(table: Table, devices: Sequence[str]) -> list[Part]:
    """The parts of a network, each after those that it reads.

    Rows of one part need equally many exchanges before them, so that no device waits for more than
    it reads. Rows without a column are not compiled, nor those that share a kernel of another
    column: XLA reads no variables of another device.

    Args:
        table: the network.
        devices: the device of each column.
    """
    needed = table.needed_layers()
    columns = {row.name: row.column for row in needed}
    place = {rows.IMAGE: ""}
    exchanges = {rows.IMAGE: 0}
    groups: dict[tuple[int, str], list[rows.Row]] = {}
    for row in needed:
        at = "" if row.column is None or _reads_another(row, columns) else devices[row.column]
        place[row.name] = at
        exchanges[row.name] = max(exchanges[name] + (place[name] != at) for name in row.inputs)
        groups.setdefault((exchanges[row.name], at), []).append(row)
    made = []
    for (_, at), group in sorted(groups.items(), key=lambda item: item[0]):
        own = {row.name for row in group}
        read = {name for row in needed if row.name not in own for name in row.inputs}
        read.update(table.cost_outputs)
        inputs = dict.fromkeys(name for row in group for name in row.inputs if name not in own)
        outputs = tuple(row.name for row in group if row.name in read)
        made.append(Part(at, tuple(group), tuple(inputs), outputs))
    return made


def _reads_another(row: rows.Row, columns: dict[str, int | None]) -> bool:
    """Whether a row shares a kernel of a row that is not in its column."""
    kernels = row.kernels if isinstance(row, rows.WeightRow) else ()
    owners = [kernel.source.partition("/")[0] for kernel in kernels if kernel.source]
    return any(columns.get(owner) != row.column for owner in owners)


def compiled(model: keras.Model, table: Table, devices: Sequence[str]) -> Callable[..., tf.Tensor]:
    """What stands for `model` where its columns lie on devices and XLA compiles them.

    Args:
        model: as `build.build` made it of `table`, with `placement=devices`.
        table: the network.
        devices: the device of each column.

    Returns:
        A function of (float32 [B, S, S, 3] pixels, training) to what `model` yields, for use
        inside a `tf.function` that is not compiled as a whole.
    """
    order = parts(table, devices)

    def call(pixels: tf.Tensor, training: bool = False) -> tf.Tensor:
        tensors = {rows.IMAGE: pixels}
        for part in order:

            def compute(*inputs: tf.Tensor, part: Part = part) -> list[tf.Tensor]:
                own = dict(zip(part.inputs, inputs, strict=True))
                for row in part.layers:
                    values: Any = [own[name] for name in row.inputs]
                    layer = model.get_layer(row.name)
                    own[row.name] = layer(
                        values[0] if len(values) == 1 else values, training=training
                    )
                return [own[name] for name in part.outputs]

            # Made anew for every function that calls this: what it reads of a step besides its
            # inputs, such as the key of the dropout, belongs to that one.
            run = tf.function(compute, jit_compile=True, autograph=False)
            with tf.device(part.device or None):
                results = (run if part.device else compute)(*[tensors[n] for n in part.inputs])
            tensors.update(zip(part.outputs, results, strict=True))
        outputs = [tensors[name] for name in table.cost_outputs]
        return outputs[0] if len(outputs) == 1 else model.get_layer("cost_outputs")(outputs)

    return call
