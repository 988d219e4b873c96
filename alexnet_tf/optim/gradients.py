"""Gradients between the backward pass and the update: summed over the replicas, measured, scaled.

Every operation on a gradient lies on its variable's device: with columns on two devices no gradient
travels for its norm.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from alexnet_tf.model import placement

Gradients = Sequence[tf.Tensor]


def summed(gradients: Gradients) -> list[tf.Tensor]:
    """The sums over all replicas of all machines, on each of them.

    One call for all gradients: TensorFlow packs them as it thinks best.
    """
    replica = tf.distribute.get_replica_context()
    if replica.num_replicas_in_sync == 1:
        return list(gradients)
    return replica.all_reduce(tf.distribute.ReduceOp.SUM, list(gradients))


def global_norm(gradients: Gradients, variables: Sequence[Any], learn: tf.Tensor) -> tf.Tensor:
    """The l2 norm of all gradients together, float32 [].

    Those of frozen variables do not count, but one that is not finite always shows.

    Args:
        gradients: summed over the replicas.
        variables: whose they are.
        learn: bool [variables], false where a variable is frozen now.

    Returns:
        Not finite where any gradient is not, or where the norm is above 1.8e19 (its square is
        beyond float32).
    """
    halves = []
    for gradient, variable in zip(gradients, variables, strict=True):
        with tf.device(_device(variable)):
            halves.append(tf.nn.l2_loss(tf.cast(gradient, tf.float32)))
    stacked = tf.stack(halves)
    counts = learn | ~tf.math.is_finite(stacked)
    return tf.sqrt(2.0 * tf.reduce_sum(tf.where(counts, stacked, 0.0)))


def scaled(gradients: Gradients, variables: Sequence[Any], factor: tf.Tensor) -> list[tf.Tensor]:
    """All gradients times one factor, float32 []."""
    products = []
    for gradient, variable in zip(gradients, variables, strict=True):
        with tf.device(_device(variable)):
            products.append(gradient * tf.cast(factor, gradient.dtype))
    return products


def _device(variable: Any) -> str:
    return placement.tensorflow_variable(variable).device
