"""What training minimises, for nets whose cost is not the softmax cross-entropy."""

from __future__ import annotations

import tensorflow as tf

from alexnet_tf.network import rows
from alexnet_tf.network.table import Table

_SOFTMAX = rows.Cost(name="logprob", kind="logreg", output="")


def per_example(table: Table, outputs: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """The cost of each example, float32 [B]: a sum over outputs, as in the 2012 code.

    Args:
        table: its `cost`; softmax cross-entropy where it has none.
        outputs: what the model yields, float32 [B, classes].
        labels: class numbers, int [B], or a value per class, float32 [B, classes].
    """
    cost = table.cost or _SOFTMAX
    outputs = tf.cast(outputs, tf.float32)
    dense = len(labels.shape) == 2
    if cost.kind == "logreg":
        if dense:
            losses = tf.nn.softmax_cross_entropy_with_logits(labels, outputs)
        else:
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, outputs)
        return cost.coefficient * losses
    targets = tf.cast(labels if dense else tf.one_hot(labels, outputs.shape[-1]), tf.float32)
    if cost.kind == "crossent2" and cost.from_logits:
        losses = tf.nn.sigmoid_cross_entropy_with_logits(targets, outputs)
    elif cost.kind == "crossent2":
        losses = -(targets * _log(outputs) + (1 - targets) * _log(1 - outputs))
    elif cost.kind == "rflickr":
        losses = tf.math.log1p(tf.square(outputs - targets))
    else:
        losses = tf.square(cost.scales[0] * targets + cost.scales[1] * outputs)
    return cost.coefficient * tf.reduce_sum(losses, axis=1)


def _log(x: tf.Tensor) -> tf.Tensor:
    # The 2012 code takes -50 for the logarithm of 0.
    return tf.where(x > 0, tf.math.log(tf.maximum(x, 1e-37)), -50.0)


def probabilities(table: Table, outputs: tf.Tensor) -> tf.Tensor:
    """Scores of the classes in [0, 1] from what the model yields, float32 [B, classes]."""
    cost = table.cost or _SOFTMAX
    outputs = tf.cast(outputs, tf.float32)
    if not cost.from_logits:
        return outputs
    return tf.nn.softmax(outputs) if cost.kind == "logreg" else tf.sigmoid(outputs)
