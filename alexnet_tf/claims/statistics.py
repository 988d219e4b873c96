"""Effects with intervals, significance on the same images, and how many seeds it would take.

Two sources of chance stand behind a difference of two arms: the seed of each training run, and the
finite set of test images. Arms trained with equal seeds are paired (same order, crops and initial
values where they have any in common), so the interval of a claim is that of the mean of paired
differences over seeds. What two single runs differ in on the same images is
`analysis.statistics.McNemar`'s question.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from scipy import stats


@dataclasses.dataclass(frozen=True)
class Effect:
    """A mean of paired differences.

    Attributes:
        mean: in the unit of the measure.
        low, high: ends of the interval.
        pairs: how many differences it is of.
        deviation: their standard deviation (n - 1); 0 for a single one.
        confidence: of the interval, such as 0.975.
    """

    mean: float
    low: float
    high: float
    pairs: int
    deviation: float
    confidence: float


def paired_effect(differences: Sequence[float], alpha: float) -> Effect:
    """Student's interval of the mean of paired differences.

    Args:
        differences: one per pair, at least one.
        alpha: 1 - confidence, two-sided.

    Returns:
        The interval is unbounded for a single pair, which says nothing about its own spread.

    Raises:
        ValueError: there is no difference, or one that is not finite.
    """
    values = np.asarray(differences, np.float64)
    if not values.size or not np.isfinite(values).all():
        raise ValueError("an effect needs at least one difference, and finite ones")
    mean = float(values.mean())
    if values.size == 1:
        return Effect(mean, -math.inf, math.inf, 1, 0.0, 1 - alpha)
    deviation = float(values.std(ddof=1))
    half = float(stats.t.ppf(1 - alpha / 2, values.size - 1)) * deviation / math.sqrt(values.size)
    return Effect(mean, mean - half, mean + half, values.size, deviation, 1 - alpha)


def of_images(effect: Effect, images: int, alpha: float) -> Effect:
    """A mean error's interval, widened to what a finite set of test images leaves open.

    Seeds share the test images, so no number of them narrows the interval of the binomial
    distribution. Both sources of chance are added as independent ones.

    Args:
        effect: of errors, 0..1.
        images: of the test set.
        alpha: 1 - confidence, two-sided.
    """
    error = min(max(effect.mean, 0.0), 1.0)
    half = float(stats.norm.ppf(1 - alpha / 2)) * math.sqrt(error * (1 - error) / images)
    half = math.hypot(half, effect.high - effect.mean)
    return dataclasses.replace(effect, low=effect.mean - half, high=effect.mean + half)


def seeds_needed(
    effect: float, deviation: float, alpha: float, power: float = 0.8, most: int = 1000
) -> int | None:
    """Pairs after which an effect of that size would be seen with probability `power`.

    Args:
        effect: true mean of the differences.
        deviation: their standard deviation.
        alpha: two-sided level of the t test.
        power: probability that the interval leaves out 0.
        most: None is returned where more would be needed.

    Returns:
        At least 2; None: more than `most`, or the effect is 0.
    """
    if effect == 0:
        return None
    if deviation == 0:
        return 2
    for pairs in range(2, most + 1):
        degrees = pairs - 1
        critical = stats.t.ppf(1 - alpha / 2, degrees)
        shift = abs(effect) / deviation * math.sqrt(pairs)
        if 1 - stats.nct.cdf(critical, degrees, shift) >= power:
            return pairs
    return None


def smallest_detectable(
    deviation: float, pairs: int, alpha: float, power: float = 0.8
) -> float | None:
    """The smallest effect that `pairs` pairs would show with probability `power`; None below 2."""
    if pairs < 2:
        return None
    degrees = pairs - 1
    critical = stats.t.ppf(1 - alpha / 2, degrees)
    low, high = 0.0, 1.0
    while 1 - stats.nct.cdf(critical, degrees, high) < power:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        if 1 - stats.nct.cdf(critical, degrees, middle) < power:
            low = middle
        else:
            high = middle
    return float(high * deviation / math.sqrt(pairs))


def level_at(pairs: int, planned: int, alpha: float) -> tuple[int, float]:
    """How many of the pairs count now, and the level of this look.

    Whoever adds seeds until an interval leaves out 0 will always get there. Looks are therefore
    fixed beforehand: at `planned` pairs, at twice as many, four times as many, and so on; they
    share alpha as alpha/2, alpha/4, alpha/8, ... so that all looks together are wrong with
    probability alpha at most. Pairs beyond the latest look wait for the next one.

    Returns:
        (0, alpha/2) before the first look.
    """
    counted, level = 0, alpha / 2
    look, share = planned, alpha / 2
    while look <= pairs:
        counted, level = look, share
        look, share = look * 2, share / 2
    return counted, level
