"""The paper's update rule (section 5) as a Keras optimizer.

    v <- momentum v - rate (gradient + decay w)        w <- w + v

The decay is inside the velocity and multiplied by the rate. Keras' own `weight_decay` is another
rule: it shrinks w outside the velocity, so with momentum 0.9 it is ten times weaker.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from alexnet_tf.config import ConfigDict
from alexnet_tf.network.build import VariableSettings
from data_prep import command


class PaperSGD(keras.optimizers.SGD):
    """SGD with momentum, decay inside the velocity, and per-variable rates and decays.

    One fused operation updates velocity and weight, so that each is read and written once.

    Args:
        settings: per trainable variable, in their order, its rate multiplier (0 freezes it:
            no velocity, no decay, as in the 2012 code), its decay, and a momentum of its own.
        learning_rate: of variables whose multiplier is 1.
        momentum: 0.9 in the paper.
    """

    def __init__(
        self,
        settings: Sequence[VariableSettings],
        learning_rate: float,
        momentum: float,
        **arguments: Any,
    ):
        super().__init__(learning_rate=learning_rate, momentum=momentum, **arguments)
        self._settings = tuple(settings)

    def update_step(
        self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor | None = None
    ) -> None:
        """Updates one variable; Keras calls it with the gradient summed over the replicas."""
        if learning_rate is None:  # Keras 2 leaves it to the optimizer.
            learning_rate = self.learning_rate
            index = self._index_dict[self._var_key(variable)]
        else:
            index = self._get_variable_index(variable)
        settings = self._settings[index]
        if settings.learning_rate_multiplier == 0:
            return
        velocity = self.momentums[index]
        velocity = getattr(velocity, "value", velocity) if _is_keras_3() else velocity
        if settings.weight_decay:
            gradient = gradient + settings.weight_decay * variable
        rate = tf.cast(learning_rate, tf.float32) * settings.learning_rate_multiplier
        tf.raw_ops.ResourceApplyKerasMomentum(
            var=variable.handle,
            accum=velocity.handle,
            lr=tf.cast(rate, variable.dtype),
            grad=tf.cast(gradient, variable.dtype),
            momentum=tf.constant(
                self.momentum if settings.momentum is None else settings.momentum, variable.dtype
            ),
        )


def make(config: ConfigDict, settings: Sequence[VariableSettings]) -> keras.optimizers.Optimizer:
    """The optimizer that `config.optimizer` names, to be made inside the strategy's scope.

    Raises:
        UsageError: an unknown name.
    """
    chosen = config.optimizer
    if chosen.name == "sgd":
        extra = {} if _is_keras_3() else {"jit_compile": False}
        return PaperSGD(
            settings, float(config.learning_rate.initial), float(chosen.momentum), **extra
        )
    raise command.UsageError(f"config.optimizer.name must be sgd, not {chosen.name!r}")


def state(optimizer: keras.optimizers.Optimizer) -> dict[str, np.ndarray]:
    """The optimizer's variables by a name that is the same on every strategy and placement."""
    return {name: np.asarray(_numpy(variable)) for name, variable in _variables(optimizer)}


def load_state(optimizer: keras.optimizers.Optimizer, values: dict[str, np.ndarray]) -> None:
    """Restores what `state` returned.

    Raises:
        ValueError: the variables are others than those of this optimizer.
    """
    variables = dict(_variables(optimizer))
    if set(variables) != set(values):
        missing = sorted(set(variables) ^ set(values))
        raise ValueError(f"optimizer state differs: {', '.join(missing[:3])}")
    for name, variable in variables.items():
        variable.assign(values[name])


def learning_rate(optimizer: keras.optimizers.Optimizer) -> float:
    """The present learning rate, as a person would write the float32."""
    return float(f"{float(_numpy(optimizer.learning_rate)):.7g}")


def _variables(optimizer: keras.optimizers.Optimizer) -> list[tuple[str, Any]]:
    # Keras names slots after the variable, and differently in each version: their place in the
    # list is what stays. It follows the order of the model's trainable variables. Keras 2 does not
    # count the rate among the variables.
    known = [("iterations", optimizer.iterations), ("learning_rate", _rate_variable(optimizer))]
    slots = [
        variable
        for variable in optimizer.variables
        if not any(variable is other for _, other in known)
    ]
    return known + [(f"slot_{place:03d}", variable) for place, variable in enumerate(slots)]


def _rate_variable(optimizer: keras.optimizers.Optimizer) -> Any:
    # Keras 3's property returns the variable behind it, Keras 2's too, unless it is a schedule.
    return optimizer._learning_rate


def _numpy(variable: Any) -> np.ndarray:
    value = getattr(variable, "value", variable) if _is_keras_3() else variable
    return value.numpy()


def _is_keras_3() -> bool:
    return not keras.__version__.startswith("2.")
