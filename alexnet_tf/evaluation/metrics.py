"""Errors and losses as sums over examples, never means.

Sums over batches, replicas and machines of any size add up to the exact total; they are divided
once, at the end.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf


class Sums(NamedTuple):
    """What a sums vector holds, in this order: sums over examples, and their number."""

    loss: float
    top_1_errors: float
    top_5_errors: float
    examples: float


SUMS = Sums._fields


def errors(scores: tf.Tensor, labels: tf.Tensor, k: int) -> tf.Tensor:
    """1.0 where the label is not among the k best scores, else 0.0.

    Equal scores rank by class number, as a stable sort would place them, so that a network that
    says the same of every class is not counted as right. A non-finite score is an error.

    Args:
        scores: float32 [B, classes], logits or probabilities.
        labels: int32 [B].
        k: 1, 5, ...

    Returns:
        float32 [B].
    """
    own = tf.gather(scores, labels, batch_dims=1)[:, None]
    better = scores > own
    earlier = tf.range(tf.shape(scores)[1])[None, :] < labels[:, None]
    rank = tf.reduce_sum(tf.cast(better | ((scores == own) & earlier), tf.int32), axis=1)
    right = (rank < k) & tf.math.is_finite(own[:, 0])
    return 1.0 - tf.cast(right, tf.float32)


def sums(losses: tf.Tensor, scores: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """The vector named by `SUMS`, float32 [4], over the rows of weight 1.

    Args:
        losses, weights: float32 [B].
        scores: float32 [B, classes].
        labels: int32 [B].
    """
    columns = [losses, errors(scores, labels, 1), errors(scores, labels, 5), tf.ones_like(losses)]
    return tf.stack([tf.reduce_sum(tf.where(weights > 0, column, 0.0)) for column in columns])
