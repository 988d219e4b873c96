"""A verdict on measurements: computed from an interval, never typed.

- reproduced: the interval of the effect lies above 0.
- contradicted: it lies below the smallest effect worth the claim.
- inconclusive: neither, or the planned seeds are not there yet; with the seeds it would take.
- not run: an arm has no row.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from alexnet_tf.claims import statistics

Word = Literal["reproduced", "contradicted", "inconclusive", "not run"]
ALPHA = 0.05
# Rows of one budget, by arm and seed: a measured number, or None where a run did not reach it.
Values = Mapping[str, Mapping[int, "float | None"]]


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What the rows say.

    Attributes:
        word: see the module.
        reason: one sentence.
        effect: with its interval, where there are pairs.
        seeds_needed: per arm, where it is inconclusive and a number can be given.
        smallest_detectable: with the pairs at hand, at 80% power.
    """

    word: Word
    reason: str
    effect: statistics.Effect | None = None
    seeds_needed: int | None = None
    smallest_detectable: float | None = None


def missing(values: Values, arms: Sequence[str]) -> Verdict | None:
    """The verdict "not run", where one of the arms has no row."""
    absent = [arm for arm in arms if not values.get(arm)]
    if absent:
        return Verdict("not run", f"no row of {', '.join(absent)}")
    return None


def finite_numbers(values: Values, arm: str) -> list[float] | Verdict:
    """An arm's measurements in the order of their seeds, or why there is no verdict on them."""
    not_run = missing(values, (arm,))
    if not_run:
        return not_run
    numbers = [values[arm][seed] for seed in sorted(values[arm])]
    finite = [float(number) for number in numbers if number is not None and math.isfinite(number)]
    if len(finite) < len(numbers):
        return Verdict("inconclusive", "a run has no finite measurement")
    return finite


def judge(
    differences: Sequence[float], planned: int, worth: float, unit: str, scale: float
) -> Verdict:
    """The latest look's interval against 0 and against the smallest effect worth the claim.

    Args:
        differences: of pairs of seeds, positive in the direction of the claim.
        planned: pairs at the first look.
        worth: the smallest effect worth the claim.
        unit, scale: for the words: numbers are shown times `scale`.
    """
    if not differences:
        return Verdict("inconclusive", "the arms have no seed in common")
    counted, alpha = statistics.level_at(len(differences), planned, ALPHA)
    if not counted:
        effect = statistics.paired_effect(differences, alpha)
        return Verdict(
            "inconclusive",
            f"{len(differences)} of {planned} planned pairs of seeds are there",
            effect,
        )
    effect = statistics.paired_effect(differences[:counted], alpha)
    detectable = statistics.smallest_detectable(effect.deviation, counted, alpha)
    text = (
        f"effect {effect.mean * scale:+.2f} {unit}, {effect.confidence:.2%} interval "
        f"{effect.low * scale:+.2f} to {effect.high * scale:+.2f}, {counted} pairs of seeds"
    ).replace("  ", " ")
    if effect.low > 0:
        return Verdict("reproduced", text, effect, None, detectable)
    if effect.high < worth:
        return Verdict("contradicted", text, effect, None, detectable)
    needed = statistics.seeds_needed(worth, effect.deviation, alpha / 2)
    if detectable is not None:
        shown = f"{detectable * scale:.2g} {unit}".rstrip()
        text += f", which show differences of {shown} four times in five"
    return Verdict("inconclusive", text, effect, needed, detectable)


def as_row(verdict: Verdict) -> dict[str, Any]:
    """For JSON: unbounded ends become None."""
    row = dataclasses.asdict(verdict)
    if row["effect"]:
        row["effect"] = {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in row["effect"].items()
        }
    return row
