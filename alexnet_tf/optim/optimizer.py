"""The update rules: the paper's (section 5), and others that say how they differ from it.

    v <- momentum v - rate (gradient + decay w)        w <- w + v

The decay is inside the velocity and multiplied by the rate. Keras' own `weight_decay` is another
rule: it shrinks w outside the velocity, so with momentum 0.9 it is ten times weaker.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from alexnet_common.messages import log
from alexnet_tf.model.build import VariableSettings
from alexnet_tf.model.placement import tensorflow_variable
from alexnet_tf.optim import addons, norm_limits
from alexnet_tf.optim.multipliers import Multipliers
from alexnet_tf.optim.schedules import planned_rates
from alexnet_tf.recipes import ConfigDict
from alexnet_tf.settings import catalog


class PaperSGD(keras.optimizers.SGD):
    """SGD with momentum, decay inside the velocity, and per-variable rates, decays and limits.

    One fused operation updates velocity and weight, so that each is read and written once. It takes
    gradients that are summed over the replicas: see `apply_summed`.

    Args:
        settings: per trainable variable, in their order, its rate multiplier (0 freezes it: no
            velocity, no decay, no limits, as in the 2012 code), its decay, a momentum of its own
            and limits on its norms.
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
        if not _is_keras_3():
            arguments.setdefault("jit_compile", False)
        super().__init__(learning_rate=learning_rate, momentum=momentum, **arguments)
        self._settings = tuple(settings)
        self.multipliers = Multipliers(settings)

    def build(self, variables: Sequence[Any]) -> None:
        """Creates the velocities, each on its variable's device."""
        super().build(variables)
        if not self.momentums:  # Keras 3 makes none where the common momentum is 0.
            self.momentums: list[Any] = self.add_optimizer_variables(variables, "momentum")
        self.multipliers.build()

    def update_step(
        self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor | None = None
    ) -> None:
        """Updates one variable; Keras calls it with the gradient summed over the replicas."""
        place = self._place(variable)
        if self.multipliers.frozen(place):
            return
        if learning_rate is None:  # Keras 2 leaves it to the optimizer.
            learning_rate = self.learning_rate
        # The decay of a column that is placed on the second device must not visit the first.
        with tf.device(variable.device):
            self._update(gradient, variable, place, tf.cast(learning_rate, tf.float32))

    def _update(
        self, gradient: tf.Tensor, variable: tf.Variable, place: int, run_rate: tf.Tensor
    ) -> None:
        settings = self._settings[place]
        velocity = tensorflow_variable(self.momentums[place])
        multiplier = self.multipliers.of(place)
        learns = multiplier > 0
        rate = run_rate * multiplier
        momentum = self.momentum if settings.momentum is None else settings.momentum
        tf.raw_ops.ResourceApplyKerasMomentum(
            var=variable.handle,
            accum=velocity.handle,
            lr=tf.cast(rate, variable.dtype),
            grad=tf.cast(self.direction(gradient, variable, settings, rate), variable.dtype),
            # Without momentum a variable that is frozen in mid-run does not coast on.
            momentum=tf.cast(tf.where(learns, momentum, 0.0), variable.dtype),
        )
        norm_limits.apply(variable, settings, learns)

    def direction(
        self,
        gradient: tf.Tensor,
        variable: tf.Variable,
        settings: VariableSettings,
        rate: tf.Tensor,
    ) -> tf.Tensor:
        """What the velocity is moved by, before the rate: here gradient + decay w."""
        return gradient + settings.weight_decay * variable if settings.weight_decay else gradient

    def _all_reduce_sum_gradients(self, grads_and_vars: Iterable[Any]) -> list[Any]:
        # Where Keras 3 adds up the replicas' gradients; it has no argument to leave that out.
        return list(grads_and_vars)

    def _place(self, variable: tf.Variable) -> int:
        if _is_keras_3():
            return self._get_variable_index(variable)
        return self._index_dict[self._var_key(variable)]


