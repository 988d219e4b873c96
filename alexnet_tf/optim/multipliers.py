"""Each variable's factor on the run's learning rate, which a schedule may change on the way."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from alexnet_common.errors import UserError
from alexnet_tf.model.layers import VariableSettings


class Multipliers:
    """The factors of all variables of an optimizer, at first those of the network's table.

    They are not part of an optimizer's state: a schedule that changes them says for every step what
    they are.

    Args:
        settings: how each variable learns, in the optimizer's order.
    """

    def __init__(self, settings: Sequence[VariableSettings]):
        self._first = tuple(float(one.learning_rate_multiplier) for one in settings)
        self._values = self._first
        self._variable: tf.Variable | None = None

    def build(self) -> None:
        """Creates the variable; in the strategy's scope."""
        if self._variable is None:
            with tf.init_scope():
                self._variable = tf.Variable(self._first, trainable=False, dtype=tf.float32)

    def frozen(self, place: int) -> bool:
        """Whether the table freezes variable number `place`, which nothing thaws."""
        return self._first[place] == 0

    def of(self, place: int) -> tf.Tensor:
        """The factor of variable number `place` now, float32 []."""
        assert self._variable is not None
        return tf.convert_to_tensor(self._variable)[place]

    def learn(self) -> tf.Tensor:
        """Which variables are not frozen now, bool [variables]."""
        assert self._variable is not None
        return tf.convert_to_tensor(self._variable) > 0

    def reset(self) -> None:
        """Sets all factors to those of the network's table, as at the beginning of a run."""
        self.assign(self._first)

    def assign(self, values: Sequence[float]) -> None:
        """Sets all factors, between two updates.

        Raises:
            UserError: there are more or fewer of them than variables.
        """
        if len(values) != len(self._first):
            raise UserError(
                f"{len(values)} learning rate multipliers for {len(self._first)} variables"
            )
        if tuple(values) != self._values:
            assert self._variable is not None
            self._variable.assign(tuple(values))
            self._values = tuple(values)
