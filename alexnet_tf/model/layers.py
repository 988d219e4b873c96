"""Keras layers for the rows of a table, with `tf.nn` operations inside, for Keras 2.15 and 3."""

from __future__ import annotations

import tensorflow as tf

from alexnet_tf.model.ops import images, normalization, pooling
from alexnet_tf.model.randomness import keep_mask, randomness
from alexnet_tf.model.row_layer import Options, RowLayer
from alexnet_tf.model.weight_layers import (
    ConvLayer,
    FullyConnectedLayer,
    LocalLayer,
    TreeLayer,
    VariableSettings,
    WeightLayer,
    flat,
    initial_value,
)
from alexnet_tf.tables import rows, shapes

__all__ = [
    "LAYERS",
    "DropoutLayer",
    "FunctionLayer",
    "NormLayer",
    "Options",
    "RowLayer",
    "VariableSettings",
    "WeightLayer",
    "function",
    "initial_value",
    "keep_mask",
    "randomness",
]


class DropoutLayer(RowLayer):
    """Dropout in the paper's form or inverted."""

    def compute(self, inputs: list[tf.Tensor], training: bool) -> tf.Tensor:
        """The input, masked in training."""
        row, x = self.row, inputs[0]
        assert isinstance(row, rows.Dropout)
        paper = row.form == "paper"
        if not (training and row.enabled):
            return x * tf.cast(row.keep, x.dtype) if paper else x
        if row.parts:
            sizes = [size for _, size in row.parts]
            pieces = zip(row.parts, tf.split(x, sizes, axis=-1), strict=True)
            mask = tf.concat([keep_mask(n, row.keep, piece) for (n, _), piece in pieces], -1)
        else:
            mask = keep_mask(row.name, row.keep, x)
        return x * mask if paper else x * mask / tf.cast(row.keep, x.dtype)


class NormLayer(RowLayer):
    """The three response normalisations, in float32 (in float64 under that policy)."""

    def compute(self, inputs: list[tf.Tensor], training: bool) -> tf.Tensor:
        """The input, normalised."""
        row = self.row
        x = inputs[0]
        # Those sums are float32 by themselves, and keep less in memory.
        if not (isinstance(row, rows.CrossMapNorm) and self.options.lrn == "shifted"):
            x = tf.cast(x, tf.float64 if x.dtype == tf.float64 else tf.float32)
        if isinstance(row, rows.CrossMapNorm):
            y = normalization.across_maps(
                x,
                size=row.size,
                alpha=row.alpha,
                beta=row.beta,
                k=row.k,
                blocked=row.blocked,
                groups=row.groups,
                implementation=self.options.lrn,
            )
        elif isinstance(row, rows.SameMapNorm):
            y = normalization.within_map(x, size=row.size, alpha=row.alpha, beta=row.beta)
        else:
            assert isinstance(row, rows.ContrastNorm)
            y = normalization.contrast(x, size=row.size, alpha=row.alpha, beta=row.beta)
        return tf.cast(y, inputs[0].dtype)


class FunctionLayer(RowLayer):
    """Rows without variables that are one function of their inputs."""

    def compute(self, inputs: list[tf.Tensor], training: bool) -> tf.Tensor:
        """What `row` says of `inputs`."""
        if isinstance(self.row, rows.Pool):
            return pooling.pool(inputs[0], self.row, self.options.pool)
        return function(self.row, inputs, self._row_output, training)


def function(
    row: rows.Row, inputs: list[tf.Tensor], output: shapes.Shape, training: bool
) -> tf.Tensor:
    """What a `row` without variables yields before its neuron.

    Args:
        row: the row.
        inputs: what it reads, float [B, ...].
        output: shape of the result, without the batch.
        training: whether rows with randomness draw.
    """
    x = inputs[0]
    match row:
        case rows.Pool():
            return pooling.pool(x, row)
        case rows.Neuron():
            return x
        case rows.Softmax():
            return tf.nn.softmax(flat(x))
        case rows.Concat():
            if len(output) == 3 or all(len(i.shape) == 2 for i in inputs):
                return tf.concat(inputs, -1)
            return tf.concat([flat(_channels_first(i)) for i in inputs], -1)
        case rows.Slice():
            return x[..., row.begin : row.begin + row.size]
        case rows.Sum():
            pairs = zip(row.coefficients, inputs, strict=True)
            return tf.add_n([tf.cast(c, i.dtype) * i for c, i in pairs])
        case rows.Maximum():
            return _maximum(inputs)
        case rows.Reinterpret(channels=0):
            return flat(_channels_first(x))
        case rows.Reinterpret():
            side, _, channels = output
            image = tf.reshape(_channels_first(x), [-1, channels, side, side])
            return tf.transpose(image, [0, 2, 3, 1])
    return images.transform(x, row, training)


def _maximum(inputs: list[tf.Tensor]) -> tf.Tensor:
    """Elementwise maximum; equal inputs each get the whole gradient, as in the 2012 code."""

    @tf.custom_gradient
    def maximum(*values):
        largest = tf.reduce_max(tf.stack(values), 0)

        def gradient(upstream):
            return [tf.where(v == largest, upstream, tf.zeros_like(upstream)) for v in values]

        return largest, gradient

    return maximum(*inputs)


def _channels_first(x: tf.Tensor) -> tf.Tensor:
    return tf.transpose(x, [0, 3, 1, 2]) if len(x.shape) == 4 else x


LAYERS: dict[type, type[RowLayer]] = {
    rows.Conv: ConvLayer,
    rows.Local: LocalLayer,
    rows.FullyConnected: FullyConnectedLayer,
    rows.TreeFullyConnected: TreeLayer,
    rows.Dropout: DropoutLayer,
    rows.CrossMapNorm: NormLayer,
    rows.SameMapNorm: NormLayer,
    rows.ContrastNorm: NormLayer,
}
"""Layer classes by the kind of row; all other kinds are a FunctionLayer."""
