"""Where the operations of a compiled step lie, from its graph."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from alexnet_tf.tables.table import Table

# Operations that hold the work of a step; what is left (shapes, constants, casts) may lie anywhere.
WORK = re.compile(
    r"Conv2D.*|DepthwiseConv.*|.*Pool(Grad.*)?|LRN(Grad)?|.*MatMul.*|BiasAdd(Grad)?|Relu(Grad)?"
    r"|Resource\w*Apply\w*|StatelessRandom(Uniform|Normal)\w*"
)


def work_by_device(graph: tf.Graph) -> dict[str, list[tf.Operation]]:
    """Operations of a step that do its work, by the device that the graph asks for ("": none)."""
    operations: dict[str, list[tf.Operation]] = {}
    for operation in graph.get_operations():
        if WORK.fullmatch(operation.type):
            operations.setdefault(_short(operation.device), []).append(operation)
    return operations


def misplaced(graph: tf.Graph, table: Table, names: Sequence[str]) -> list[str]:
    """Operations of a compiled step that are not on the device of their column.

    Args:
        graph: of the concrete function of a step whose model was built with `placement=names`.
        table: the network.
        names: device of each column.

    Returns:
        One line per operation of `WORK` that asks for another device than its column's, or for
        none: of a layer by its name, of an update by the variable that it changes. (An update
        that asks for no device runs on its variable's.)
    """
    columns = {row.name: row.column for row in table.layers}
    handles = {id(inside): outside.device for outside, inside in graph.captures}
    lines = []
    for device, operations in work_by_device(graph).items():
        for operation in operations:
            if operation.type.startswith("Resource"):
                wanted = _short(handles.get(id(operation.inputs[0]), ""))
                wrong = device and wanted and device != wanted
            else:
                column = columns.get(layer_of(operation.name, columns))
                wrong = column is not None and device != _short(names[column])
            if wrong:
                lines.append(f"{operation.name} ({operation.type}): {device or 'no device'}")
    return lines


def layer_of(operation_name: str, layer_names: Mapping[str, Any]) -> str:
    """The layer in whose scope an operation or its gradient lies; empty if in none."""
    for part in operation_name.split("/"):
        # Keras and TensorFlow number scopes that they open again.
        for name in (part, re.sub(r"_\d+$", "", part)):
            if name in layer_names:
                return name
    return ""


def _short(device: str) -> str:
    """Kind and number of a device, such as "GPU:1"."""
    match = re.search(r"(CPU|GPU):(\d+)$", device, re.IGNORECASE)
    return f"{match.group(1).upper()}:{match.group(2)}" if match else ""
