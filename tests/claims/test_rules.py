"""Verdicts of synthetic rows with known answers, and how often the rules are wrong."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from scipy import stats

from alexnet_tf.claims import statistics
from alexnet_tf.claims.rules import (
    AgainstReference,
    Interaction,
    NearNumber,
    PairedDifference,
    RatioOfTimes,
)


def by_seed(*numbers):
    return dict(enumerate(numbers))


DIFFERENCE = PairedDifference("with", "without", worth=0.01)


def test_a_true_effect_is_reproduced():
    values = {"with": by_seed(0.20, 0.21, 0.19), "without": by_seed(0.25, 0.26, 0.2405)}
    verdict = DIFFERENCE.verdict(values, planned=3)
    assert verdict.word == "reproduced"
    # Differences .05, .05, .0505: their mean, and Student's interval at alpha / 2 = 0.025.
    differences = np.array([0.05, 0.05, 0.0505])
    assert verdict.effect.mean == pytest.approx(differences.mean())
    half = stats.t.ppf(1 - 0.0125, 2) * differences.std(ddof=1) / math.sqrt(3)
    assert verdict.effect.low == pytest.approx(differences.mean() - half)


def test_an_effect_the_other_way_is_contradicted():
    values = {"with": by_seed(0.25, 0.26, 0.24), "without": by_seed(0.20, 0.21, 0.1895)}
    assert DIFFERENCE.verdict(values, planned=3).word == "contradicted"


def test_no_effect_seen_sharply_is_contradicted_and_seen_dimly_is_inconclusive():
    sharp = {"with": by_seed(0.2, 0.21, 0.19), "without": by_seed(0.2001, 0.2099, 0.1902)}
    assert DIFFERENCE.verdict(sharp, planned=3).word == "contradicted"
    dim = {"with": by_seed(0.2, 0.21, 0.19), "without": by_seed(0.21, 0.20, 0.195)}
    verdict = DIFFERENCE.verdict(dim, planned=3)
    assert verdict.word == "inconclusive"
    assert verdict.seeds_needed is not None and verdict.seeds_needed > 3


def test_an_inconclusive_verdict_says_what_its_seeds_would_show():
    """An effect of that size, drawn many times, is seen in 80% of all trials of three pairs."""
    values = {"with": by_seed(0.2, 0.21, 0.19), "without": by_seed(0.21, 0.20, 0.195)}
    verdict = DIFFERENCE.verdict(values, planned=3)
    said = float(re.search(r"show differences of (\S+) points four", verdict.reason).group(1))
    deviation = np.std([0.01, -0.01, 0.005], ddof=1)
    draws = np.random.default_rng(0).normal(said / 100, deviation, (20000, 3))
    half = stats.t.ppf(1 - 0.025 / 2, 2) * draws.std(1, ddof=1) / np.sqrt(3)
    assert (draws.mean(1) - half > 0).mean() == pytest.approx(0.8, abs=0.02)
    assert (
        "four times in five"
        not in DIFFERENCE.verdict({a: {0: v[0]} for a, v in values.items()}, 1).reason
    )


def test_too_few_seeds_are_inconclusive_and_a_missing_arm_is_not_run():
    values = {"with": by_seed(0.20, 0.21), "without": by_seed(0.25, 0.26)}
    verdict = DIFFERENCE.verdict(values, planned=3)
    assert (verdict.word, "2 of 3 planned" in verdict.reason) == ("inconclusive", True)
    assert DIFFERENCE.verdict({"with": by_seed(0.2)}, planned=3).word == "not run"


def test_only_seeds_that_both_arms_have_are_paired():
    values = {"with": {0: 0.2, 1: 0.2, 5: 0.9}, "without": {0: 0.3, 1: 0.3, 7: 0.1}}
    assert DIFFERENCE.verdict(values, planned=2).effect.pairs == 2


def test_a_run_that_diverged_decides_nothing():
    values = {"with": by_seed(0.2, None), "without": by_seed(0.3, 0.3)}
    verdict = DIFFERENCE.verdict(values, planned=2)
    assert verdict.word == "inconclusive"
    assert "seed 1" in verdict.reason


def test_where_nothing_was_learned_a_difference_says_nothing():
    rule = PairedDifference("ones", "zeros", worth=0.05, scale=1, learned_below=2.28)
    flat = {"ones": by_seed(2.40, 2.41, 2.39), "zeros": by_seed(2.3026, 2.3025, 2.3027)}
    verdict = rule.verdict(flat, 3)
    assert verdict.word == "inconclusive" and "neither arm learned" in verdict.reason
    one = {"ones": by_seed(2.10, 2.11, 2.09), "zeros": by_seed(2.3026, 2.3025, 2.3027)}
    assert rule.verdict(one, 3).word == "reproduced"
    assert rule.verdict({"ones": one["zeros"], "zeros": one["ones"]}, 3).word == "contradicted"


def test_a_confounded_effect_is_seen_in_the_two_by_two():
    # All of the gain is the width's: with it held fixed, the norm does nothing.
    values = {
        "none": by_seed(0.13, 0.131, 0.129),
        "none_wide": by_seed(0.11, 0.1108, 0.1095),
        "norm": by_seed(0.1301, 0.1309, 0.1292),
        "norm_wide": by_seed(0.1099, 0.111, 0.1093),
    }
    naive = PairedDifference("norm_wide", "none", worth=0.01).verdict(values, 3)
    assert naive.word == "reproduced"
    rule = Interaction(("none", "none_wide"), ("norm", "norm_wide"), worth=0.01)
    assert rule.verdict(values, 3).word == "contradicted"


def test_a_two_by_two_says_how_the_effect_differs_between_levels():
    values = {
        "none": by_seed(0.20, 0.201, 0.199),
        "none_wide": by_seed(0.15, 0.1505, 0.1495),
        "norm": by_seed(0.16, 0.1611, 0.1589),
        "norm_wide": by_seed(0.13, 0.1306, 0.1294),
    }
    rule = Interaction(("none", "none_wide"), ("norm", "norm_wide"), worth=0.01)
    verdict = rule.verdict(values, 3)
    # (4 points + 2 points) / 2, and 4 - 2 points between the levels.
    assert verdict.effect.mean == pytest.approx(0.03, abs=1e-4)
    assert "+2.00 points between none and none_wide" in verdict.reason


def test_a_ratio_of_times_with_censored_runs_is_a_lower_bound():
    rule = RatioOfTimes("relu", "tanh", claimed=6, worth=2)
    values = {"relu": by_seed(8.0, 8.2), "tanh": by_seed(-45.0, -45.0)}
    verdict = rule.verdict(values, planned=2)
    assert verdict.word == "reproduced"
    assert "2 of 2 runs censored: a lower bound" in verdict.reason
    # Nearly equal lower bounds say nothing against the claim.
    values = {"relu": by_seed(44.0, 44.1), "tanh": by_seed(-45.0, -45.0)}
    assert rule.verdict(values, planned=2).word != "contradicted"
    values = {"relu": by_seed(44.0, 44.0), "tanh": by_seed(45.0, 45.0)}
    assert RatioOfTimes("relu", "tanh", 6, 2).verdict(values, 2).word in (
        "reproduced",
        "contradicted",
    )


def test_a_reference_arm_that_never_arrives_is_inconclusive():
    rule = RatioOfTimes("relu", "tanh", claimed=6, worth=2)
    values = {"relu": by_seed(-40.0, 8.0), "tanh": by_seed(-40.0, -40.0)}
    assert rule.verdict(values, planned=2).word == "inconclusive"


def test_one_arm_against_what_chance_gives():
    rule = AgainstReference("columns", reference=0.8, worth=1.0)
    assert rule.verdict({"columns": by_seed(3.0, 3.2, 2.9)}, 3).word == "reproduced"
    assert rule.verdict({"columns": by_seed(0.7, 0.8, 0.75)}, 3).word == "contradicted"
    assert rule.verdict({}, 3).word == "not run"


@pytest.mark.parametrize("planned", [2, 3, 5])
def test_looks_share_their_level_and_false_verdicts_are_rare(planned):
    """20,000 simulated ledgers, looked at after every new pair of seeds, up to four times the plan.

    Without an effect "reproduced" must come at any look in at most 2.5% (one side of 5%), and where
    the effect is just worth the claim "contradicted" likewise. Measured: 1.9 to 2.3%.
    """
    random = np.random.default_rng(planned)
    simulations, worth, deviation = 20_000, 1.0, 1.0
    noise = random.normal(0, deviation, (simulations, 4 * planned))
    wrong_reproduced = np.zeros(simulations, bool)
    wrong_contradicted = np.zeros(simulations, bool)
    looks = []
    for pairs in range(1, 4 * planned + 1):
        counted, alpha = statistics.level_at(pairs, planned, 0.05)
        if not counted or counted in looks:
            continue
        looks.append(counted)
        part = noise[:, :counted]
        half = stats.t.ppf(1 - alpha / 2, counted - 1) * part.std(axis=1, ddof=1)
        half /= math.sqrt(counted)
        wrong_reproduced |= part.mean(axis=1) - half > 0
        wrong_contradicted |= part.mean(axis=1) + worth + half < worth
    assert looks == [planned, 2 * planned, 4 * planned]
    # Three deviations of a share of 2.5% in 20,000.
    most = 0.025 + 3 * math.sqrt(0.025 * 0.975 / simulations)
    assert wrong_reproduced.mean() < most
    assert wrong_contradicted.mean() < most


def test_the_rule_itself_in_simulated_ledgers():
    """The rule's own code, 2,000 times without an effect: at most 2.5% are called reproduced."""
    random = np.random.default_rng(0)
    words = []
    for _ in range(2000):
        base = random.normal(0.2, 0.01, 3)
        values = {
            "with": by_seed(*base),
            "without": by_seed(*(base + random.normal(0, 0.005, 3))),
        }
        words.append(DIFFERENCE.verdict(values, planned=3).word)
    assert words.count("reproduced") / 2000 < 0.025 + 3 * math.sqrt(0.025 * 0.975 / 2000)


