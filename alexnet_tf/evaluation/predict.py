"""Probabilities of whole images, averaged over views (section 4.1)."""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf

from alexnet_tf.evaluation import metrics
from alexnet_tf.input import preprocess
from alexnet_tf.model import costs
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
        The loss is the network's cost of the averaged probabilities.
    """

    def evaluation_step(batch: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        of_views = predict_views(model, prepare, batch["image"], table=table, views=views)
        centre = of_views[preprocess.centre_view(views)]
        averaged = [centre] if views == 1 else [centre, tf.reduce_mean(of_views, axis=0)]
        sums = []
        for probabilities in averaged:
            losses = costs.of_probabilities(table, probabilities, batch["label"])
            sums.append(metrics.sums(losses, probabilities, batch["label"], batch["weight"]))
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
    outputs = model(prepare(preprocess.views(images, table.input_size, views)), training=False)
    probabilities = costs.probabilities(table, outputs)
    return tf.reshape(probabilities, [views, -1, probabilities.shape[-1]])
