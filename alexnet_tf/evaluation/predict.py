"""Probabilities of whole images, averaged over views (section 4.1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from alexnet_tf.evaluation import metrics
from alexnet_tf.input import preprocess
from alexnet_tf.model import costs
from alexnet_tf.tables import rows
from alexnet_tf.tables.table import Table


def view_counts(views: int) -> tuple[int, ...]:
    """What is reported for so many views: 10 views have the centre view (1) among them."""
    return (1,) if views == 1 else (1, views)


def make_evaluation_step(
    model: keras.Model, prepare: preprocess.Preprocess, *, table: Table, views: int
) -> Callable[[dict[str, tf.Tensor]], tuple[tf.Tensor, tf.Tensor]]:
    """Scores one replica's rows of a batch of whole images.

    Returns:
        A function of the batch. With V = len(view_counts(views)) it returns the `SUMS` of its rows,
        float32 [V, 4], and the probabilities averaged over so many views, float32 [V, B, classes].
        The loss is the network's cost of the averaged probabilities. Of C costs behind the four
        sums stand two of each (`Errors.costs`), [V, 4 + 2 C], and the loss is the costs' sum.
    """
    centre_view = preprocess.centre_view(views)

    def evaluation_step(batch: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        labels, weights = batch["label"], batch["weight"]

        def averages(of_views: tf.Tensor) -> list[tf.Tensor]:
            centre = of_views[centre_view]
            return [centre] if views == 1 else [centre, tf.reduce_mean(of_views, axis=0)]

        outputs = view_outputs(model, prepare, batch["image"], table=table, views=views)
        averaged = averages(_by_view(costs.probabilities(table, outputs), views))
        if not table.more_costs:
            losses = [costs.of_probabilities(table, scores, labels) for scores in averaged]
            of_costs: list[list[Any]] = [[] for _ in averaged]
        else:
            of_costs = [
                list(costs.of_scores(table, scores, labels))
                for scores in averages(_by_view(costs.scores(table, outputs), views))
            ]
            losses = [sum(loss for _, _, loss in found) for found in of_costs]
        sums = []
        for loss, scores, found in zip(losses, averaged, of_costs, strict=True):
            vector = [metrics.sums(loss, scores, labels, weights)]
            for cost, part, own in found:
                vector.append(_of_cost(cost, part, own, labels, weights))
            sums.append(tf.concat(vector, 0))
        return tf.stack(sums), tf.stack(averaged)

    return evaluation_step


def predict(
    model: keras.Model,
    prepare: preprocess.Preprocess,
    images: tf.Tensor,
    *,
    table: Table,
    views: int,
) -> tf.Tensor:
    """Probabilities of whole images, averaged over 1 or 10 views: float32 [B, classes].

    Args:
        images: uint8 or float32 [B, image size, image size, 3].
        table: the network, for the side of its input and the kind of its outputs
            (`costs.probabilities`).
    """
    of_views = predict_views(model, prepare, images, table=table, views=views)
    return tf.reduce_mean(of_views, axis=0)


def predict_views(
    model: keras.Model,
    prepare: preprocess.Preprocess,
    images: tf.Tensor,
    *,
    table: Table,
    views: int,
) -> tf.Tensor:
    """Probabilities of each view of whole images, float32 [views, B, classes].

    Arguments as those of `predict`; the order of the views is that of `preprocess.views`.
    """
    outputs = view_outputs(model, prepare, images, table=table, views=views)
    return _by_view(costs.probabilities(table, outputs), views)


def view_outputs(
    model: keras.Model,
    prepare: preprocess.Preprocess,
    images: tf.Tensor,
    *,
    table: Table,
    views: int,
) -> tf.Tensor:
    """What the model yields of each view, one view after another: float32 [views B, outputs]."""
    return model(prepare(preprocess.views(images, table.input_size, views)), training=False)


def _by_view(scores: tf.Tensor, views: int) -> tf.Tensor:
    return tf.reshape(scores, [views, -1, scores.shape[-1]])


def _of_cost(
    cost: rows.Cost, scores: tf.Tensor, losses: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor
) -> tf.Tensor:
    """Sums of one of several costs: of its losses, and of a softmax's wrong best classes."""
    wrong = metrics.errors(scores, labels, 1) if is_softmax(cost) else tf.zeros_like(losses)
    return tf.stack([tf.reduce_sum(tf.where(weights > 0, v, 0.0)) for v in (losses, wrong)])


def is_softmax(cost: rows.Cost) -> bool:
    """Whether errors of a cost's scores are reported, as in 2012."""
    return cost.kind == "logreg"
