"""What training minimises and what evaluation reports: the cost of a network.

Softmax cross-entropy, and the costs of the 2012 code's multi-label nets (sections 2 and 5 of their
layer definitions). A labelled image stands for targets of 1 for its class and 0 for the others.
Costs are sums over outputs and means over examples, times the cost's coefficient, in training and
in evaluation alike.
"""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from alexnet_tf.model import layers
from alexnet_tf.model.ops import activations
from alexnet_tf.tables import rows
from alexnet_tf.tables.table import Table

_SOFTMAX = rows.Cost(name="logprob", kind="logreg", output="")


def per_example(table: Table, outputs: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """The cost of each example, float32 [B]: a sum over outputs, as in the 2012 code.

    Args:
        table: its `cost`; softmax cross-entropy where it has none.
        outputs: what the model yields, float32 [B, classes], or [B, 1] for two classes.
        labels: class numbers, int [B], or a value per output, float32 [B, outputs].
    """
    cost = table.cost or _SOFTMAX
    outputs = tf.cast(outputs, tf.float32)
    if cost.kind == "logreg":
        if len(labels.shape) == 2:
            losses = tf.nn.softmax_cross_entropy_with_logits(labels, outputs)
        else:
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, outputs)
        return cost.coefficient * losses
    targets = _targets(labels, outputs.shape[-1])
    if cost.kind == "crossent2" and cost.from_logits:
        losses = tf.nn.sigmoid_cross_entropy_with_logits(targets, outputs)
    elif cost.kind == "crossent2":
        losses = -(targets * _log(outputs) + (1 - targets) * _log(1 - outputs))
    elif cost.kind == "rflickr":
        losses = tf.math.log1p(tf.square(outputs - targets))
    else:
        losses = tf.square(_tail(cost, outputs, targets))
        if cost.kind == "gsum2":
            losses *= tf.cast(labels, tf.float32)[:, None]
    return cost.coefficient * tf.reduce_sum(losses, axis=1)


def of_probabilities(table: Table, scores: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """The cost of each example, float32 [B], from averaged `probabilities`.

    Args:
        table: the network.
        scores: float32 [B, classes], averaged over views or networks.
        labels: class numbers, int32 [B].
    """
    cost = table.cost or _SOFTMAX
    if cost.kind == "logreg":
        chosen = tf.gather(scores, labels, batch_dims=1)
        # Away from log(0), which one confident error would make the mean of everything.
        return -cost.coefficient * tf.math.log(tf.maximum(chosen, 1e-30))
    plain = dataclasses.replace(table, cost=dataclasses.replace(cost, from_logits=False))
    one_output = table.shapes()[table.output_name] == (1,)
    return per_example(plain, scores[:, 1:] if one_output else scores, labels)


def probabilities(table: Table, outputs: tf.Tensor) -> tf.Tensor:
    """Scores of the classes from what the model yields, float32 [B, classes].

    After a softmax they add up to 1; logistic outputs lie in [0, 1] each for itself; where a net is
    trained on squares of a plain layer they are that layer's outputs. One output y tells two
    classes apart: 1 - y and y.
    """
    cost = table.cost or _SOFTMAX
    scores = tf.cast(outputs, tf.float32)
    if cost.kind == "logreg":
        return tf.nn.softmax(scores) if cost.from_logits else scores
    scores = tf.sigmoid(scores) if cost.from_logits else scores
    return tf.concat([1 - scores, scores], axis=1) if scores.shape[-1] == 1 else scores


def ranking(table: Table, outputs: tf.Tensor) -> tf.Tensor:
    """What ranks the classes as `probabilities` do, without their rounding: [B, classes]."""
    return probabilities(table, outputs) if outputs.shape[-1] == 1 else outputs


def _targets(labels: tf.Tensor, outputs: int) -> tf.Tensor:
    if len(labels.shape) == 2:
        return tf.cast(labels, tf.float32)
    # The one output for two classes is compared with the class number itself.
    return tf.cast(labels[:, None] if outputs == 1 else tf.one_hot(labels, outputs), tf.float32)


def _tail(cost: rows.Cost, outputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """What the rows between output, labels and squares yield, float32 [B, ...]."""
    tensors = {rows.LABELS: targets, cost.output: outputs}
    result = outputs
    for row in cost.tail:
        inputs = [tensors[name] for name in row.inputs]
        result = layers.function(row, inputs, (), training=False)
        result = activations.apply(row.neuron, result, row.name)
        tensors[row.name] = result
    return result


def _log(x: tf.Tensor) -> tf.Tensor:
    # The 2012 code takes -50 for the logarithm of 0.
    return tf.where(x > 0, tf.math.log(tf.maximum(x, 1e-37)), -50.0)