NEAR = NearNumber("net", number=0.18, margin=0.015)


def test_a_published_error_is_met_missed_or_left_open():
    assert NEAR.verdict({"net": by_seed(0.180, 0.181, 0.179)}, 3).word == "reproduced"
    assert NEAR.verdict({"net": by_seed(0.210, 0.211, 0.209)}, 3).word == "contradicted"
    assert NEAR.verdict({"net": by_seed(0.195, 0.196, 0.194)}, 3).word == "inconclusive"
    # One seed says nothing of its own spread.
    assert NEAR.verdict({"net": by_seed(0.18)}, 1).word == "inconclusive"
    assert NEAR.verdict({}, 1).word == "not run"


def test_the_interval_of_an_error_is_no_narrower_than_that_of_its_images():
    effect = NEAR.verdict({"net": by_seed(0.18, 0.18, 0.18)}, 3).effect
    # Three equal seeds; the level of the first look is 2.5%, its normal quantile 2.2414.
    half = 2.2414 * math.sqrt(0.18 * 0.82 / 10_000)
    assert effect.high - 0.18 == pytest.approx(half, rel=1e-4)
    assert 0.18 - effect.low == pytest.approx(half, rel=1e-4)


def test_false_verdicts_about_a_published_error_are_rare():
    """5,000 nets whose error lies exactly at the margin: at most 2.5% either way."""
    random = np.random.default_rng(0)
    words = []
    for _ in range(5000):
        true = np.clip(random.normal(0.195, 0.003, 3), 0, 1)
        words.append(NEAR.verdict({"net": by_seed(*random.binomial(10_000, true) / 1e4)}, 3).word)
    most = 0.025 + 3 * math.sqrt(0.025 * 0.975 / 5000)
    assert words.count("reproduced") / 5000 < most
    assert words.count("contradicted") / 5000 < most
