"""A manual schedule as data: what was changed by hand after which epoch of a run.

The 2012 runs were stopped, edited and started again. An entry is (epoch, what, value): from when
so many epochs are done, `what` has this value. `what` is one of

    "rate"           the run's learning rate
    "color_noise"    standard deviation of the colour noise's draws; 0 switches it off
    a pattern        learning rate of the variables that it matches ("conv1*/kernel*", "*/bias"),
                     whatever the run's rate is; 0 freezes them
"""

from __future__ import annotations

import dataclasses
import fnmatch
from collections.abc import Iterable, Sequence
from typing import Any

from alexnet_common.errors import UsageError

RATE = "rate"
COLOR_NOISE = "color_noise"


@dataclasses.dataclass(frozen=True)
class Entry:
    """From epoch `epoch` on (epochs done before it), `what` is `value`."""

    epoch: int
    what: str
    value: float


class Diary:
    """The entries of a run, in the order of their epochs; a later one overrides an earlier one.

    Args:
        entries: (epoch, what, value) tuples, as the settings' check lets them through.
        initial: the run's rate until an entry changes it.
        scale: factor on all learning rates that entries give (the batch's scaling rule).
    """

    def __init__(self, entries: Iterable[Any], initial: float, scale: float = 1.0):
        parsed = [Entry(int(epoch), what, float(value)) for epoch, what, value in entries]
        self.entries = tuple(sorted(parsed, key=lambda entry: entry.epoch))
        self.initial, self.scale = initial, scale

    def check(self, names: Sequence[str]) -> None:
        """Raises UsageError if a pattern matches none of the variables called `names`."""
        for entry in self._patterns(self.entries):
            if not fnmatch.filter(names, entry.what):
                raise UsageError(
                    f"config.learning_rate.diary: no variable matches {entry.what!r} (epoch "
                    f"{entry.epoch}); there are {', '.join(names[:6])}, ..."
                )

    def names_variables(self) -> bool:
        """Whether any entry is about single variables."""
        return bool(self._patterns(self.entries))

    def rate(self, epoch: int) -> float:
        """The run's learning rate in epoch `epoch`, counted from 0."""
        rate = self._last(RATE, epoch)
        return self.initial if rate is None else rate * self.scale

    def color_noise(self, epoch: int) -> float | None:
        """Standard deviation of the colour noise in epoch `epoch`, or None for the recipe's."""
        return self._last(COLOR_NOISE, epoch)

    def variable_rates(self, epoch: int, names: Sequence[str]) -> dict[int, float]:
        """Learning rates of single variables in epoch `epoch`, by their place in `names`."""
        rates = {}
        for entry in self._patterns(self._until(epoch)):
            for place, name in enumerate(names):
                if fnmatch.fnmatchcase(name, entry.what):
                    rates[place] = entry.value * self.scale
        return rates

    def describe(self, epoch: int) -> list[str]:
        """What changes when `epoch` epochs are done, in words."""
        lines = []
        for entry in self.entries:
            if entry.epoch == epoch:
                scaled = entry.value if entry.what == COLOR_NOISE else entry.value * self.scale
                what = {
                    RATE: "learning rate",
                    COLOR_NOISE: "colour noise",
                }.get(entry.what, f"learning rate of {entry.what}")
                lines.append(f"{what} -> {scaled:g}{', frozen' if _freezes(entry) else ''}")
        return lines

    def _until(self, epoch: int) -> list[Entry]:
        return [entry for entry in self.entries if entry.epoch <= epoch]

    def _last(self, what: str, epoch: int) -> float | None:
        values = [entry.value for entry in self._until(epoch) if entry.what == what]
        return values[-1] if values else None

    @staticmethod
    def _patterns(entries: Iterable[Entry]) -> list[Entry]:
        return [entry for entry in entries if entry.what not in (RATE, COLOR_NOISE)]


def _freezes(entry: Entry) -> bool:
    return entry.value == 0 and entry.what != COLOR_NOISE
