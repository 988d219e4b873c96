"""The factor on the loss that keeps small gradients above float16's smallest number.

Dynamic, it follows the rule of Keras' `LossScaleOptimizer`: an update whose gradient is not finite
is left out (Micikevicius et al. 2018, section 3.2) and the factor halved; after 2000 finite ones in
a row it is doubled.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from alexnet_tf.recipes import ConfigDict

FIRST = 2.0**15
SMALLEST = 1.0
# float16's smallest number times this is 1: what is lost below it, no larger factor needs to save.
LARGEST = 2.0**24
# Finite gradients in a row after which a larger factor is tried.
GROWTH_STEPS = 2000
# From the largest factor down to 1 it takes 24 halvings. After twice as many updates that are left
# out in a row, no factor makes the gradient finite.
MAX_SKIPPED_IN_A_ROW = 50


class LossScale:
    """The factor and, where it is dynamic, its rule. The same on every replica and machine.

    Args:
        fixed: the factor; 0: dynamic.
    """

    def __init__(self, fixed: float = 0.0):
        self.dynamic = fixed == 0
        self._factor = tf.Variable(fixed or FIRST, trainable=False, dtype=tf.float32)
        self._finite_steps = tf.Variable(0, trainable=False, dtype=tf.int32)

    def factor(self) -> tf.Tensor:
        """For the next update, float32 []."""
        return self._factor.read_value()

    def adjust(self, finite: tf.Tensor) -> None:
        """The rule, after an update; a fixed factor stays. Between replicas, not on one of them.

        Args:
            finite: bool [], whether its gradient was.
        """
        if not self.dynamic:
            return
        factor, steps = self._factor.read_value(), self._finite_steps.read_value() + 1
        enough = steps >= GROWTH_STEPS
        larger = tf.where(enough, tf.minimum(2.0 * factor, LARGEST), factor)
        smaller = tf.maximum(factor / 2.0, SMALLEST)
        self._factor.assign(tf.where(finite, larger, smaller))
        self._finite_steps.assign(tf.where(finite & ~enough, steps, 0))

    def get_state(self) -> dict[str, Any]:
        """What a checkpoint keeps, for JSON; a fixed factor has no state."""
        if not self.dynamic:
            return {}
        return {"factor": float(self._factor), "finite_steps": int(self._finite_steps)}

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes on from what `get_state` gave; does nothing where either of them is fixed."""
        if self.dynamic and state:
            self._factor.assign(state["factor"])
            self._finite_steps.assign(state["finite_steps"])


def make(config: ConfigDict) -> LossScale | None:
    """The factor that `config.loss_scale` names; None where the precision needs none."""
    if config.precision != "mixed_float16":
        return None
    return LossScale(float(config.loss_scale))
