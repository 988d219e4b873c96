"""Probabilities of whole images, averaged over views (section 4.1)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from alexnet_tf.evaluation import metrics
from alexnet_tf.input import preprocess
from alexnet_tf.model import costs
from alexnet_tf.runs.restore import TrainedRun
from alexnet_tf.tables import rows
from alexnet_tf.tables.table import Table


def view_counts(views: int) -> tuple[int, ...]:
    """What is reported for so many views: 10 views have the centre view (1) among them."""
    return (1,) if views == 1 else (1, views)


@dataclasses.dataclass(frozen=True, eq=False)
class Scorer:
    """A network with all that turns whole images into scores of their classes.

    Attributes:
        model: from float32 pixels to what the last layer yields.
        prepare: pixels to network input.
        table: the network, for the side of its input and the kind of its outputs
            (`costs.probabilities`).
        views: of each image: 1 (centre) or 10, in the order of `preprocess.views`.
    """

    model: keras.Model
    prepare: preprocess.Preprocess
    table: Table
    views: int

    @classmethod
    def of(cls, run: TrainedRun, views: int) -> Scorer:
        """Of a trained run, on 1 or 10 views."""
        return cls(run.model, run.prepare, run.table, views)

    def predict(self, images: tf.Tensor) -> tf.Tensor:
        """Probabilities averaged over the views, float32 [B, classes].

        Args:
            images: uint8 or float32 [B, image size, image size, 3].
        """
        return tf.reduce_mean(self.predict_views(images), axis=0)

    def predict_views(self, images: tf.Tensor) -> tf.Tensor:
        """Probabilities of each view, float32 [views, B, classes]; images as for `predict`."""
        return self.by_view(costs.probabilities(self.table, self.outputs(images)))

    def outputs(self, images: tf.Tensor) -> tf.Tensor:
        """What the model yields, one view after another: float32 [views B, outputs]."""
        cut = preprocess.views(images, self.table.input_size, self.views)
        return self.model(self.prepare(cut), training=False)

    def by_view(self, scores: tf.Tensor) -> tf.Tensor:
        """Rows of one view after another, [views B, n], as [views, B, n]."""
        return tf.reshape(scores, [self.views, -1, scores.shape[-1]])


def make_evaluation_step(
    scorer: Scorer,
) -> Callable[[dict[str, tf.Tensor]], tuple[tf.Tensor, tf.Tensor]]:
    """Scores one replica's rows of a batch of whole images.

    Returns:
        A function of the batch. With V = len(view_counts(views)) it returns the `SUMS` of its rows,
        float32 [V, 4], and the probabilities averaged over so many views, float32 [V, B, classes].
        The loss is the network's cost of the averaged probabilities. Of C costs behind the four
        sums stand two of each (`Errors.costs`), [V, 4 + 2 C], and the loss is the costs' sum.
    """
    table, views = scorer.table, scorer.views
    centre_view = preprocess.centre_view(views)

    def averages(of_views: tf.Tensor) -> list[tf.Tensor]:
        centre = of_views[centre_view]
        return [centre] if views == 1 else [centre, tf.reduce_mean(of_views, axis=0)]

    def evaluation_step(batch: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        labels, weights = batch["label"], batch["weight"]
        outputs = scorer.outputs(batch["image"])
        averaged = averages(scorer.by_view(costs.probabilities(table, outputs)))
        if not table.more_costs:
            losses = [costs.of_probabilities(table, scores, labels) for scores in averaged]
            of_costs: list[list[Any]] = [[] for _ in averaged]
        else:
            of_costs = [
                list(costs.of_scores(table, scores, labels))
                for scores in averages(scorer.by_view(costs.scores(table, outputs)))
            ]
            losses = [sum(loss for _, _, loss in parts) for parts in of_costs]
        sums = []
        for loss, scores, parts in zip(losses, averaged, of_costs, strict=True):
            vector = [metrics.sums(loss, scores, labels, weights)]
            for cost, part, own in parts:
                vector.append(_of_cost(cost, part, own, labels, weights))
            sums.append(tf.concat(vector, 0))
        return tf.stack(sums), tf.stack(averaged)

    return evaluation_step


def _of_cost(
    cost: rows.Cost, scores: tf.Tensor, losses: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor
) -> tf.Tensor:
    """Sums of one of several costs: of its losses, and of a softmax's wrong best classes."""
    wrong = metrics.errors(scores, labels, 1) if is_softmax(cost) else tf.zeros_like(losses)
    return tf.stack([tf.reduce_sum(tf.where(weights > 0, v, 0.0)) for v in (losses, wrong)])


def is_softmax(cost: rows.Cost) -> bool:
    """Whether errors of a cost's scores are reported, as in 2012."""
    return cost.kind == "logreg"
