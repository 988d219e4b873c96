"""What training minimises and what evaluation reports: the cost of a network.

Softmax cross-entropy, and the costs of the 2012 code's multi-label nets (sections 2 and 5 of their
layer definitions). A labelled image stands for targets of 1 for its class and 0 for the others.
Costs are sums over outputs and means over examples, times the cost's coefficient, in training and
in evaluation alike. Of several costs the sum is minimised; the scores of the classes come from the
table's `cost`.

What the model yields is float32 [B, classes], or [B, 1] for two classes; of a table with several
costs also, behind them, what else the costs read (`Table.cost_outputs`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import tensorflow as tf

from alexnet_tf.model import layers
from alexnet_tf.model.ops import activations
from alexnet_tf.tables import rows
from alexnet_tf.tables.table import Table

_SOFTMAX = rows.Cost(name="logprob", kind="logreg", output="")


def per_example(table: Table, outputs: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """The cost of each example, float32 [B]: a sum over outputs, as in the 2012 code.

    Args:
        table: its costs; softmax cross-entropy where it has none.
        outputs: what the model yields.
        labels: class numbers, int [B], or a value per output, float32 [B, outputs].
    """
    parts = _by_output(table, outputs)
    first, *others = (_losses(cost, parts[cost.output], labels) for cost in all_costs(table))
    return sum(others, first)


def _by_output(table: Table, outputs: tf.Tensor) -> dict[str, tf.Tensor]:
    """What the model yields, float32 [B, n], by the name of its row."""
    outputs = tf.cast(outputs, tf.float32)
    names = table.cost_outputs
    if len(names) == 1:
        return {names[0]: outputs}
    shapes = table.shapes()
    sizes = [shapes[name][0] for name in names]
    return dict(zip(names, tf.split(outputs, sizes, axis=1), strict=True))


def _losses(cost: rows.Cost, outputs: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
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
    one_output = table.shapes()[table.output_name] == (1,)
    return _losses_of_scores(
        table.cost or _SOFTMAX, scores[:, 1:] if one_output else scores, labels
    )


def scores(table: Table, outputs: tf.Tensor) -> tf.Tensor:
    """What each of several costs reads, as scores: float32 [B, n], one cost after another.

    Their means over views are what `of_scores` takes.
    """
    parts = _by_output(table, outputs)
    return tf.concat([_scores(cost, parts[cost.output]) for cost in all_costs(table)], axis=1)


def of_scores(
    table: Table, scores: tf.Tensor, labels: tf.Tensor
) -> Iterator[tuple[rows.Cost, tf.Tensor, tf.Tensor]]:
    """Each cost, its part of `scores`, float32 [B, outputs], and its losses, float32 [B].

    Args:
        table: the network, with several costs.
        scores: float32 [B, n], averaged `scores`.
        labels: class numbers, int32 [B].
    """
    shapes = table.shapes()
    costs = all_costs(table)
    parts = tf.split(scores, [shapes[cost.output][0] for cost in costs], axis=1)
    for cost, part in zip(costs, parts, strict=True):
        yield cost, part, _losses_of_scores(cost, part, labels)


def all_costs(table: Table) -> tuple[rows.Cost, ...]:
    """The costs of a table, first the one whose scores are those of the classes."""
    first = table.cost or dataclasses.replace(_SOFTMAX, output=table.output_name)
    return (first, *table.more_costs)


def _losses_of_scores(cost: rows.Cost, scores: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    if cost.kind == "logreg":
        chosen = tf.gather(scores, labels, batch_dims=1)
        # Away from log(0), which one confident error would make the mean of everything.
        return -cost.coefficient * tf.math.log(tf.maximum(chosen, 1e-30))
    return _losses(dataclasses.replace(cost, from_logits=False), scores, labels)


def probabilities(table: Table, outputs: tf.Tensor) -> tf.Tensor:
    """Scores of the classes from what the model yields, float32 [B, classes].

    After a softmax they add up to 1; logistic outputs lie in [0, 1] each for itself; where a net is
    trained on squares of a plain layer they are that layer's outputs. One output y tells two
    classes apart: 1 - y and y.
    """
    scores = _scores(table.cost or _SOFTMAX, _by_output(table, outputs)[table.output_name])
    return tf.concat([1 - scores, scores], axis=1) if scores.shape[-1] == 1 else scores


def _scores(cost: rows.Cost, outputs: tf.Tensor) -> tf.Tensor:
    if not cost.from_logits:
        return outputs
    return tf.nn.softmax(outputs) if cost.kind == "logreg" else tf.sigmoid(outputs)


def ranking(table: Table, outputs: tf.Tensor) -> tf.Tensor:
    """What ranks the classes as `probabilities` do, without their rounding: [B, classes]."""
    outputs = _by_output(table, outputs)[table.output_name]
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
