"""Probabilities of whole images, averaged over views (section 4.1)."""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf

from alexnet_tf.evaluation import metrics
from alexnet_tf.input import preprocess
from alexnet_tf.model import costs
from alexnet_tf.tables.table import Table


def make_evaluation_step(
    model: keras.Model, prepare: preprocess.Preprocess, *, table: Table, views: int
) -> Callable[[dict[str, tf.Tensor]], tuple[tf.Tensor, tf.Tensor]]:
    """Scores one replica's rows of a batch of whole images.

    Returns:
        A function of the batch that returns the `SUMS` of its rows and the probabilities, float32
        [B, classes], averaged over the views (section 4.1). The loss is the network's cost of the
        averaged probabilities.
    """

    def evaluation_step(batch: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        probabilities = predict(model, prepare, batch["image"], table=table, views=views)
        losses = costs.of_probabilities(table, probabilities, batch["label"])
        return metrics.sums(losses, probabilities, batch["label"], batch["weight"]), probabilities

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
    outputs = model(prepare(preprocess.views(images, table.input_size, views)), training=False)
    probabilities = costs.probabilities(table, outputs)
    classes = probabilities.shape[-1]
    return tf.reduce_mean(tf.reshape(probabilities, [views, -1, classes]), axis=0)
