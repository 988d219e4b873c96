"""Elementwise functions by their names in the 2012 definition files ("relu", "tanh[1,1]", ...).

The notation, the functions and their gradients at the edges are those of that code's neurons.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from alexnet_tf.model import randomness
from alexnet_tf.tables.notation import parse_neuron

_PLAIN = {
    "ident": lambda x: x,
    "relu": tf.nn.relu,
    # The 2012 code cuts the logarithm off where it hardly differs.
    "softrelu": lambda x: tf.where(x > 4, x, tf.nn.softplus(x)),
    "logistic": tf.sigmoid,
    "square": tf.square,
    "sqrt": tf.sqrt,
}


def _absolute(x: tf.Tensor) -> tf.Tensor:
    # The 2012 gradient at 0 is -1, where TensorFlow's is 0.
    return tf.where(x > 0, x, -x)


def _bounded(x: tf.Tensor, limit: float) -> tf.Tensor:
    # The 2012 gradient is 0 at both ends, where that of TensorFlow's clipping is 1.
    bounded = tf.clip_by_value(x, tf.cast(0, x.dtype), tf.cast(limit, x.dtype))
    return tf.where((x > 0) & (x < limit), x, tf.stop_gradient(bounded))


_FUNCTIONS: dict[str, Callable[..., tf.Tensor]] = _PLAIN | {
    "abs": _absolute,
    "brelu": _bounded,
    "drelu": lambda x, a: x - a * tf.tanh(x / a),
    "tanh": lambda x, a, b: a * tf.tanh(b * x),
    "linear": lambda x, a, b: a * x + b,
}


def apply(neuron: str, x: tf.Tensor, row: str = "") -> tf.Tensor:
    """The function named `neuron` of every element of `x`; an empty name leaves it as it is.

    "nrelu" adds noise in tests too; it is drawn for the name of the `row`, see `randomness`.
    """
    if not neuron:
        return x
    name, parameters = parse_neuron(neuron)
    if name == "nrelu":
        noise = randomness.normal(f"{row}/neuron", [int(side) for side in x.shape[1:]])
        return tf.nn.relu(tf.nn.relu(x) * tf.cast(1 + noise, x.dtype))
    return _FUNCTIONS[name](x, *(tf.cast(value, x.dtype) for value in parameters))
