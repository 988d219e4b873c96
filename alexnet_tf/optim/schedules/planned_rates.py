"""Learning rates that follow from the step alone: schedules, warm-up, scaling with the batch.

All are pure functions of the global step, so that a resumed run needs to remember nothing.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

from alexnet_common.errors import UsageError
from alexnet_tf.recipes import ConfigDict
from alexnet_tf.settings import catalog
from alexnet_tf.tables.schedules import Schedule

Plan = Callable[[int], float]
"""From a step, counted from 0, to the rate of its update, before warm-up."""


@dataclasses.dataclass(frozen=True)
class Length:
    """The length of a run in updates.

    Attributes:
        steps_per_epoch: updates per epoch.
        total_steps: updates from the first to the last; 0: not known.
    """

    steps_per_epoch: int
    total_steps: int

    def progress(self, step: int) -> float:
        """Share of the run that lies before `step`, in [0, 1].

        The 2012 code counts (batches done - 1) / (epochs * batches per epoch): 0 in the first
        update, and never quite 1.
        """
        return min(step / self.total_steps, 1.0) if self.total_steps else 0.0


def scaled_initial(config: ConfigDict) -> float:
    """`config.learning_rate.initial`, scaled once to `config.batch_size` by the rule it names.

    "linear": times k, where the batch is k times `reference_batch_size`; "square_root": times
    sqrt(k), which keeps the variance of the updates; "none".
    """
    settings = config.learning_rate
    if settings.scaling == "none":
        return float(settings.initial)
    ratio = config.batch_size / settings.reference_batch_size
    return float(settings.initial) * (ratio if settings.scaling == "linear" else math.sqrt(ratio))


def describe_scaling(config: ConfigDict) -> str:
    """One line on what `scaled_initial` did and by whose rule; empty where it does nothing."""
    settings = config.learning_rate
    if settings.scaling == "none":
        return ""
    return (
        f"learning rate {settings.initial:g} -> {scaled_initial(config):g} for batches of "
        f"{config.batch_size} instead of {settings.reference_batch_size}: "
        f"{catalog.meaning_of('learning_rate.scaling', settings.scaling)}"
    )


def warmup_steps(config: ConfigDict, length: Length) -> int:
    """Updates over which the rate rises linearly to its schedule; 0: none."""
    steps, epochs = config.learning_rate.warmup_steps, config.learning_rate.warmup_epochs
    return int(steps) if steps else round(epochs * length.steps_per_epoch)


def warmup_factor(step: int, steps: int) -> float:
    """Share of the scheduled rate that update `step` (from 0) uses: 1/steps, 2/steps, ... 1."""
    return min((step + 1) / steps, 1.0) if steps else 1.0


def depends_on_length(schedule: str) -> bool:
    """Whether the rate of a step changes when the run is made longer."""
    return schedule in ("step_exponential", "exponential", "polynomial", "cosine")


def make(config: ConfigDict, length: Length) -> Plan:
    """The plan that `config.learning_rate.schedule` names; with t = `length.progress(step)`:

    constant: initial. steps: initial * factor^(drop_epochs that have passed). exponential: initial
    * target_factor^-t. step_exponential: the 2012 `dexp`, in n = `stages` equal parts of the run,
    initial * target_factor^(-i / (n - 1)) in part i = 0 ... n - 1, where part i ends with the step
    at t = (i + 1) / n. polynomial: end + (initial - end) (1 - t)^power. cosine: from initial to end
    along half a cosine.

    Raises:
        UsageError: the length is not known, or the rate would rise to its end.
    """
    settings = config.learning_rate
    initial = scaled_initial(config)
    kind = settings.schedule
    if depends_on_length(kind) and not length.total_steps:
        raise UsageError(f"config.learning_rate.schedule={kind} needs the run's length")
    if kind == "constant":
        return lambda step: initial
    if kind == "steps":
        return _steps(initial, float(settings.factor), tuple(settings.drop_epochs), length)
    if kind in ("exponential", "step_exponential"):
        return _exponential(initial, settings, length)
    if kind in ("polynomial", "cosine"):
        return _falling(initial, settings, length)
    raise ValueError(kind)


def _steps(initial: float, factor: float, drop_epochs: tuple[float, ...], length: Length) -> Plan:
    drops = sorted(round(epoch * length.steps_per_epoch) for epoch in drop_epochs)
    return lambda step: initial * factor ** sum(step >= drop for drop in drops)


def _exponential(initial: float, settings: ConfigDict, length: Length) -> Plan:
    kind = "exp" if settings.schedule == "exponential" else "dexp"
    schedule = Schedule(kind, float(settings.target_factor), steps=int(settings.stages))
    return lambda step: initial * schedule.factor(length.progress(step))


def _falling(initial: float, settings: ConfigDict, length: Length) -> Plan:
    end, power = float(settings.end), float(settings.power)
    if end > initial:
        raise UsageError(
            f"config.learning_rate.end must be at most the initial rate {initial:g}, not {end:g}"
        )
    if settings.schedule == "polynomial":
        return lambda step: end + (initial - end) * (1.0 - length.progress(step)) ** power
    return lambda step: (
        end + (initial - end) * (1.0 + math.cos(math.pi * length.progress(step))) / 2.0
    )
