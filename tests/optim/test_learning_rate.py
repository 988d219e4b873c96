"""Plateau traces by hand, planned drops, and state that survives a restart."""

import json

import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf import recipes
from alexnet_tf.model.layers import VariableSettings
from alexnet_tf.optim import optimizer as optimizers
from alexnet_tf.optim.schedules import learning_rate

PLATEAU = {"initial": 1.0, "patience_epochs": 2, "min_delta": 0.01, "max_drops": 2}


def config(batch_size=128, **changes):
    made = recipes.load("default")
    made.batch_size = batch_size
    made.learning_rate.update(PLATEAU | changes)
    return made


def trace(rule, errors, first=0):
    """The rate after each epoch, of one step."""
    rates = []
    for epoch, error in enumerate(errors, start=first):
        rule.end_epoch(epoch + 1, {} if error is None else {"val_top_1_error": error})
        rates.append(pytest.approx(rule.rate_at(epoch + 1)))
    return rates


# Best so far falls by more than 0.01 in epochs 1, 2, 3 and 6; each second epoch without cuts.
ERRORS = [0.9, 0.8, 0.7, 0.70, 0.695, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6]
RATES = [1, 1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.01]


def test_plateau_by_hand():
    assert trace(learning_rate.make(config()), ERRORS) == RATES


def test_the_number_of_drops_is_bounded():
    rule = learning_rate.make(config(max_drops=1, patience_epochs=1))
    assert trace(rule, [0.5] * 6) == [1, 0.1, 0.1, 0.1, 0.1, 0.1]


@pytest.mark.parametrize("cut", range(1, len(ERRORS)))
def test_a_restart_at_any_epoch_changes_nothing(cut):
    rule, second = learning_rate.make(config()), learning_rate.make(config())
    before = trace(rule, ERRORS[:cut])
    second.set_state(json.loads(json.dumps(rule.get_state())))
    assert second.get_state() == rule.get_state()
    assert before + trace(second, ERRORS[cut:], cut) == RATES


def test_the_state_by_hand():
    """What checkpoints have held since the first ones; after the last cut nothing is waited for."""
    rule, states = learning_rate.make(config()), []
    assert rule.get_state() == {"best": None, "wait": 0, "cooldown": 0, "drops": 0}
    for epoch, error in enumerate(ERRORS):
        rule.end_epoch(epoch + 1, {"val_top_1_error": error})
        states.append(tuple(rule.get_state().values()))
    assert list(rule.get_state()) == ["best", "wait", "cooldown", "drops"]
    assert states == [
        (0.9, 0, 0, 0),
        (0.8, 0, 0, 0),
        (0.7, 0, 0, 0),
        (0.7, 1, 0, 0),
        (0.7, 0, 0, 1),
        (0.6, 0, 0, 1),
        (0.6, 1, 0, 1),
        (0.6, 0, 0, 2),
        (0.6, 0, 0, 2),
        (0.6, 0, 0, 2),
        (0.6, 0, 0, 2),
    ]


def test_the_best_error_counts_after_the_last_cut_too():
    rule = learning_rate.make(config(max_drops=0))
    assert trace(rule, [0.5, 0.6, 0.6, 0.6, 0.1]) == [1, 1, 1, 1, 1]
    assert rule.get_state() == {"best": 0.1, "wait": 0, "cooldown": 0, "drops": 0}


def test_a_cut_is_said():
    rule = learning_rate.make(config(patience_epochs=1))
    assert rule.end_epoch(1, {"val_top_1_error": 0.5}) == []
    (line,) = rule.end_epoch(2, {"val_top_1_error": 0.5})
    assert "epoch 2: val_top_1_error has not improved" in line
    assert "1 -> 0.1 (drop 1 of 2)" in line


def test_an_epoch_without_validation_counts_for_nothing():
    rule = learning_rate.make(config(patience_epochs=1))
    assert trace(rule, [0.5, None, None, 0.4, 0.4]) == [1, 1, 1, 1, 0.1]


def test_warm_up_rises_to_the_rate_of_the_plateau():
    """Two steps per epoch, warm-up over ten; the error stands still, so the rate falls twice."""
    rule = learning_rate.make(config(warmup_steps=10), steps_per_epoch=2)
    rates = []
    for step in range(14):
        rates.append(rule.rate_at(step))
        if step % 2:
            rule.end_epoch(step + 1, {"val_top_1_error": 0.5})
    # Best in epoch 1; no better in 2 and 3: drop; nor in 4 and 5: drop; no third one.
    plateau = [1.0] * 6 + [0.1] * 4 + [0.01] * 4
    warm = [min((step + 1) / 10, 1) for step in range(14)]
    assert np.allclose(rates, np.multiply(plateau, warm))


def test_rates_are_given_to_an_optimizer():
    settings = [VariableSettings("fc/kernel", 1.0, 0.0, None)]
    optimizer = optimizers.PaperSGD(settings, 1.0, 0.9)
    optimizer.build([tf.Variable(1.0)])
    learning_rate.apply(learning_rate.Rates(0.25, (3.0,)), optimizer)
    assert optimizers.learning_rate(optimizer) == 0.25
    assert float(optimizer.multipliers.of(0)) == 3
    learning_rate.apply(learning_rate.Rates(0.5), optimizer)
    assert optimizers.learning_rate(optimizer) == 0.5
    assert float(optimizer.multipliers.of(0)) == 3


def test_an_epoch_that_is_cut_short_changes_nothing():
    rule = learning_rate.make(config(patience_epochs=1), steps_per_epoch=3)
    for step in (3, 4, 5):
        assert rule.end_epoch(step, {"val_top_1_error": 0.5}) == []
    assert rule.end_epoch(6, {"val_top_1_error": 0.5}) != []


def test_planned_drops_are_said():
    later = learning_rate.make(config(schedule="steps", drop_epochs=(2,)), steps_per_epoch=3)
    assert [later.end_epoch(step, {}) != [] for step in (3, 6, 9)] == [False, True, False]
    made = config(schedule="steps", drop_epochs=(1,))
    rule = learning_rate.make(made, steps_per_epoch=3)
    said = [rule.end_epoch(step, {}) for step in (2, 3, 6)]
    assert said == [[], ["epoch 1: learning rate -> 0.1, as planned"], []]
    assert learning_rate.make(config(schedule="constant"), steps_per_epoch=3).end_epoch(3, {}) == []


def test_planned_drops():
    rule = learning_rate.make(config(schedule="steps", drop_epochs=(2, 4)))
    assert trace(rule, [None] * 5) == [1, 0.1, 0.1, 0.01, 0.01]
    assert trace(learning_rate.make(config(schedule="constant")), [None] * 2) == [1, 1]