class DecoupledSGD(PaperSGD):
    """The paper's rule with Keras' `weight_decay` in place of its decay.

        w <- w - rate decay w        v <- momentum v - rate gradient        w <- w + v

    The table says which variables decay: no biases.
    """

    def direction(
        self,
        gradient: tf.Tensor,
        variable: tf.Variable,
        settings: VariableSettings,
        rate: tf.Tensor,
    ) -> tf.Tensor:
        """The gradient alone; the decay is taken off the variable at once."""
        if settings.weight_decay:
            shrink = tf.cast(rate * settings.weight_decay, variable.dtype)
            variable.assign_sub(shrink * variable)
        return gradient


class LARS(PaperSGD):
    """Layer-wise adaptive rate scaling (You, Gitman, Ginsburg 2017, algorithm 1).

        local = trust |w| / (|gradient| + decay |w|)
        v <- momentum v - rate local (gradient + decay w)        w <- w + v

    Each kernel has a local rate of its own. Biases have none: their norms say nothing (a bias that
    begins at 0 would never move), and the paper's rule moves them.

    Args:
        trust_coefficient: 0.001 in its experiments.
    """

    def __init__(self, *arguments: Any, trust_coefficient: float, **named: Any):
        super().__init__(*arguments, **named)
        self._trust = trust_coefficient

    def direction(
        self,
        gradient: tf.Tensor,
        variable: tf.Variable,
        settings: VariableSettings,
        rate: tf.Tensor,
    ) -> tf.Tensor:
        """local (gradient + decay w); where w or its gradient is all zeros, local is 1."""
        whole = super().direction(gradient, variable, settings, rate)
        if settings.name.endswith("bias"):
            return whole
        weights = tf.norm(tf.cast(variable, tf.float32))
        slope = tf.norm(tf.cast(gradient, tf.float32))
        local = self._trust * weights / (slope + settings.weight_decay * weights)
        return tf.cast(tf.where((weights > 0) & (slope > 0), local, 1.0), whole.dtype) * whole


def make(
    config: ConfigDict, settings: Sequence[VariableSettings], *, replicas: int = 1
) -> keras.optimizers.Optimizer:
    """The optimizer that `config.optimizer` names, to be made inside the strategy's scope.

    Args:
        config: a recipe.
        settings: how each variable learns, in the order of `model.trainable_variables`.
        replicas: on how many the run computes.

    Raises:
        UsageError: averages or one decay that this network or strategy cannot have.
        UserError: tensorflow-addons is needed and not there.
    """
    chosen = config.optimizer
    rate = planned_rates.scaled_initial(config)
    if note := _difference(config, settings):
        log(f"optimizer {chosen.name}: {note}")
    if chosen.averaging != "none":
        average = catalog.meaning_of("optimizer.averaging", chosen.averaging)
        log(
            f"averaging {chosen.averaging}: evaluates {average}; the paper's numbers are of the "
            "last w"
        )
    if chosen.name == "sgdw" or chosen.averaging != "none":
        return addons.make(config, settings, rate, replicas)
    momentum = float(chosen.momentum)
    if chosen.name == "lars":
        trust = float(chosen.trust_coefficient)
        return LARS(settings, rate, momentum, trust_coefficient=trust)
    rules = {"sgd": PaperSGD, "sgd_decoupled": DecoupledSGD}
    return rules[chosen.name](settings, rate, momentum)


def apply_summed(
    optimizer: keras.optimizers.Optimizer,
    gradients: Sequence[tf.Tensor],
    variables: Sequence[Any],
    when: tf.Tensor | None = None,
) -> None:
    """One update, on a replica, with gradients that are summed over all replicas already.

    Args:
        optimizer: as `make` returns it.
        gradients: the same on every replica.
        variables: whose they are: `model.trainable_variables`.
        when: bool [], the same on every replica; where it is false nothing is written, neither
            weights nor the optimizer's state. None: always.
    """

    def apply(gradients: Sequence[tf.Tensor]) -> None:
        pairs = list(zip(gradients, variables, strict=True))
        # Keras 2, its legacy optimizers and tensorflow-addons' take the wish as an argument.
        wish = {} if _is_keras_3() else {"experimental_aggregate_gradients": False}
        optimizer.apply_gradients(pairs, **wish)

    def between_replicas(strategy: Any, when: Any, gradients: Any) -> None:
        tf.cond(
            strategy.experimental_local_results(when)[0],
            lambda: strategy.extended.call_for_each_replica(apply, args=(gradients,)),
            lambda: None,
        )

    if when is None:
        apply(gradients)
    else:
        # Optimizers leave the replica to update; a condition that they do so in must be outside.
        replica = tf.distribute.get_replica_context()
        replica.merge_call(between_replicas, args=(when, list(gradients)))


