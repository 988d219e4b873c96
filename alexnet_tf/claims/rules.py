"""Rules that judge measurements of the arms of a claim.

Each rule states an effect in the direction of the claim (positive: as the paper says), the smallest
effect that would be worth the claim, and the level at which all looks together may be wrong.
`verdict` says what their words mean.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Protocol

from alexnet_tf.claims import statistics
from alexnet_tf.claims.verdict import ALPHA, Values, Verdict, finite_numbers, judge, missing


class Rule(Protocol):
    """Anything that makes verdicts."""

    def verdict(self, values: Values, planned: int) -> Verdict:
        """From measurements by arm and seed; `planned` seeds per arm are the first look."""

    def describe(self) -> str:
        """The rule in one sentence, for the ledger."""

    def arms(self) -> tuple[str, ...]:
        """The arms that it looks at; others are reported beside them."""


@dataclasses.dataclass(frozen=True)
class PairedDifference:
    """second - first, over seeds that both arms have.

    Attributes:
        first, second: arms; the claim says that `second` measures more.
        worth: smallest difference worth the claim, in the unit of the measure, above 0.
        unit: "points" for shares that are shown in percent, or any other word.
        scale: factor from the measure to the unit (100 for points).
        learned_below: where neither arm's mean lies below it, no network learned anything, and a
            difference says nothing of learning; None: that needs no saying.
    """

    first: str
    second: str
    worth: float
    unit: str = "points"
    scale: float = 100.0
    learned_below: float | None = None

    def arms(self) -> tuple[str, ...]:
        """As `Rule` says."""
        return self.first, self.second

    def describe(self) -> str:
        """As `Rule` says."""
        learned = (
            ""
            if self.learned_below is None
            else f"; inconclusive if neither is below {self.learned_below:g}"
        )
        return (
            f"reproduced if the interval of {self.second} - {self.first} over paired seeds lies "
            f"above 0; contradicted if it lies below {self.worth * self.scale:g} {self.unit}"
            f"{learned}"
        )

    def verdict(self, values: Values, planned: int) -> Verdict:
        """As `Rule` says."""
        not_run = missing(values, (self.first, self.second))
        if not_run:
            return not_run
        first, second = values[self.first], values[self.second]
        seeds = sorted(set(first) & set(second))
        differences = []
        for seed in seeds:
            a, b = first[seed], second[seed]
            if a is None or b is None or not (math.isfinite(a) and math.isfinite(b)):
                return Verdict("inconclusive", f"a run of seed {seed} has no finite measurement")
            differences.append(b - a)
        judged = judge(differences, planned, self.worth, self.unit, self.scale)
        means = [
            sum(float(arm[seed] or 0) for seed in seeds) / len(seeds)
            for arm in (first, second)
            if seeds
        ]
        if self.learned_below is not None and means and min(means) >= self.learned_below:
            return dataclasses.replace(
                judged,
                word="inconclusive",
                reason=f"neither arm learned anything in this time: {self.first} {means[0]:.4g}, "
                f"{self.second} {means[1]:.4g}, learning begins below {self.learned_below:g}",
                seeds_needed=None,
            )
        return judged


@dataclasses.dataclass(frozen=True)
class RatioOfTimes:
    """How many times as long `second` takes to a threshold; logarithms are paired over seeds.

    A run that has not reached the threshold is censored: its time is longer than its length, which
    makes the ratio a lower bound. Lower bounds can reproduce a claim; they cannot contradict it.

    Attributes:
        first, second: arms; the claim says that `second` takes longer.
        claimed: the paper's ratio.
        worth: smallest ratio worth the claim, above 1.
    """

    first: str
    second: str
    claimed: float
    worth: float

    def arms(self) -> tuple[str, ...]:
        """As `Rule` says."""
        return self.first, self.second

    def describe(self) -> str:
        """As `Rule` says."""
        return (
            f"reproduced if the interval of the ratio {self.second} / {self.first} lies above 1; "
            f"contradicted if it lies below {self.worth:g}; runs that did not reach the threshold "
            "count with their length, as lower bounds"
        )

    def verdict(self, values: Values, planned: int) -> Verdict:
        """As `Rule` says; a negative number is minus the length of a censored run."""
        not_run = missing(values, (self.first, self.second))
        if not_run:
            return not_run
        first, second = values[self.first], values[self.second]
        logs, censored = [], 0
        for seed in sorted(set(first) & set(second)):
            a, b = first[seed], second[seed]
            if a is None or b is None or not a or not b:
                return Verdict("inconclusive", f"a run of seed {seed} has no measurement")
            if a < 0:
                return Verdict(
                    "inconclusive",
                    f"{self.first} did not reach the threshold with seed {seed}: train longer",
                )
            censored += b < 0
            logs.append(math.log(abs(b) / a))
        judged = judge(logs, planned, math.log(self.worth), "", 1.0)
        if judged.effect is None:
            return judged
        ratio = math.exp(judged.effect.mean)
        low, high = math.exp(judged.effect.low), _exp(judged.effect.high)
        bound = f"; {censored} of {len(logs)} runs censored: a lower bound" if censored else ""
        text = (
            f"{self.second} takes {ratio:.2f} times as long as {self.first} "
            f"(interval {low:.2f} to {high:.2f}; the paper: {self.claimed:g}){bound}"
        )
        if censored and judged.word == "contradicted":
            return dataclasses.replace(judged, word="inconclusive", reason=text)
        return dataclasses.replace(judged, reason=text)


@dataclasses.dataclass(frozen=True)
class Interaction:
    """Does a factor help with another one held fixed? A 2 x 2 of arms, paired over seeds.

    The effect is the mean over both levels of the other factor; the difference between the levels
    is reported as the interaction.

    Attributes:
        without, with_factor: arms at each level of the other factor, in the same order.
        worth: smallest effect worth the claim.
    """

    without: tuple[str, str]
    with_factor: tuple[str, str]
    worth: float
    unit: str = "points"
    scale: float = 100.0

    def arms(self) -> tuple[str, ...]:
        """As `Rule` says."""
        return (*self.without, *self.with_factor)

    def describe(self) -> str:
        """As `Rule` says."""
        pairs = " and ".join(
            f"{a} - {b}" for a, b in zip(self.without, self.with_factor, strict=True)
        )
        return (
            f"the mean of {pairs} over paired seeds: reproduced if its interval lies above 0, "
            f"contradicted if it lies below {self.worth * self.scale:g} {self.unit}"
        )

    def verdict(self, values: Values, planned: int) -> Verdict:
        """As `Rule` says."""
        arms = (*self.without, *self.with_factor)
        not_run = missing(values, arms)
        if not_run:
            return not_run
        seeds = sorted(set.intersection(*(set(values[arm]) for arm in arms)))
        effects, interactions = [], []
        for seed in seeds:
            numbers = [values[arm][seed] for arm in arms]
            if any(number is None or not math.isfinite(number) for number in numbers):
                return Verdict("inconclusive", f"a run of seed {seed} has no finite measurement")
            a, b, c, d = (float(number) for number in numbers if number is not None)
            effects.append((a - c + b - d) / 2)
            interactions.append((a - c) - (b - d))
        judged = judge(effects, planned, self.worth, self.unit, self.scale)
        if judged.effect is None:
            return judged
        mean = sum(interactions) / len(interactions)
        return dataclasses.replace(
            judged,
            reason=f"{judged.reason}; it differs by {mean * self.scale:+.2f} {self.unit} between "
            f"{self.without[0]} and {self.without[1]}",
        )


@dataclasses.dataclass(frozen=True)
class AgainstReference:
    """One arm against a number that holds where nothing is behind it.

    Attributes:
        arm: whose measurements are looked at.
        reference: their expectation by chance.
        worth: smallest difference worth the claim.
    """

    arm: str
    reference: float
    worth: float
    unit: str = ""
    scale: float = 1.0

    def arms(self) -> tuple[str, ...]:
        """As `Rule` says."""
        return (self.arm,)

    def describe(self) -> str:
        """As `Rule` says."""
        return (
            f"reproduced if the interval of {self.arm} - {self.reference:g} lies above 0; "
            f"contradicted if it lies below {self.worth * self.scale:g} {self.unit}".rstrip()
        )

    def verdict(self, values: Values, planned: int) -> Verdict:
        """As `Rule` says."""
        numbers = finite_numbers(values, self.arm)
        if isinstance(numbers, Verdict):
            return numbers
        differences = [number - self.reference for number in numbers]
        return judge(differences, planned, self.worth, self.unit, self.scale)


@dataclasses.dataclass(frozen=True)
class NearNumber:
    """Whether an arm's error is a published one, give or take a margin: a test of equivalence.

    The interval is that of the mean over seeds, and never narrower than what the finite number of
    test images leaves open. Reproduced if it lies within the margin, contradicted if it lies
    outside on one side.

    Attributes:
        arm: whose errors are looked at.
        number: the published error, 0..1.
        margin: how far off still counts as the same.
        images: of the test set.
    """

    arm: str
    number: float
    margin: float
    images: int = 10_000

    def arms(self) -> tuple[str, ...]:
        """As `Rule` says."""
        return (self.arm,)

    def describe(self) -> str:
        """As `Rule` says."""
        return (
            f"reproduced if the interval of the error of {self.arm} lies within "
            f"{100 * self.margin:g} points of {self.number:.0%}; contradicted if it lies outside"
        )

    def verdict(self, values: Values, planned: int) -> Verdict:
        """As `Rule` says."""
        numbers = finite_numbers(values, self.arm)
        if isinstance(numbers, Verdict):
            return numbers
        counted, alpha = statistics.level_at(len(numbers), planned, ALPHA)
        if not counted:
            return Verdict("inconclusive", f"{len(numbers)} of {planned} planned seeds are there")
        effect = statistics.of_images(
            statistics.paired_effect(numbers[:counted], alpha), self.images, alpha
        )
        text = (
            f"error {effect.mean:.2%}, {effect.confidence:.2%} interval {effect.low:.2%} to "
            f"{effect.high:.2%}, {counted} seeds"
        )
        low, high = self.number - self.margin, self.number + self.margin
        if low < effect.low and effect.high < high:
            return Verdict("reproduced", text, effect)
        if effect.high < low or effect.low > high:
            return Verdict("contradicted", text, effect)
        # Twice the margin is what an interval must fit in.
        needed = statistics.seeds_needed(self.margin, effect.deviation, alpha / 2)
        return Verdict("inconclusive", text, effect, needed)


def _exp(value: float) -> float:
    return math.exp(value) if value < 700 else math.inf
