"""Statistics of predictions, added up image by image: errors, confusion, calibration, mistakes.

Equal probabilities rank by class number, here as in `evaluation.metrics`.
"""

from __future__ import annotations

import dataclasses
import heapq

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
# Guo et al. 2017 (arXiv:1706.04599), section 2: bins of equal width.
CALIBRATION_BINS = 15
TOP = 5


@dataclasses.dataclass(frozen=True)
class Share:
    """A share of images with its Wilson score interval (Wilson 1927) of `CONFIDENCE`.

    Attributes:
        number: of images that count.
        count: of all images; at least 1.
    """

    number: int
    count: int

    @property
    def value(self) -> float:
        """The share, 0..1."""
        return self.number / self.count

    @property
    def interval(self) -> tuple[float, float]:
        """Lower and upper end, 0..1."""
        test = stats.binomtest(self.number, self.count)
        ends = test.proportion_ci(CONFIDENCE, method="wilson")
        return float(ends.low), float(ends.high)

    @property
    def text(self) -> str:
        """For people: "12.34% (11.00% to 13.80%)"."""
        low, high = self.interval
        return f"{self.value:.2%} ({low:.2%} to {high:.2%})"

    def as_dict(self) -> dict[str, float | int]:
        """For JSON."""
        low, high = self.interval
        return {"share": self.value, "low": low, "high": high, "number": self.number}


@dataclasses.dataclass(frozen=True, eq=False)
class Ranked:
    """The best classes of some images.

    Attributes:
        labels: int64 [n, k], best first; k is 5, or the number of classes where there are fewer.
        probabilities: float32 [n, k], theirs.
        of_label: float32 [n], of the right class.
        place: int64 [n], of the right class among all, from 1.
    """

    labels: np.ndarray
    probabilities: np.ndarray
    of_label: np.ndarray
    place: np.ndarray


def rank(probabilities: np.ndarray, labels: np.ndarray) -> Ranked:
    """Ranks the classes of each image.

    Args:
        probabilities: float32 [n, classes], finite.
        labels: int [n], the right class.
    """
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :TOP]
    own = np.take_along_axis(probabilities, labels[:, None].astype(np.int64), axis=1)
    earlier = np.arange(probabilities.shape[1]) < labels[:, None]
    before = (probabilities > own) | ((probabilities == own) & earlier)
    chosen = np.take_along_axis(probabilities, best, axis=1)
    return Ranked(best, chosen, own[:, 0], before.sum(axis=1) + 1)


@dataclasses.dataclass(frozen=True, order=True)
class Mistake:
    """An image whose best class is wrong; ordered by how sure the network is.

    Attributes:
        probability: of the class that it is taken for.
        example: the image's number in its split.
        label: the right class.
        guesses: the best classes, best first.
        probabilities: theirs.
        of_label: probability of the right class.
    """

    probability: float
    example: int
    label: int = dataclasses.field(compare=False)
    guesses: tuple[int, ...] = dataclasses.field(compare=False)
    probabilities: tuple[float, ...] = dataclasses.field(compare=False)
    of_label: float = dataclasses.field(compare=False)


@dataclasses.dataclass(frozen=True)
class Pair:
    """Images of one class that are taken for another: `number` of the `count` of that class."""

    label: int
    guess: int
    number: int
    count: int


