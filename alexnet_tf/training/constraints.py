"""Limits on the norms of filters after an update, as the 2012 code had them (`wcNorm`, `wball`)."""

from __future__ import annotations

import tensorflow as tf

from alexnet_tf.network.layers import VariableSettings


def apply(variable: tf.Variable, settings: VariableSettings, learns: tf.Tensor) -> None:
    """Scales each unit's weights to the limits of `settings`; does nothing where there are none.

    A unit is one filter or one output: the last axis of the kernel. First the range, then the ball.

    Args:
        variable: a kernel, [..., units].
        settings: how it learns.
        learns: bool []; a frozen kernel stays as it is.
    """
    low, high = settings.norm_range
    if not high > 0 and not settings.norm_ball > 0:
        return
    weights = tf.convert_to_tensor(variable)
    if high > 0:
        weights = within_range(weights, low, high)
    if settings.norm_ball > 0:
        weights = within_ball(weights, settings.norm_ball)
    variable.assign(tf.where(learns, weights, variable))


def within_range(weights: tf.Tensor, low: float, high: float) -> tf.Tensor:
    """Each filter scaled, its mean with it, until low <= a <= high.

    a = sqrt(sum (w - mean)^2) / n over the filter's n weights: divided by n outside the root. A
    filter whose weights are all equal has a = 0 and cannot be scaled to anything else.

    Args:
        weights: [..., filters].
    """
    axes = list(range(weights.shape.rank - 1))
    mean = tf.reduce_mean(weights, axes, keepdims=True)
    root = tf.sqrt(tf.reduce_sum(tf.square(weights - mean), axes, keepdims=True))
    spread = root / float(_size(weights))
    wanted = tf.clip_by_value(spread, low, high)
    return weights * tf.where(spread > 0, tf.math.divide_no_nan(wanted, spread), 1.0)


def within_ball(weights: tf.Tensor, ball: float) -> tf.Tensor:
    """Each unit scaled down until its l2 norm is at most `ball` times its number of weights.

    Args:
        weights: [..., units].
    """
    axes = list(range(weights.shape.rank - 1))
    norms = tf.sqrt(tf.reduce_sum(tf.square(weights), axes, keepdims=True))
    limit = ball * _size(weights)
    return weights * (limit / tf.maximum(norms, limit))


def _size(weights: tf.Tensor) -> int:
    size = 1
    for side in weights.shape[:-1]:
        size *= int(side)
    return size
