"""Statistics against scikit-learn, NumPy and closed forms, from probabilities that are drawn."""

from __future__ import annotations

import math

import numpy as np
import pytest

from alexnet_tf.analysis import statistics

metrics = pytest.importorskip("sklearn.metrics")
CLASSES, COUNT = 7, 503


@pytest.fixture(scope="module")
def scored():
    """Probabilities that are right more often than not, and labels; class 6 has no image."""
    random = np.random.default_rng(3)
    labels = random.integers(0, CLASSES - 1, COUNT)
    logits = random.normal(0, 1.5, (COUNT, CLASSES))
    logits[np.arange(COUNT), labels] += 1.5
    powers = np.exp(logits)
    probabilities = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    # Some ties, for the best place and for lower ones.
    probabilities[:5] = 1 / CLASSES
    return probabilities, labels


@pytest.fixture(scope="module", params=[1, 64, COUNT])
def tally(scored, request):
    """In batches of various sizes, which change nothing."""
    probabilities, labels = scored
    found = statistics.Tally(CLASSES, mistakes=9)
    for first in range(0, COUNT, request.param):
        part = slice(first, first + request.param)
        found.add(first, labels[part], statistics.rank(probabilities[part], labels[part]))
    return found


def places(probabilities, labels):
    """The place of the right class, from 1; equal probabilities rank by class number."""
    order = [sorted(range(CLASSES), key=lambda c: (-row[c], c)) for row in probabilities]
    return np.array([o.index(label) + 1 for o, label in zip(order, labels, strict=True)])


def test_ranks(scored):
    probabilities, labels = scored
    ranked = statistics.rank(probabilities, labels)
    np.testing.assert_array_equal(ranked.place, places(probabilities, labels))
    for row, best, chosen in zip(probabilities, ranked.labels, ranked.probabilities, strict=True):
        assert list(best) == sorted(range(CLASSES), key=lambda c: (-row[c], c))[:5]
        np.testing.assert_array_equal(chosen, row[best])
    np.testing.assert_array_equal(ranked.of_label, probabilities[np.arange(COUNT), labels])


def test_fewer_than_five_classes():
    ranked = statistics.rank(np.float32([[0.2, 0.5, 0.3]]), np.array([0]))
    assert ranked.labels.tolist() == [[1, 2, 0]] and ranked.place.tolist() == [3]


def test_errors_and_confusion_equal_scikit_learn(scored, tally):
    probabilities, labels = scored
    guesses = probabilities.argmax(axis=1)
    expected = metrics.confusion_matrix(labels, guesses, labels=range(CLASSES))
    np.testing.assert_array_equal(tally.confusion, expected)
    assert tally.top_1.number == np.sum(guesses != labels)
    assert tally.top_1.value == pytest.approx(1 - metrics.accuracy_score(labels, guesses))
    assert tally.top_5.number == np.sum(places(probabilities, labels) > 5)
    # scikit-learn ranks ties the other way round.
    clear = slice(5, None)
    accuracy = metrics.top_k_accuracy_score(
        labels[clear], probabilities[clear], k=5, labels=range(CLASSES), normalize=False
    )
    late = np.sum(places(probabilities[:5], labels[:5]) > 5)
    assert tally.top_5.number - late == COUNT - 5 - accuracy
    assert tally.class_counts.tolist() == np.bincount(labels, minlength=CLASSES).tolist()


def test_calibration(scored, tally):
    calibration = pytest.importorskip("sklearn.calibration")
    probabilities, labels = scored
    sure = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == labels
    bins = statistics.CALIBRATION_BINS
    shares, means = calibration.calibration_curve(right, sure, n_bins=bins, strategy="uniform")
    filled = tally.bin_counts > 0
    np.testing.assert_allclose((tally.bin_correct / tally.bin_counts.clip(1))[filled], shares)
    np.testing.assert_allclose((tally.bin_confidences / tally.bin_counts.clip(1))[filled], means)
    error = 0.0
    for low in range(bins):
        inside = (sure > low / bins) & (sure <= (low + 1) / bins)
        if inside.any():
            error += inside.mean() * abs(sure[inside].mean() - right[inside].mean())
    assert tally.calibration_error == pytest.approx(error, rel=1e-12)


def test_the_surest_mistakes(scored, tally):
    probabilities, labels = scored
    guesses = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(guesses != labels)
    expected = sorted(wrong, key=lambda n: (-probabilities[n].max(), -n))[:9]
    assert [mistake.example for mistake in tally.mistakes] == expected
    first = tally.mistakes[0]
    assert first.label == labels[first.example]
    assert first.guesses[0] == guesses[first.example]
    assert first.probabilities[0] == probabilities[first.example].max()
    assert first.of_label == probabilities[first.example, first.label]


def test_most_confused_pairs():
    tally = statistics.Tally(3)
    pairs = [(0, 1)] * 4 + [(1, 0)] * 2 + [(2, 0)] * 4 + [(0, 0)] * 9
    labels = np.array([label for label, _ in pairs])
    probabilities = np.eye(3, dtype=np.float32)[[guess for _, guess in pairs]]
    tally.add(0, labels, statistics.rank(probabilities, labels))
    found = [(pair.label, pair.guess, pair.number, pair.count) for pair in tally.most_confused(9)]
    assert found == [(0, 1, 4, 13), (2, 0, 4, 4), (1, 0, 2, 2)]
    assert len(tally.most_confused(1)) == 1


@pytest.mark.parametrize(("number", "count"), [(0, 10), (3, 10), (10, 10), (20, 1000), (1, 1)])
def test_wilson_interval_is_the_closed_form(number, count):
    z = 1.959963984540054  # The normal distribution's 97.5th percentile.
    p = number / count
    centre = (p + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(p * (1 - p) / count + z * z / (4 * count * count))
    low, high = statistics.Share(number, count).interval
    assert low == pytest.approx(max(centre - half, 0), abs=1e-12)
    assert high == pytest.approx(min(centre + half, 1), abs=1e-12)


@pytest.mark.parametrize(("first", "second"), [(0, 0), (5, 0), (3, 9), (12, 12), (40, 61)])
def test_mcnemar_is_the_binomial_sum(first, second):
    n, k = first + second, min(first, second)
    tail = sum(math.comb(n, i) for i in range(k + 1)) / 2**n
    expected = min(1.0, 2 * tail)
    found = statistics.McNemar(first, second)
    assert found.p_value == pytest.approx(expected, rel=1e-12)
    assert statistics.McNemar(second, first).p_value == pytest.approx(expected, rel=1e-12)
