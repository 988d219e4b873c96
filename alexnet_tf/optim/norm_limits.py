"""Limits on the norms of filters after an update, as the 2012 code had them (`wcNorm`, `wball`).

A unit is one filter, one output, or whatever else lies along the unit axes of a kernel: see
`VariableSettings.unit_axes`.
"""

from __future__ import annotations

import math

import tensorflow as tf

from alexnet_tf.model.layers import VariableSettings


def apply(variable: tf.Variable, settings: VariableSettings, learns: tf.Tensor) -> None:
    """Scales each unit's weights to the limits of `settings`; does nothing where there are none.

    First the range, then the ball.

    Args:
        variable: a kernel.
        settings: how it learns.
        learns: bool []; a frozen kernel stays as it is.
    """
    low, high = settings.norm_range
    if not high > 0 and not settings.norm_ball > 0:
        return
    weights = tf.convert_to_tensor(variable)
    if high > 0:
        weights = within_range(weights, low, high, settings.unit_axes)
    if settings.norm_ball > 0:
        weights = within_ball(weights, settings.norm_ball, settings.unit_axes)
    variable.assign(tf.where(learns, weights, variable))


def within_range(
    weights: tf.Tensor, low: float, high: float, units: tuple[int, ...] = (-1,)
) -> tf.Tensor:
    """Each unit scaled, its mean with it, until low <= a <= high.

    a = sqrt(sum (w - mean)^2) / n over the unit's n weights: divided by n outside the root. A unit
    whose weights are all equal has a = 0 and cannot be scaled to anything else.

    Args:
        weights: a kernel.
        low, high: the limits.
        units: axes along which units lie.
    """
    axes = _weight_axes(weights, units)
    mean = tf.reduce_mean(weights, axes, keepdims=True)
    root = tf.sqrt(tf.reduce_sum(tf.square(weights - mean), axes, keepdims=True))
    spread = root / float(_size(weights, axes))
    wanted = tf.clip_by_value(spread, low, high)
    return weights * tf.where(spread > 0, tf.math.divide_no_nan(wanted, spread), 1.0)


def within_ball(weights: tf.Tensor, ball: float, units: tuple[int, ...] = (-1,)) -> tf.Tensor:
    """Each unit scaled down until its l2 norm is at most `ball` times its number of weights.

    Args:
        weights: a kernel.
        ball: the limit per weight.
        units: axes along which units lie.
    """
    axes = _weight_axes(weights, units)
    norms = tf.sqrt(tf.reduce_sum(tf.square(weights), axes, keepdims=True))
    limit = ball * _size(weights, axes)
    return weights * (limit / tf.maximum(norms, limit))


def _weight_axes(weights: tf.Tensor, units: tuple[int, ...]) -> list[int]:
    """The axes along which the weights of one unit lie."""
    rank = weights.shape.rank
    return [axis for axis in range(rank) if axis not in units and axis - rank not in units]


def _size(weights: tf.Tensor, axes: list[int]) -> int:
    return math.prod(int(weights.shape[axis]) for axis in axes)
