"""Statistics against closed forms and other implementations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from alexnet_tf.claims import statistics


def test_the_paired_interval_is_that_of_a_t_test():
    differences = [0.4, 0.1, 0.3, 0.5, 0.2]
    effect = statistics.paired_effect(differences, 0.05)
    interval = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    assert (effect.low, effect.high) == pytest.approx((interval.low, interval.high))
    assert statistics.paired_effect([1.0], 0.05).high == math.inf
    with pytest.raises(ValueError, match="at least one"):
        statistics.paired_effect([], 0.05)


def test_seeds_needed_are_enough_and_no_more_by_simulation():
    pairs = statistics.seeds_needed(1.0, 1.0, 0.05)
    # Tables of the one-sample t test at 5%, 80%: an effect of one deviation takes 10.
    assert pairs == 10
    random = np.random.default_rng(0)
    samples = random.normal(1.0, 1.0, (4000, pairs))
    power = (stats.ttest_1samp(samples, 0, axis=1).pvalue < 0.05).mean()
    assert power == pytest.approx(0.8, abs=0.03)
    assert statistics.seeds_needed(0.0, 1.0, 0.05) is None
    assert statistics.seeds_needed(1e-4, 1.0, 0.05) is None
    assert statistics.seeds_needed(1.0, 0.0, 0.05) == 2


def test_the_smallest_detectable_effect_inverts_the_seeds_needed():
    effect = statistics.smallest_detectable(2.0, 10, 0.05)
    assert statistics.seeds_needed(effect * 1.001, 2.0, 0.05) == 10
    assert statistics.seeds_needed(effect * 0.9, 2.0, 0.05) > 10
    assert statistics.smallest_detectable(1.0, 1, 0.05) is None


def test_looks_are_fixed_and_their_levels_add_up_to_alpha():
    assert statistics.level_at(2, 3, 0.05) == (0, 0.025)
    assert statistics.level_at(3, 3, 0.05) == (3, 0.025)
    assert statistics.level_at(5, 3, 0.05) == (3, 0.025)
    assert statistics.level_at(6, 3, 0.05) == (6, 0.0125)
    assert statistics.level_at(12, 3, 0.05) == (12, 0.00625)
