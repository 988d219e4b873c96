"""Elementwise functions by their names in the 2012 definition files ("relu", "tanh[1,1]", ...).

The notation, the functions and their gradients at the edges are those of that code's neurons.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import tensorflow as tf

from data_prep import command

_PLAIN = {
    "ident": lambda x: x,
    "relu": tf.nn.relu,
    "softrelu": tf.nn.softplus,
    "logistic": tf.sigmoid,
    "square": tf.square,
    "sqrt": tf.sqrt,
    # Noise in every pass, in tests too; drawn anew each time, so such a net is not repeatable.
    "nrelu": lambda x: tf.nn.relu(
        tf.nn.relu(x) * (1 + tf.random.normal(tf.shape(x), dtype=x.dtype))
    ),
}


def _absolute(x: tf.Tensor) -> tf.Tensor:
    # The 2012 gradient at 0 is -1, where TensorFlow's is 0.
    return tf.where(x > 0, x, -x)


def _bounded(x: tf.Tensor, limit: float) -> tf.Tensor:
    return tf.clip_by_value(x, tf.cast(0, x.dtype), tf.cast(limit, x.dtype))


_WITH_PARAMETERS: dict[str, tuple[int, Callable[..., tf.Tensor]]] = {
    "brelu": (1, _bounded),
    "drelu": (1, lambda x, a: x - a * tf.tanh(x / a)),
    "tanh": (2, lambda x, a, b: a * tf.tanh(b * x)),
    "linear": (2, lambda x, a, b: a * x + b),
}

_NOTATION = re.compile(r"(\w+)(?:\[([-\d.,\s]+)\])?")


def parse(neuron: str) -> tuple[str, tuple[float, ...]]:
    """The name and the parameters of `neuron`; raises UserError for an unknown or wrong one."""
    match = _NOTATION.fullmatch(neuron)
    name, text = match.groups() if match else (neuron, None)
    try:
        parameters = tuple(float(part) for part in text.split(",")) if text else ()
    except ValueError:
        parameters = ()
    if name == "abs" or name in _PLAIN:
        wanted = 0
    elif name in _WITH_PARAMETERS:
        wanted = _WITH_PARAMETERS[name][0]
    else:
        known = ", ".join(sorted({"abs", *_PLAIN, *_WITH_PARAMETERS}))
        raise command.UserError(f"unknown neuron {neuron!r}; known: {known}")
    if len(parameters) != wanted:
        raise command.UserError(f"neuron {neuron!r} takes {wanted} numbers in [ ]")
    return name, parameters


def apply(neuron: str, x: tf.Tensor) -> tf.Tensor:
    """The function named `neuron` of every element of `x`; an empty name leaves it as it is."""
    if not neuron:
        return x
    name, parameters = parse(neuron)
    if name == "abs":
        return _absolute(x)
    if name in _PLAIN:
        return _PLAIN[name](x)
    return _WITH_PARAMETERS[name][1](x, *(tf.cast(value, x.dtype) for value in parameters))
