"""What watchers of a run are told: how an interval of steps went, and how an epoch did."""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Means:
    """Means over the examples of some steps, and what holds at their end.

    Attributes:
        epoch: that the last step belongs to, from 1.
        step: updates done.
        loss: mean cost; cross-entropy in nats, unless the network says otherwise.
        top_1_error, top_5_error: shares, 0..1.
        learning_rate: of the last step.
        loss_scale, skipped_updates: the factor on the loss, and the updates that the run has left
            out so far; None where the precision needs no factor.
    """

    epoch: int
    step: int
    loss: float
    top_1_error: float
    top_5_error: float
    learning_rate: float
    loss_scale: float | None = None
    skipped_updates: int | None = None


@dataclasses.dataclass(frozen=True)
class Norms:
    """l2 norms over all weights: of themselves, of the last gradient and of the last update."""

    parameter_norm: float
    gradient_norm: float | None = None
    update_norm: float | None = None


@dataclasses.dataclass(frozen=True)
class Speed:
    """Measured times, which differ from run to run; all else is determined by the seed.

    Attributes:
        images_per_second: while training.
        data_wait: share of that time in which the device waited for data.
    """

    images_per_second: float
    data_wait: float


@dataclasses.dataclass(frozen=True)
class Interval:
    """How the steps since the last log line went.

    Attributes:
        means, norms: of them.
        speed: None where only the first step was made, which compiles.
        seconds_left: training time to the end of the run; None before it can be told.
    """

    means: Means
    norms: Norms
    speed: Speed | None = None
    seconds_left: float | None = None

    def values(self) -> dict[str, Any]:
        """What the seed determines, by its name in metrics.jsonl."""
        return given(self.means) | given(self.norms)

    def timing(self) -> dict[str, float]:
        """What was measured by a clock."""
        return given(self.speed)


@dataclasses.dataclass(frozen=True)
class Validation:
    """Errors on the validation split after an epoch, and how long they took to measure.

    `costs` is `Errors.cost_means`: empty where the network has one cost.
    """

    loss: float
    top_1_error: float
    top_5_error: float
    count: int
    seconds: float
    costs: dict[str, dict[str, float]] = dataclasses.field(default_factory=dict)

    def values(self) -> dict[str, Any]:
        """The errors by their names in metrics.jsonl."""
        return {
            "val_loss": self.loss,
            "val_top_1_error": self.top_1_error,
            "val_top_5_error": self.top_5_error,
            "val_count": self.count,
        } | {
            f"val_{name}_{cost}": value
            for cost, found in self.costs.items()
            for name, value in found.items()
        }


@dataclasses.dataclass(frozen=True)
class Epoch:
    """How an epoch went.

    Attributes:
        means: over all its steps.
        speed: None where it has no step but the first one of this process.
        train_seconds: of its steps in this process, the first one left out.
        validation: None where the epoch was not evaluated.
        is_best: its validation error is lower than that of every epoch before.
        seconds_left: training time to the end of the run; None before it can be told.
        peak_memory: the most host memory that this process has had so far, in bytes.
    """

    means: Means
    speed: Speed | None = None
    train_seconds: float = 0.0
    validation: Validation | None = None
    is_best: bool = False
    seconds_left: float | None = None
    peak_memory: int | None = None

    def values(self) -> dict[str, Any]:
        """What the seed determines, by its name in metrics.jsonl."""
        return given(self.means) | (self.validation.values() if self.validation else {})

    def timing(self) -> dict[str, float]:
        """What was measured on the machine."""
        times = given(self.speed) | {"train_seconds": self.train_seconds}
        if self.validation is not None:
            times["evaluation_seconds"] = self.validation.seconds
        if self.peak_memory is not None:
            times["peak_memory"] = self.peak_memory
        return times


def given(record: Any) -> dict[str, Any]:
    """The fields of a record that are not None, by name, in their order."""
    return {k: v for k, v in dataclasses.asdict(record).items() if v is not None} if record else {}
