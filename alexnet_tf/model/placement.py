"""Columns on devices of their own: gradients that stay there, and the proof from the graph."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from alexnet_tf.tables.rows import TableError
from alexnet_tf.tables.table import Table

# Operations that hold the work of a step; what is left (shapes, constants, casts) may lie anywhere.
WORK = re.compile(
    r"Conv2D.*|DepthwiseConv.*|.*Pool(Grad.*)?|LRN(Grad)?|.*MatMul.*|BiasAdd(Grad)?|Relu(Grad)?"
    r"|Resource\w*Apply\w*|StatelessRandom(Uniform|Normal)\w*"
)


def devices(table: Table, placement: str | Sequence[str]) -> str | tuple[str, ...]:
    """The argument `placement` of `build` for a choice in a recipe.

    Args:
        table: says how many columns there are.
        placement: "one_device"; "two_devices": column i on GPU i, or on logical CPU i where there
            are not enough GPUs; or device names.

    Raises:
        TableError: an unknown word, or fewer devices than columns.
    """
    if placement == "one_device":
        return "one_device"
    if not isinstance(placement, str):
        return tuple(placement)
    if placement != "two_devices":
        raise TableError(f"placement must be one_device or two_devices, not {placement!r}")
    count = table.num_columns
    for kind in ("GPU", "CPU"):
        names = [device.name for device in tf.config.list_logical_devices(kind)]
        if len(names) >= count:
            return tuple(names[:count])
    raise TableError(
        f"placement=two_devices needs a device for each of {count} columns: there are "
        f"{len(tf.config.list_logical_devices('GPU'))} GPUs"
    )


def gradients(loss: tf.Tensor, variables: Sequence[Any]) -> list[tf.Tensor]:
    """Gradients of `loss` whose operations lie on the devices of the forward operations.

    For use inside a `tf.function`: a `GradientTape` there leaves every gradient operation without
    a device, so that the whole backward pass of both columns would run on the first one.

    Args:
        loss: scalar, computed in the same `tf.function`.
        variables: `model.trainable_variables`.

    Raises:
        RuntimeError: called outside of a `tf.function`.
    """
    if tf.executing_eagerly():
        raise RuntimeError("placement.gradients works inside a tf.function only")
    return tf.gradients(loss, [tensorflow_variable(variable) for variable in variables])


def tensorflow_variable(variable: Any) -> tf.Variable:
    """TensorFlow's variable behind a variable of Keras 2 or 3."""
    return variable if isinstance(variable, tf.Variable) else variable.value


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
                column = columns.get(_layer(operation.name, columns))
                wrong = column is not None and device != _short(names[column])
            if wrong:
                lines.append(f"{operation.name} ({operation.type}): {device or 'no device'}")
    return lines


def _layer(operation_name: str, layer_names: Mapping[str, Any]) -> str:
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
