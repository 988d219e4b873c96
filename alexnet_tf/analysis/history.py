"""How a run went so far, from its metrics.jsonl; of a run that trains right now too."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alexnet_common.errors import UserError

# A rate that falls more often than this falls all the time: its curve shows it, marks would not.
MOST_CUTS = 12


@dataclasses.dataclass(frozen=True)
class RateCut:
    """The learning rate fell after `step`; `epoch` is a fraction, or None in the first epoch."""

    step: int
    epoch: float | None
    before: float
    after: float


@dataclasses.dataclass(frozen=True)
class History:
    """The lines of metrics.jsonl, in their order.

    Attributes:
        intervals: of the kind "train": means over the last updates.
        epochs: of the kind "epoch": means over an epoch, and validation errors where measured.
    """

    intervals: list[dict[str, Any]]
    epochs: list[dict[str, Any]]

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Both kinds by step; at the same step the interval first."""
        return sorted([*self.intervals, *self.epochs], key=lambda line: line["step"])

    @property
    def validated(self) -> list[dict[str, Any]]:
        """Epochs with validation errors."""
        return [line for line in self.epochs if "val_top_1_error" in line]

    @property
    def best(self) -> dict[str, Any] | None:
        """The epoch with the lowest top-1 validation error; of equal ones the first."""
        return min(self.validated, key=lambda line: line["val_top_1_error"], default=None)

    @property
    def steps_per_epoch(self) -> float | None:
        """Updates per epoch; None before the first one has ended."""
        return self.epochs[0]["step"] / self.epochs[0]["epoch"] if self.epochs else None

    @property
    def images_per_second(self) -> float | None:
        """The median over the intervals' speeds."""
        speeds = sorted(
            line["timing"]["images_per_second"]
            for line in self.intervals
            if line.get("timing", {}).get("images_per_second")
        )
        return speeds[len(speeds) // 2] if speeds else None

    @property
    def seconds(self) -> float:
        """Time of the finished epochs, their evaluations included."""
        keys = ("train_seconds", "evaluation_seconds")
        return sum(line.get("timing", {}).get(key, 0.0) for line in self.epochs for key in keys)

    def rate_cuts(self) -> list[RateCut]:
        """Where the learning rate fell; none where it falls all the time."""
        cuts = []
        lines = [line for line in self.lines if "learning_rate" in line]
        for line, following in zip(lines, lines[1:], strict=False):
            before, after = line["learning_rate"], following["learning_rate"]
            if after < before and not math.isclose(before, after, rel_tol=1e-6):
                per_epoch = self.steps_per_epoch
                epoch = line["step"] / per_epoch if per_epoch else None
                cuts.append(RateCut(line["step"], epoch, before, after))
        return cuts if len(cuts) <= MOST_CUTS else []


def read(path: Path) -> History:
    """The history in `path`; an empty one where the run has not written anything yet.

    A last line that is being written is left out.

    Raises:
        UserError: another line is damaged.
    """
    try:
        text = path.read_text(errors="replace")
    except FileNotFoundError:
        return History([], [])
    kinds: dict[str, list[dict[str, Any]]] = {"train": [], "epoch": []}
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        try:
            values = json.loads(line)
            kinds.setdefault(values["kind"], []).append(values | {"step": int(values["step"])})
        except (ValueError, KeyError, TypeError) as error:
            if number == len(lines):
                break
            raise UserError(
                f"{path}: line {number} is damaged; the training command drops it and what "
                "follows when it resumes"
            ) from error
    return History(kinds["train"], kinds["epoch"])


def column(lines: Sequence[dict[str, Any]], key: str) -> tuple[list[int], list[float]]:
    """Steps and values of the lines that have `key`."""
    having = [line for line in lines if key in line]
    return [line["step"] for line in having], [float(line[key]) for line in having]
