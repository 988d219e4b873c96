"""A table of layers as a Keras functional model."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from alexnet_tf.model import grouped, layers
from alexnet_tf.model.layers import VariableSettings
from alexnet_tf.tables import rows, shapes
from alexnet_tf.tables.rows import TableError
from alexnet_tf.tables.table import Table

__all__ = ["VariableSettings", "build", "named_variables", "variable_settings"]

_SCOPE = re.compile(r"[A-Za-z0-9.][A-Za-z0-9_.-]*")


def build(
    table: Table,
    *,
    placement: str | tuple[str, ...] = "one_device",
    implementation: str = "towers",
    seed: int = 0,
    policy: str = "float32",
    lrn: str = "tf",
    pool: str = "tf",
    space_to_depth: bool = False,
) -> keras.Model:
    """A functional model from float32 [B, S, S, 3] mean-subtracted pixels to float32 logits.

    Where the table has several costs, behind the logits come what the others read; `model.costs`
    tells them apart.

    Args:
        table: the network; layers of the model bear the names of its rows.
        placement: "one_device", or the device of each column: its variables and the forward
            operations of its layers lie there.
        implementation: "towers" (one layer per column), "joint" (columns merged into one layer,
            whose convolutions with groups are computed group by group) or "grouped" (the same with
            native grouped convolutions, several times slower on CPUs).
        seed: of the initial weights, which depend on it and on the variables' names only.
        policy: Keras' dtype policy ("float32", "mixed_bfloat16", "mixed_float16"); response
            normalisation and the logits are float32 under each. "float64", for references on CPUs,
            with lrn="banded".
        lrn: how normalisation across maps is computed: "tf" (`tf.nn`'s own operation),
            "tf_fast_gradient", "banded" or "shifted"; see `normalization.across_maps`.
        pool: how max pooling is computed: "tf" or "shifted"; see `pooling.pool`.
        space_to_depth: compute convolutions of images with stride above 1 on blocks of pixels
            (`weight_layers.convolve_blocks`).

    Raises:
        TableError: an argument that is none of the above, or a table that cannot be built.
    """
    if implementation not in ("towers", "joint", "grouped"):
        raise TableError(f"implementation must be towers, joint or grouped, not {implementation!r}")
    if lrn not in ("tf", "tf_fast_gradient", "banded", "shifted"):
        raise TableError(f"lrn must be tf, tf_fast_gradient, banded or shifted, not {lrn!r}")
    if pool not in ("tf", "shifted"):
        raise TableError(f"pool must be tf or shifted, not {pool!r}")
    devices = () if placement == "one_device" else placement
    if isinstance(devices, str) or (devices and len(devices) < table.num_columns):
        raise TableError(
            f"placement must be one_device or {table.num_columns} device names, not {placement!r}"
        )
    if implementation != "towers" and devices:
        raise TableError(f"implementation={implementation} has no columns to place: use one_device")
    native = implementation == "grouped"
    choices = layers.Options(seed, lrn, pool, native, tuple(devices), space_to_depth)
    wide = policy if policy == "float64" else "float32"
    initial = None
    if merged := grouped.merged(table, implementation):
        initial = _merged_initial(table, merged, seed)
        table = merged.table
        if lost := set(table.cost_outputs) - {row.name for row in table.layers}:
            raise TableError(
                f"implementation={implementation} merges columns, and a cost reads one alone "
                f"({', '.join(sorted(lost))}): use towers"
            )
    row_shapes = table.shapes()
    image = keras.Input((*row_shapes[rows.IMAGE],), name="image", dtype="float32")
    tensors: dict[str, Any] = {rows.IMAGE: image}
    made: dict[str, layers.RowLayer] = {}
    for row in table.needed_layers():
        _check_name(row.name)
        kind = layers.LAYERS.get(type(row), layers.FunctionLayer)
        extra: dict[str, Any] = {}
        if isinstance(row, rows.WeightRow):
            extra = {"find_source": made.__getitem__, "initial": initial}
        dtype = wide if row.name in table.cost_outputs else policy
        layer = kind(row, [row_shapes[name] for name in row.inputs], choices, dtype=dtype, **extra)
        made[row.name] = layer
        values = [tensors[name] for name in row.inputs]
        tensors[row.name] = layer(values[0] if len(values) == 1 else values)
    outputs = [tensors[name] for name in table.cost_outputs]
    output = outputs[0]
    if len(outputs) > 1:
        output = keras.layers.Concatenate(name="cost_outputs", dtype=wide)(outputs)
    return keras.Model(image, output, name=_model_name(table.name))


def unsupported(implementation: str, policy: str, jit_compile: bool) -> str:
    """Why this combination cannot train here; empty where it can.

    All others were run on CPUs with both versions of TensorFlow.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if implementation == "grouped" and policy == "mixed_float16" and not jit_compile and not gpus:
        return (
            "TensorFlow has no gradient of grouped float16 convolutions on CPUs: use "
            "implementation=towers, jit_compile=True or mixed_bfloat16"
        )
    return ""


def _merged_initial(
    table: Table, merged: grouped.Merged, seed: int
) -> Callable[[str], np.ndarray | None]:
    """Initial values of a merged net: those that its columns would have."""

    def value(name: str, shape: shapes.Shape) -> np.ndarray:
        layer, _, variable = name.rpartition("/")
        row = table.row(layer)
        assert isinstance(row, rows.WeightRow)
        return layers.initial_value(row, variable, shape, seed)

    def initial(name: str) -> np.ndarray | None:
        assembly = merged.assemblies.get(name)
        if assembly is None:
            return None
        names = {source for column in assembly.columns for source in column}
        return assembly.assemble({n: value(n, assembly.sources[n]) for n in names})

    return initial


def _model_name(name: str) -> str:
    return "".join(c if c.isalnum() or c in "_.-" else "_" for c in name)


def _check_name(name: str) -> None:
    """Raises TableError for a row whose name Keras 2 makes no scope of."""
    if keras.__version__.startswith("2.") and not _SCOPE.fullmatch(name):
        raise TableError(
            f"network: layer {name!r}: Keras {keras.__version__} takes names of ASCII letters, "
            "digits and _.- that begin with a letter, a digit or a dot; rename it, or use Keras 3"
        )


def weight_layers(model: keras.Model) -> list[layers.WeightLayer]:
    """The layers of `model` that own variables."""
    return [layer for layer in model.layers if isinstance(layer, layers.WeightLayer)]


def named_variables(model: keras.Model) -> dict[str, Any]:
    """All variables of `model` by their names "row/variable", the same on both stacks."""
    return {
        f"{layer.row.name}/{name}": variable
        for layer in weight_layers(model)
        for name, variable in layer.row_variables.items()
    }


def variable_settings(model: keras.Model) -> list[VariableSettings]:
    """How each variable learns, aligned with `model.trainable_variables`."""
    by_variable = {
        id(variable): layer.settings[name]
        for layer in weight_layers(model)
        for name, variable in layer.row_variables.items()
    }
    return [by_variable[id(variable)] for variable in model.trainable_variables]
