"""Learning settings of weight layers: sections of a parameter file, or their stand-ins.

Shipped parameter files of the run archive hold the last, hand-edited state of a run: rates that
have fallen to their end, and first layers that were frozen late. A run from scratch needs the
rates of its beginning.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from alexnet_common.errors import UserError
from alexnet_tf.tables import rows, schedules
from alexnet_tf.tables.cuda_convnet.ini import Section
from alexnet_tf.tables.cuda_convnet.values import Values

MODES = ("auto", "file", "start")
_DEAD_KEYS = ("wcNorm", "superMom")


def _falls(values: Values) -> bool:
    """Whether rates of a section follow a schedule: `default` is that of annealing by hand."""
    named = {"schedw", "schedb", "sched"} & values.section.options.keys()
    return any(values.section.options[key].value.lower() != "default" for key in named)


@dataclass
class Rates:
    """Which rates training begins with.

    Attributes:
        mode: "file": those of the file, 0 freezes; "start": `start` and `start_bias` for all;
            "auto": the file's if they are a beginning (the examples of 2011, and files with
            schedules, whose frozen matrices get the rate of the others), else "start".
        start, start_bias: rates at the beginning of a run.
        base: the run's learning rate, which multipliers refer to.
        strict: read schedules as the final 2012 code did.
    """

    mode: str
    start: float
    start_bias: float
    base: float
    strict: bool
    notes: dict[str, None] = field(default_factory=dict)
    _resolved: str = ""
    _thawed: tuple[float, float] = (0.0, 0.0)

    def resolve(self, sections: Sequence[Section], example_dialect: bool) -> None:
        """Decides what "auto" means for these sections of a parameter file, of weight layers."""
        self._resolved = self.mode
        rates = [Values(s) for s in sections if "epsw" in s.options]
        if not rates:
            return
        weights = [v.numbers("epsW", v.text("epsW").count(",") + 1) for v in rates]
        biases = [v.number("epsB", 0.0) for v in rates]
        highest = max(max(values) for values in weights)
        if self.mode != "auto":
            pass
        elif example_dialect:
            self._resolved = "file"
        elif any(map(_falls, rates)) and highest > 0:
            self._resolved = "scheduled"
            self._thawed = (highest, max(biases))
        else:
            self._resolved = "start"
        frozen = any(rate <= 0 for values in weights for rate in values)
        if self._resolved == "start":
            self.note(
                f"the parameter file holds the last state of a run (rates up to {highest:g}"
                f"{', some frozen' if frozen else ''}); training begins with {self.start:g} for "
                f"weights and {self.start_bias:g} for biases"
            )
        elif self._resolved == "scheduled" and frozen:
            self.note(
                f"layers that the parameter file froze late in the run begin with {highest:g}"
            )
        elif frozen:
            self.note("layers with a rate of 0 in the parameter file are frozen")
        if self._resolved != "start" and highest > 0:
            self.note(
                f"training begins with the parameter file's rates, up to {highest:g} for weights; "
                f"the rate in the log begins at {self.base:g} and stands for them"
            )

    def note(self, text: str) -> None:
        """Remembers something to tell the user, once."""
        self.notes[text] = None

    def weights(
        self, values: Values | None, init: list[float], sources: list[str], kind: str
    ) -> list[dict[str, Any]]:
        """Fields of `rows.Weights` for each input of a layer of the type `kind`.

        What the 2012 layer of this type did not read is not read here: limits on the norms of
        filters are those of `conv`, and `treefc` has neither schedules nor limits.
        """
        fields: list[dict[str, Any]] = [
            {"init_stddev": stddev, "source": source}
            for stddev, source in zip(init, sources, strict=True)
        ]
        if values is None:
            return fields
        count = len(init)
        momenta = values.numbers("momW", count, low=0, high=1)
        decays = values.numbers("wc", count, 0.0, low=0)
        for key in _DEAD_KEYS:
            values.has(key)
        for index, rate in enumerate(values.numbers("epsW", count)):
            fields[index] |= {
                "learning_rate_multiplier": self._multiplier(rate, bias=False),
                "weight_decay": decays[index],
                "momentum": momenta[index],
            }
        if kind != "treefc":
            if values.number("superEps", 0.0) > 0:
                raise values.error("is not supported above 0 (no shipped file uses it)", "superEps")
            schedule = self._schedule(values, "schedW")
            for field, ball in zip(fields, values.numbers("wball", count, 0.0), strict=True):
                field |= {"norm_ball": max(ball, 0.0), "schedule": schedule}
        if kind == "conv":
            lows = values.numbers("wcNormMin", count, 0.0)
            highs = values.numbers("wcNormMax", count, 0.0)
            for field, low, high in zip(fields, lows, highs, strict=True):
                if low > high:
                    raise values.error("must not be above wcNormMax", "wcNormMin")
                field["norm_range"] = (low, high) if high > 0 else (0.0, 0.0)
        return fields

    def bias(self, values: Values | None, init: float, *, scheduled: bool = True) -> rows.Bias:
        """The bias of a layer; `scheduled`: whether its type has schedules."""
        if values is None:
            return rows.Bias(init=init)
        return rows.Bias(
            init=init,
            learning_rate_multiplier=self._multiplier(values.number("epsB"), bias=True),
            momentum=values.number("momB", low=0, high=1),
            schedule=self._schedule(values, "schedB") if scheduled else None,
        )

    def _multiplier(self, rate: float, *, bias: bool) -> float:
        if self._resolved == "start":
            rate = self.start_bias if bias else self.start
        elif self._resolved == "scheduled" and rate <= 0:
            rate = self._thawed[bias]
        return max(rate, 0.0) / self.base

    def _schedule(self, values: Values, key: str) -> schedules.Schedule | None:
        if not values.has(key) and not self.strict and values.has("sched"):
            # The oldest notation: one key for weights and biases alike.
            key = "sched"
        if not values.has(key):
            return None
        try:
            # In runs 161 and 172 the step between was the rate before (a comment in 174's file).
            early = re.search(r"params-(161|172)\.cfg$", values.section.file)
            schedule = schedules.parse(
                values.text(key), strict=self.strict, jumps_back=early is not None
            )
        except UserError as error:
            raise values.error(str(error), key) from None
        return None if schedule.kind == "default" else schedule
