"""When the learning rate falls: the plateau rule with its state, and rates that are planned.

A rule is a Keras callback that besides answers, for every update, what its rates are:
`rate_at(step)`, `multipliers_at(step)` and `color_noise_at(step)`. What it must remember across a
restart is in `get_state` / `set_state`; all the rest follows from the step.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from alexnet_common.errors import UserError
from alexnet_common.messages import log
from alexnet_tf.config import ConfigDict
from alexnet_tf.model.layers import VariableSettings
from alexnet_tf.optim import optimizer as optimizers
from alexnet_tf.optim.schedules import planned_rates
from alexnet_tf.optim.schedules.diary import Diary
from alexnet_tf.optim.schedules.planned_rates import Length, Plan, scaled_initial

__all__ = ["LearningRate", "PlannedRate", "PlateauWithState", "apply", "make", "scaled_initial"]


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
    warmup_steps: int = 0
    settings: tuple[VariableSettings, ...] = ()
    seed: int = 0


class Rule:
    """What the rules share; `planned_rate` says which rate a step has before warm-up."""

    setup: Setup
    # Says nothing when it changes the rate.
    quiet = False

    def planned_rate(self, step: int) -> float:
        """The rate of update `step`, counted from 0, before warm-up."""
        raise NotImplementedError

    def rate_at(self, step: int) -> float | None:
        """The learning rate of update `step`, counted from 0; None: as the optimizer has it."""
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

    def say(self, text: str) -> None:
        """Logs what has become of the rates, unless it is to be quiet."""
        if not self.quiet:
            log(text)


def apply(rule: Rule, optimizer: keras.optimizers.Optimizer, step: int) -> None:
    """Gives the optimizer the rates of update `step`, counted from 0; called before the update."""
    rate = rule.rate_at(step)
    if rate is not None:
        optimizer.learning_rate = rate
    multipliers = rule.multipliers_at(step)
    if multipliers is not None:
        optimizers.set_multipliers(optimizer, multipliers)


class PlateauWithState(Rule, keras.callbacks.ReduceLROnPlateau):
    """Keras' `ReduceLROnPlateau` that survives a restart and cuts a bounded number of times.

    Keras resets best value and patience whenever training begins, so a resumed run would wait
    anew. Section 5 divides by 10 "three times prior to termination": `max_drops`. The rate is the
    initial one times factor^drops; warm-up rises towards it.
    """

    def __init__(self, *, setup: Setup, max_drops: int, **arguments: Any):
        super().__init__(mode="min", **arguments)
        self.setup = setup
        self.max_drops = max_drops
        self.drops = 0
        self._restored: dict[str, Any] | None = None

    def planned_rate(self, step: int) -> float:
        """The initial rate after the cuts so far, whatever the step."""
        return self.setup.initial * self.factor**self.drops

    def get_state(self) -> dict[str, Any]:
        """Best value, epochs waited, cooldown and drops so far, as JSON numbers."""
        best = self.best
        return {
            "best": None if best is None or not np.isfinite(best) else float(best),
            "wait": int(self.wait),
            "cooldown": int(self.cooldown_counter),
            "drops": int(self.drops),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores `get_state`; the patience takes effect when training begins."""
        self._restored = dict(state)
        self.drops = state["drops"]

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Resets as Keras does, then restores."""
        super().on_train_begin(logs)
        if self._restored is not None:
            if self._restored["best"] is not None:
                self.best = self._restored["best"]
            self.wait = self._restored["wait"]
            self.cooldown_counter = self._restored["cooldown"]

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Cuts the rate when the monitored error has not improved for `patience` epochs."""
        logs = logs if logs is not None else {}
        if self.monitor not in logs:
            return  # An epoch without validation says nothing about a plateau.
        if logs.get("step", 0) % self.setup.length.steps_per_epoch:
            return  # Cut short by config.train_steps: it is evaluated again when it is whole.
        if self.drops >= self.max_drops:
            self.wait = -1  # Keras cuts at wait + 1 >= patience: keep counting from below.
        # Keras cuts the optimizer's rate, which in a warm-up is not yet the rule's.
        self.model.optimizer.learning_rate = self.planned_rate(0)
        before = optimizers.learning_rate(self.model.optimizer)
        super().on_epoch_end(epoch, logs)
        after = optimizers.learning_rate(self.model.optimizer)
        if after < before:
            self.drops += 1
            self.model.optimizer.learning_rate = self.planned_rate(0)
            self.say(
                f"epoch {epoch + 1}: {self.monitor} has not improved for {self.patience} epochs; "
                f"learning rate {before:g} -> {after:g} (drop {self.drops} of {self.max_drops})"
            )


class PlannedRate(Rule, keras.callbacks.Callback):
    """Rates that follow from the step.

    Args:
        setup: what it knows of its run.
        plan: the rate of a step before warm-up.
        schedule: the config's name of the plan.
    """

    def __init__(self, setup: Setup, plan: Plan, schedule: str):
        super().__init__()
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
                f"which was {before} steps and now is {now}: resume with the length it began with, "
                "or start another run"
            )

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Sets the rate of the next epoch's first step, and says what was planned for it."""
        for line in self.changes(epoch):
            self.say(f"epoch {epoch + 1}: {line}, as planned")
        self.model.optimizer.learning_rate = self.rate_at(self._first_step(epoch + 1))

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


LearningRate = PlateauWithState | PlannedRate


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
    if scaling := planned_rates.describe_scaling(config):
        log(scaling)
    setup = Setup(
        initial,
        length,
        planned_rates.warmup_steps(config, length),
        tuple(settings),
        int(config.seed),
    )
    if chosen.schedule == "plateau":
        return PlateauWithState(
            setup=setup,
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