class Tally:
    """Counts over images; memory does not grow with their number.

    Args:
        classes: number of classes.
        mistakes: how many of the surest mistakes are kept.

    Attributes:
        count: images so far.
        confusion: int64 [classes, classes]; row: the right class, column: the best class.
        top_5_errors: int64 [classes], images of each class that is not among the five best.
        probability_sums: float64 [classes], of the right class, by class.
        bin_counts, bin_confidences, bin_correct: of the calibration, [bins]: images whose highest
            probability lies in ((i / bins), (i + 1) / bins], the sum of it, and how many are right.
    """

    def __init__(self, classes: int, mistakes: int = 0):
        self.count = 0
        self.confusion = np.zeros((classes, classes), np.int64)
        self.top_5_errors = np.zeros(classes, np.int64)
        self.probability_sums = np.zeros(classes, np.float64)
        self.bin_counts = np.zeros(CALIBRATION_BINS, np.int64)
        self.bin_confidences = np.zeros(CALIBRATION_BINS, np.float64)
        self.bin_correct = np.zeros(CALIBRATION_BINS, np.int64)
        self._keep = mistakes
        self._mistakes: list[Mistake] = []

    def add(self, first: int, labels: np.ndarray, ranked: Ranked) -> None:
        """Adds consecutive images.

        Args:
            first: number of the first one in its split.
            labels: int [n], the right classes.
            ranked: of the same images.
        """
        guesses, confidence = ranked.labels[:, 0], ranked.probabilities[:, 0].astype(np.float64)
        right = guesses == labels
        self.count += len(labels)
        np.add.at(self.confusion, (labels, guesses), 1)
        np.add.at(self.top_5_errors, labels, ranked.place > TOP)
        np.add.at(self.probability_sums, labels, ranked.of_label)
        bins = np.ceil(confidence * CALIBRATION_BINS).astype(int) - 1
        bins = np.clip(bins, 0, CALIBRATION_BINS - 1)
        np.add.at(self.bin_counts, bins, 1)
        np.add.at(self.bin_confidences, bins, confidence)
        np.add.at(self.bin_correct, bins, right)
        for place in np.flatnonzero(~right):
            self._add_mistake(first, int(place), int(labels[place]), ranked)

    def _add_mistake(self, first: int, place: int, label: int, ranked: Ranked) -> None:
        mistake = Mistake(
            probability=float(ranked.probabilities[place, 0]),
            example=first + place,
            label=label,
            guesses=tuple(int(guess) for guess in ranked.labels[place]),
            probabilities=tuple(float(value) for value in ranked.probabilities[place]),
            of_label=float(ranked.of_label[place]),
        )
        if len(self._mistakes) < self._keep:
            heapq.heappush(self._mistakes, mistake)
        elif self._mistakes:
            heapq.heappushpop(self._mistakes, mistake)

    @property
    def class_counts(self) -> np.ndarray:
        """Images of each class, int64 [classes]."""
        return self.confusion.sum(axis=1)

    @property
    def top_1(self) -> Share:
        """Images whose best class is wrong."""
        return Share(self.count - int(np.trace(self.confusion)), self.count)

    @property
    def top_5(self) -> Share:
        """Images whose class is not among the five best."""
        return Share(int(self.top_5_errors.sum()), self.count)

    @property
    def mistakes(self) -> list[Mistake]:
        """The surest mistakes, surest first."""
        return sorted(self._mistakes, reverse=True)

    @property
    def calibration_error(self) -> float:
        """Expected calibration error (Guo et al. 2017, equation 3), 0..1.

        The mean distance of a bin's mean highest probability from its share of right answers,
        weighted by the bins' images.
        """
        return float(np.abs(self.bin_confidences - self.bin_correct).sum() / self.count)

    def most_confused(self, number: int) -> list[Pair]:
        """The pairs (right class, best class) with the most images, most first."""
        wrong = self.confusion.copy()
        np.fill_diagonal(wrong, 0)
        # Stable, so that equal pairs come in the order of the classes.
        order = np.argsort(-wrong, axis=None, kind="stable")[:number]
        counts = self.class_counts
        labels, guesses = np.unravel_index(order, wrong.shape)
        return [
            Pair(int(label), int(guess), int(wrong[label, guess]), int(counts[label]))
            for label, guess in zip(labels, guesses, strict=True)
            if wrong[label, guess]
        ]


@dataclasses.dataclass(frozen=True)
class McNemar:
    """McNemar's exact test of two networks on the same images (McNemar 1947).

    Attributes:
        only_first: images that only the first one gets wrong.
        only_second: images that only the second one gets wrong.
    """

    only_first: int
    only_second: int

    @property
    def p_value(self) -> float:
        """Two-sided probability of so uneven a split or worse, if both err equally often.

        Of two networks that disagree on no image: 1.
        """
        disagreeing = self.only_first + self.only_second
        if not disagreeing:
            return 1.0
        return float(stats.binomtest(self.only_first, disagreeing, 0.5).pvalue)
