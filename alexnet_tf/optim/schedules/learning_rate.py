"""When the learning rate falls: the plateau rule with its state, and rates that are planned.

A rule answers, for every update, what its rates are (`rates_at`); at the end of an epoch it is told
the errors and says in words what changes. What it must remember across a restart is in `get_state`
/ `set_state`; all the rest follows from the step. `apply` is the one place that gives rates to an
optimizer.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from alexnet_common.errors import UserError
from alexnet_tf.model.layers import VariableSettings
from alexnet_tf.optim import optimizer as optimizers
from alexnet_tf.optim.schedules import planned_rates
from alexnet_tf.optim.schedules.diary import Diary
from alexnet_tf.optim.schedules.planned_rates import Length, Plan, scaled_initial
from alexnet_tf.recipes import ConfigDict

__all__ = ["LearningRate", "PlannedRate", "Plateau", "Rates", "apply", "make", "scaled_initial"]


@dataclasses.dataclass(frozen=True)
class Setup:
    """What every rule knows of its run.

    Attributes:
        initial: the rate at the start, scaled to the batch.
        length: of the run.
        warmup_steps: updates over which the rate rises to its schedule.
        settings: how each variable learns, in the order of the optimizer's variables.
        seed: the run's, for schedules with noise.
    """

    initial: float
    length: Length
    warmup_steps: int
    settings: tuple[VariableSettings, ...]
    seed: int


class Rates(NamedTuple):
    """What one update learns with.

    Attributes:
        rate: the run's learning rate.
        multipliers: every variable's factor on it; None: no variable ever has another than the
            table's.
        color_noise: standard deviation of the colour noise; None: the recipe's.
    """

    rate: float
    multipliers: tuple[float, ...] | None = None
    color_noise: float | None = None


class Rule:
    """What the rules share; `planned_rate` says which rate a step has before warm-up."""

    setup: Setup

    def rates_at(self, step: int) -> Rates:
        """The rates of update `step`, counted from 0."""
        return Rates(self.rate_at(step), self.multipliers_at(step), self.color_noise_at(step))

    def end_epoch(self, step: int, errors: Mapping[str, float]) -> list[str]:
        """What changes with the end of an epoch, one line each.

        Args:
            step: updates done; an epoch that config.train_steps cut short changes nothing.
            errors: the epoch's means by their names in metrics.jsonl, such as "val_top_1_error",
                as far as they were measured.
        """
        raise NotImplementedError

    def get_state(self) -> dict[str, Any]:
        """What a checkpoint keeps, for JSON."""
        raise NotImplementedError

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes on from what `get_state` gave."""
        raise NotImplementedError

    def planned_rate(self, step: int) -> float:
        """The rate of update `step`, counted from 0, before warm-up."""
        raise NotImplementedError

    def rate_at(self, step: int) -> float:
        """The learning rate of update `step`, counted from 0."""
        return self.planned_rate(step) * self.warmup_factor(step)

    def warmup_factor(self, step: int) -> float:
        """Share of its planned rate that update `step` uses."""
        return planned_rates.warmup_factor(step, self.setup.warmup_steps)

    def variable_rates_at(self, step: int) -> dict[int, float]:
        """Rates of their own that variables have in update `step` before warm-up, by their place.

        From the schedules of the network's table (`schedW`, `schedB` of the 2012 files), whose
        noise is a function of the seed, the step and the variable.
        """
        rates = {}
        for place, variable in enumerate(self.setup.settings):
            schedule = variable.schedule
            if schedule is None:
                continue
            normal = 0.0
            if schedule.noise:
                normal = np.random.default_rng((self.setup.seed, step, place)).normal()
            base = self.setup.initial * variable.learning_rate_multiplier
            rates[place] = schedule.rate(base, self.setup.length.progress(step), normal)
        return rates

    def has_variable_rates(self) -> bool:
        """Whether a variable has a rate of its own in any step."""
        return any(variable.schedule for variable in self.setup.settings)

    def multipliers_at(self, step: int) -> tuple[float, ...] | None:
        """Every variable's factor on the run's rate in update `step`.

        None: no variable ever has another than the table's.
        """
        if not self.has_variable_rates():
            return None
        rates = self.variable_rates_at(step)
        rate = self.planned_rate(step)
        return tuple(
            rates[place] / rate if place in rates else variable.learning_rate_multiplier
            for place, variable in enumerate(self.setup.settings)
        )

    def color_noise_at(self, step: int) -> float | None:
        """Standard deviation of the colour noise in update `step`; None: the recipe's."""
        return None