def _difference(config: ConfigDict, settings: Sequence[VariableSettings]) -> str:
    """How the chosen rule differs from the paper's, with the numbers of this run."""
    chosen = config.optimizer
    decay = max((variable.weight_decay for variable in settings), default=0.0)
    rate = planned_rates.scaled_initial(config)
    paper = rate * decay / (1 - chosen.momentum)
    if chosen.name == "lars":
        return (
            "every kernel's rate is scaled by trust |w| / (|g| + decay |w|) with trust "
            f"{chosen.trust_coefficient:g} (You et al. 2017); the paper's rule has one rate for "
            "all layers, so a learning rate for one of them means nothing to the other"
        )
    if chosen.name == "sgd_decoupled":
        return (
            f"decay acts outside the velocity, as in Keras: weights shrink by {rate * decay:.2g} "
            f"per step at rate {rate:g}, in the paper's rule by {paper:.2g} "
            f"({1 / (1 - chosen.momentum):.3g} times as much)"
        )
    if chosen.name == "sgdw":
        return (
            f"decay is not multiplied by the rate: weights shrink by {decay:.2g} per step for the "
            f"whole run, in the paper's rule by {paper:.2g} at rate {rate:g} and less after each "
            "drop of the rate"
        )
    return ""


def set_multipliers(optimizer: keras.optimizers.Optimizer, values: Sequence[float]) -> None:
    """Sets every variable's factor on the run's learning rate, for the updates to come.

    A factor of 0 freezes the variable; one that the network's table freezes stays so.

    Args:
        values: in the order of `model.trainable_variables`.
    """
    optimizer.multipliers.assign(values)


@contextlib.contextmanager
def averaged(optimizer: keras.optimizers.Optimizer, variables: Sequence[Any]) -> Any:
    """Within the `with`, `variables` hold the averages that `config.optimizer.averaging` keeps.

    Does nothing where none are kept.

    Args:
        variables: `model.trainable_variables`, which get their own values back at the end.
    """
    averages = addons.averages(optimizer, variables)
    if averages is None:
        yield
        return
    own = [tensorflow_variable(variable).numpy() for variable in variables]
    try:
        for variable, average in zip(variables, averages, strict=True):
            variable.assign(average)
        yield
    finally:
        for variable, value in zip(variables, own, strict=True):
            variable.assign(value)


def state(optimizer: keras.optimizers.Optimizer) -> dict[str, np.ndarray]:
    """The optimizer's variables by a name that is the same on every strategy and placement."""
    return {
        name: np.asarray(tensorflow_variable(variable).numpy())
        for name, variable in _variables(optimizer)
    }


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
    return float(f"{float(tensorflow_variable(optimizer.learning_rate).numpy()):.7g}")


def _variables(optimizer: keras.optimizers.Optimizer) -> list[tuple[str, Any]]:
    # Keras names slots after the variable, and differently in each version: their place in the
    # list is what stays. It follows the order of the model's trainable variables. Keras 2 does not
    # count the rate among the variables.
    own = [("iterations", optimizer.iterations), ("learning_rate", _rate_variable(optimizer))]
    slots = [
        variable
        for variable in addons.variables(optimizer) or optimizer.variables
        if not any(variable is other for _, other in own)
    ]
    return own + [(f"slot_{place:03d}", variable) for place, variable in enumerate(slots)]


def _rate_variable(optimizer: keras.optimizers.Optimizer) -> Any:
    # Keras 3's property returns the variable behind it, Keras 2's too, unless it is a schedule.
    legacy = not hasattr(optimizer, "_learning_rate")
    return optimizer.learning_rate if legacy else optimizer._learning_rate


def _is_keras_3() -> bool:
    return not keras.__version__.startswith("2.")
