"""Update rules of Keras' legacy kind: tensorflow-addons' SGDW, and averages of the weights.

Imported by `addons.make` only, when a recipe asks for it: all of this exists on the second stack
alone. tensorflow-addons' last release does not even import with a newer TensorFlow.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from alexnet_tf.model.layers import VariableSettings
from alexnet_tf.optim import norm_limits
from alexnet_tf.optim.multipliers import Multipliers

with warnings.catch_warnings():
    # That it is at its end of life is why it is an extra.
    warnings.simplefilter("ignore")
    import tensorflow_addons

_LegacySGD: Any = tf.keras.optimizers.legacy.SGD
_SGDW: Any = tensorflow_addons.optimizers.SGDW
_MovingAverage: Any = tensorflow_addons.optimizers.MovingAverage
_SWA: Any = tensorflow_addons.optimizers.SWA


class Table:
    """Where a variable stands in the network's table, and how it learns."""

    def __init__(self, settings: Sequence[VariableSettings]):
        self.settings = tuple(settings)
        self.multipliers = Multipliers(settings)
        self._places: dict[str, int] = {}

    def build(self, variables: Sequence[tf.Variable]) -> None:
        """Remembers the order of the variables; in the strategy's scope."""
        self.multipliers.build()
        self._places = {variable._unique_id: place for place, variable in enumerate(variables)}

    def place(self, variable: tf.Variable) -> int:
        """The number of a variable, or of the one that it is a replica's copy of."""
        for holder in (variable, getattr(variable, "handle", None)):
            container = getattr(holder, "_distributed_container", None)
            if container is not None:
                variable = container()
                break
        return self._places[variable._unique_id]


class _Common:
    """What the train loop asks of an optimizer and legacy ones lack; mixed into them."""

    table: Table

    @property
    def multipliers(self) -> Multipliers:
        """Factors on the run's rate."""
        return self.table.multipliers

    def build(self, variables: Sequence[tf.Variable]) -> None:
        """Creates all variables; in the strategy's scope."""
        with tf.init_scope():
            self._create_all_weights(variables)  # type: ignore[attr-defined]
            self.table.build(variables)

    def every_variable(self) -> list[tf.Variable]:
        """Iterations and slots, each once."""
        variables: list[tf.Variable] = []
        for variable in self.weights:  # type: ignore[attr-defined]
            if not any(variable is other for other in variables):
                variables.append(variable)
        return variables


class PaperRule(_Common, _LegacySGD):
    """The rule of `optimizer.PaperSGD`, for the averaging optimizers to wrap."""

    def __init__(self, settings: Sequence[VariableSettings], rate: float, momentum: float):
        # The table may name other momenta, also where this one is 0.
        super().__init__(learning_rate=rate, momentum=momentum)
        self._momentum = True
        self.table = Table(settings)
        self._common_momentum = momentum

    def _resource_apply_dense(
        self, grad: tf.Tensor, var: tf.Variable, apply_state: Any = None
    ) -> tf.Operation:
        place = self.table.place(var)
        settings = self.table.settings[place]
        if self.multipliers.frozen(place):
            return tf.no_op()
        multiplier = self.multipliers.of(place)
        learns = multiplier > 0
        if settings.weight_decay:
            grad = grad + settings.weight_decay * var
        momentum = self._common_momentum if settings.momentum is None else settings.momentum
        update = tf.raw_ops.ResourceApplyKerasMomentum(
            var=var.handle,
            accum=self.get_slot(var, "momentum").handle,
            lr=self._decayed_lr(var.dtype.base_dtype) * tf.cast(multiplier, var.dtype),
            grad=grad,
            momentum=tf.cast(tf.where(learns, momentum, 0.0), var.dtype),
        )
        with tf.control_dependencies([] if tf.executing_eagerly() else [update]):
            norm_limits.apply(var, settings, learns)
        return tf.no_op() if update is None else update


class DecoupledRule(_Common, _SGDW):
    """tensorflow-addons' SGDW, with the table's rates and limits, and decay where it says so."""

    def __init__(
        self, settings: Sequence[VariableSettings], rate: float, momentum: float, decay: float
    ):
        super().__init__(weight_decay=decay, learning_rate=rate, momentum=momentum)
        self.table = Table(settings)

    def _do_use_weight_decay(self, var: tf.Variable) -> bool:
        # Its own list holds whole variables, but under a strategy it asks about replicas' copies.
        return self.table.settings[self.table.place(var)].weight_decay > 0

    def _resource_apply_dense(
        self, grad: tf.Tensor, var: tf.Variable, apply_state: Any = None
    ) -> tf.Operation:
        place = self.table.place(var)
        if self.multipliers.frozen(place):
            return tf.no_op()
        multiplier = self.multipliers.of(place)

        def update() -> tf.Tensor:
            # The velocity is linear in rate * gradient, so either may carry the factor.
            base: Any = super(DecoupledRule, self)
            base._resource_apply_dense(grad * multiplier, var, apply_state)
            norm_limits.apply(var, self.table.settings[place], tf.constant(True))
            return tf.constant(True)

        return tf.cond(multiplier > 0, update, lambda: tf.constant(False))


class _Averaging(_Common):
    """The table of the rule that is wrapped, and when there is something to evaluate."""

    first_average: int

    @property
    def table(self) -> Table:  # type: ignore[override]
        """That of the rule inside."""
        return self._optimizer.table  # type: ignore[attr-defined]

    def has_averages(self) -> bool:
        """Whether an update has been averaged."""
        return int(self.iterations.numpy()) > self.first_average  # type: ignore[attr-defined]


class MovingAverage(_Averaging, _MovingAverage):
    """average <- decay average + (1 - decay) w after every update, from update `first` on."""

    def __init__(self, rule: PaperRule | DecoupledRule, decay: float, first: int):
        super().__init__(rule, average_decay=decay, start_step=first)
        self.first_average = first


class WeightAverage(_Averaging, _SWA):
    """The mean of the weights after update `first` and every `period`-th one from there."""

    def __init__(self, rule: PaperRule | DecoupledRule, first: int, period: int):
        super().__init__(rule, start_averaging=first, average_period=period)
        self.first_average = first