def apply(rates: Rates, optimizer: keras.optimizers.Optimizer) -> None:
    """Gives the optimizer the rates of the updates to come."""
    optimizer.learning_rate = rates.rate
    if rates.multipliers is not None:
        optimizers.set_multipliers(optimizer, rates.multipliers)


class Plateau(Rule):
    """Keras' `ReduceLROnPlateau`, which survives a restart and cuts a bounded number of times.

    Keras decides when; it lowers a rate that is kept for it alone, down to its `min_lr`. The rate
    of the updates is the initial one times factor^drops; warm-up rises towards it. Section 5
    divides by 10 "three times prior to termination": `max_drops`.

    Args:
        setup: what it knows of its run.
        monitor: which of the epoch's means it watches; the lower the better.
        factor: of one cut.
        patience: epochs without an improvement before a cut.
        min_delta: by how much the mean must fall to count as an improvement.
        max_drops: cuts at most.
    """

    def __init__(
        self,
        setup: Setup,
        *,
        monitor: str,
        factor: float,
        patience: int,
        min_delta: float,
        max_drops: int,
    ):
        self.setup, self.monitor, self.factor, self.max_drops = setup, monitor, factor, max_drops
        self.drops = 0
        self._keras = keras.callbacks.ReduceLROnPlateau(
            monitor,
            factor,
            patience,
            mode="min",
            min_delta=min_delta,
            min_lr=_cut(setup.initial, factor, max_drops),
        )
        self._decided = _RateForKeras(setup.initial)
        self._keras.set_model(self._decided)
        self._keras.on_train_begin()

    def planned_rate(self, step: int) -> float:
        """The initial rate after the cuts so far, whatever the step."""
        return self.setup.initial * self.factor**self.drops

    def get_state(self) -> dict[str, Any]:
        """Best value, epochs waited, cooldown and drops so far, as JSON numbers."""
        rule = self._keras
        exhausted = self.drops >= self.max_drops
        return {
            "best": None if rule.best is None or not np.isfinite(rule.best) else float(rule.best),
            # After the last cut nothing is waited for.
            "wait": 0 if exhausted else int(rule.wait),
            "cooldown": int(rule.cooldown_counter),
            "drops": int(self.drops),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores `get_state`."""
        if state["best"] is not None:
            self._keras.best = state["best"]
        self._keras.wait = state["wait"]
        self._keras.cooldown_counter = state["cooldown"]
        self.drops = state["drops"]
        self._decided.learning_rate = _cut(self.setup.initial, self.factor, self.drops)

    def end_epoch(self, step: int, errors: Mapping[str, float]) -> list[str]:
        """Cuts the rate when the monitored error has not improved for `patience` epochs."""
        steps_per_epoch = self.setup.length.steps_per_epoch
        if self.monitor not in errors:
            return []  # An epoch without validation says nothing about a plateau.
        if step % steps_per_epoch:
            return []  # Cut short by config.train_steps: it is evaluated again when it is whole.
        epoch = step // steps_per_epoch
        before, decided = self.planned_rate(step), float(self._decided.learning_rate)
        self._keras.on_epoch_end(epoch - 1, {self.monitor: errors[self.monitor]})
        if float(self._decided.learning_rate) >= decided:
            return []
        self.drops += 1
        return [
            f"epoch {epoch}: {self.monitor} has not improved for {self._keras.patience} epochs; "
            f"learning rate {before:g} -> {self.planned_rate(step):g} "
            f"(drop {self.drops} of {self.max_drops})"
        ]


class _RateForKeras:
    """The part of a model that `ReduceLROnPlateau` uses: an optimizer's rate, read and lowered."""

    def __init__(self, rate: float):
        self.optimizer = self
        # Keras 2 calls it `lr` and assigns to the variable, Keras 3 to the attribute.
        self.lr = tf.Variable(rate, trainable=False, dtype=tf.float64)

    @property
    def learning_rate(self) -> tf.Variable:
        return self.lr

    @learning_rate.setter
    def learning_rate(self, rate: float) -> None:
        self.lr.assign(rate)


def _cut(rate: float, factor: float, times: int) -> float:
    """A rate after so many cuts, rounded as one cut after the other rounds it."""
    for _ in range(times):
        rate *= factor
    return rate


class PlannedRate(Rule):
    """Rates that follow from the step.

    Args:
        setup: what it knows of its run.
        plan: the rate of a step before warm-up.
        schedule: the config's name of the plan.
    """

    def __init__(self, setup: Setup, plan: Plan, schedule: str):
        self.setup, self.schedule = setup, schedule
        self._plan = plan

    def planned_rate(self, step: int) -> float:
        """The plan's."""
        return self._plan(step)

    def get_state(self) -> dict[str, Any]:
        """The run's length where the plan depends on it: a longer run would be another one."""
        own = any(variable.schedule for variable in self.setup.settings)
        if own or planned_rates.depends_on_length(self.schedule):
            return {"total_steps": self.setup.length.total_steps}
        return {}

    def set_state(self, state: dict[str, Any]) -> None:
        """Checks that the plan is still the same one.

        Raises:
            UserError: the run has been made longer or shorter, and its plan with it.
        """
        before, now = state.get("total_steps"), self.setup.length.total_steps
        if before is not None and before != now:
            raise UserError(
                "a learning rate schedule of this run stretches over its whole length, "
                f"which was {before:,} steps and now is {now:,}: resume with the length it began "
                "with, or start another run"
            )

    def end_epoch(self, step: int, errors: Mapping[str, float]) -> list[str]:
        """What was planned for the end of this epoch."""
        epoch, more = divmod(step, self.setup.length.steps_per_epoch)
        if more:
            return []
        return [f"epoch {epoch}: {line}, as planned" for line in self.changes(epoch - 1)]

    def changes(self, epoch: int) -> list[str]:
        """What changes after epoch `epoch`, counted from 0, in words."""
        before, after = (self.planned_rate(self._first_step(e)) for e in (epoch, epoch + 1))
        drops = self.schedule == "steps" and after < before
        return [f"learning rate -> {after:g}"] if drops else []

    def _first_step(self, epoch: int) -> int:
        return epoch * self.setup.length.steps_per_epoch


class DiaryRule(PlannedRate):
    """A manual schedule: rates of the run and of single variables, and the colour noise."""

    def __init__(self, setup: Setup, diary: Diary):
        super().__init__(setup, lambda step: diary.rate(self._epoch(step)), "diary")
        self.diary = diary
        self._names = [variable.name for variable in setup.settings]
        if self._names:
            diary.check(self._names)
        self._rates_of_epoch: tuple[int, dict[int, float]] = (-1, {})

    def has_variable_rates(self) -> bool:
        """Whether the diary or the network's table names any."""
        return self.diary.names_variables() or super().has_variable_rates()

    def variable_rates_at(self, step: int) -> dict[int, float]:
        """The diary's, else those of the network's table."""
        epoch = self._epoch(step)
        if self._rates_of_epoch[0] != epoch:
            # Asked several times per step.
            self._rates_of_epoch = epoch, self.diary.variable_rates(epoch, self._names)
        return super().variable_rates_at(step) | self._rates_of_epoch[1]

    def color_noise_at(self, step: int) -> float | None:
        """The diary's."""
        return self.diary.color_noise(self._epoch(step))

    def changes(self, epoch: int) -> list[str]:
        """The entries for the end of epoch `epoch`, counted from 0."""
        return self.diary.describe(epoch + 1)

    def _epoch(self, step: int) -> int:
        return step // self.setup.length.steps_per_epoch


LearningRate = Plateau | PlannedRate


def make(
    config: ConfigDict,
    *,
    steps_per_epoch: int = 1,
    total_steps: int = 0,
    settings: Sequence[VariableSettings] = (),
) -> LearningRate:
    """The rule that `config.learning_rate.schedule` names.

    Args:
        config: a recipe.
        steps_per_epoch, total_steps: the length of the run in updates.
        settings: how each variable learns, as `model.build.variable_settings` returns them.

    Raises:
        UsageError: values that mean nothing for this network or this length.
    """
    chosen = config.learning_rate
    length = Length(steps_per_epoch, total_steps)
    initial = scaled_initial(config)
    setup = Setup(
        initial,
        length,
        planned_rates.warmup_steps(config, length),
        tuple(settings),
        int(config.seed),
    )
    if chosen.schedule == "plateau":
        return Plateau(
            setup,
            monitor=chosen.monitor,
            factor=float(chosen.factor),
            patience=int(chosen.patience_epochs),
            min_delta=float(chosen.min_delta),
            max_drops=int(chosen.max_drops),
        )
    if chosen.schedule == "diary":
        scale = initial / float(chosen.initial)
        return DiaryRule(setup, Diary(chosen.diary, initial, scale))
    return PlannedRate(setup, planned_rates.make(config, length), chosen.schedule)
