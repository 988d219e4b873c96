"""Gradients that stay on their columns' devices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf


def gradients(loss: tf.Tensor, variables: Sequence[Any]) -> list[tf.Tensor]:
    """Gradients of `loss` whose operations lie on the devices of the forward operations.

    For use inside a `tf.function`: a `GradientTape` there leaves every gradient operation without
    a device, so that the whole backward pass of both columns would run on the first one.

    Args:
        loss: scalar, computed in the same `tf.function`.
        variables: `model.trainable_variables`.

    Raises:
        RuntimeError: called outside of a `tf.function`.
    """
    if tf.executing_eagerly():
        raise RuntimeError("placement.gradients works inside a tf.function only")
    return tf.gradients(loss, [tensorflow_variable(variable) for variable in variables])


def tensorflow_variable(variable: Any) -> tf.Variable:
    """TensorFlow's variable behind a variable of Keras 2 or 3."""
    return variable if isinstance(variable, tf.Variable) else variable.value
