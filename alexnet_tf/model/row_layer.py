"""What the Keras layers of all rows share: their device, their shape, their neuron.

Each layer opens its device in its own `build` and `call`: a scope around the call that makes a
functional model has no effect later, because the model calls its layers again.
"""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any

import keras
import tensorflow as tf

from alexnet_tf.model.ops import activations
from alexnet_tf.tables import rows, shapes


@dataclasses.dataclass(frozen=True)
class Options:
    """What the builder decides for all layers alike.

    Attributes:
        seed: of the initial weights.
        lrn: how normalisation across maps is computed (`normalization.across_maps`).
        pool: how max pooling is computed (`pooling.pool`).
        native_groups: whether groups run as TensorFlow's grouped convolutions or one by one.
        devices: device of each column; empty: wherever TensorFlow likes.
        space_to_depth: whether convolutions of images with stride above 1 run on blocks of pixels.
    """

    seed: int = 0
    lrn: str = "tf"
    pool: str = "tf"
    native_groups: bool = False
    devices: tuple[str, ...] = ()
    space_to_depth: bool = False


class RowLayer(keras.layers.Layer):
    """A Keras layer for one row; subclasses say what it computes.

    Attributes:
        row: the row.
        settings: VariableSettings by the name of the variable ("kernel", "bias", ...).
    """

    def __init__(self, row: rows.Row, inputs: list[shapes.Shape], options: Options, **kwargs: Any):
        """Makes the layer of `row` for inputs of these shapes (without the batch)."""
        super().__init__(name=row.name, **kwargs)
        self.row = row
        self.options = options
        self._row_inputs = tuple(inputs)
        self._row_output = shapes.output_shape(row, inputs)

    def device(self) -> contextlib.AbstractContextManager:
        """The device of the row's column, where columns have devices."""
        devices = self.options.devices
        if not devices or self.row.column is None:
            return contextlib.nullcontext()
        return tf.device(devices[self.row.column])

    def compute_output_shape(self, input_shape: Any) -> tuple:
        """Shape with the batch, from the table's own arithmetic."""
        first = input_shape[0]
        batch = first if first is None or isinstance(first, int) else first[0]
        return (batch, *self._row_output)

    # Keras 2 lets AutoGraph rewrite what it calls, which fails on `match`.
    @tf.autograph.experimental.do_not_convert
    def call(self, inputs: Any, training: bool | None = None) -> tf.Tensor:
        """What the row yields, its neuron included."""
        values = list(inputs) if isinstance(inputs, list | tuple) else [inputs]
        with self.device():
            result = self.compute(values, bool(training))
            return activations.apply(self.row.neuron, result, self.row.name)

    def compute(self, inputs: list[tf.Tensor], training: bool) -> tf.Tensor:
        """What the row yields before its neuron."""
        raise NotImplementedError
