"""Plateau traces by hand, planned drops, and state that survives a restart."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf import config as recipes
from alexnet_tf.optim.optimizer import learning_rate as rate_of
from alexnet_tf.optim.schedules import learning_rate


class Model:
    """What a Keras callback sees of a model."""

    def __init__(self, initial):
        self.optimizer = keras.optimizers.SGD(initial)
        self.optimizer.build([tf.Variable(1.0)])
        self.metrics = []


PLATEAU = {"initial": 1.0, "patience_epochs": 2, "min_delta": 0.01, "max_drops": 2}


def config(batch_size=128, **changes):
    made = recipes.load("default")
    made.batch_size = batch_size
    made.learning_rate.update(PLATEAU | changes)
    return made


def trace(rule, model, errors, first=0):
    """The rate after each epoch."""
    rule.set_model(model)
    rule.on_train_begin()
    rates = []
    for epoch, error in enumerate(errors, start=first):
        rule.on_epoch_end(epoch, {} if error is None else {"val_top_1_error": error})
        rates.append(rate_of(model.optimizer))
    return rates


# Best so far falls by more than 0.01 in epochs 1, 2, 3 and 6; each second epoch without cuts.
ERRORS = [0.9, 0.8, 0.7, 0.70, 0.695, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6]
RATES = [1, 1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.01]


def test_plateau_by_hand():
    assert trace(learning_rate.make(config()), Model(1.0), ERRORS) == RATES


def test_the_number_of_drops_is_bounded():
    rule = learning_rate.make(config(max_drops=1, patience_epochs=1))
    assert trace(rule, Model(1.0), [0.5] * 6) == [1, 0.1, 0.1, 0.1, 0.1, 0.1]


@pytest.mark.parametrize("cut", range(1, len(ERRORS)))
def test_a_restart_at_any_epoch_changes_nothing(cut):
    rule, model = learning_rate.make(config()), Model(1.0)
    before = trace(rule, model, ERRORS[:cut])
    second, other = learning_rate.make(config()), Model(1.0)
    other.optimizer.learning_rate = rate_of(model.optimizer)
    second.set_state(rule.get_state())
    assert before + trace(second, other, ERRORS[cut:], cut) == RATES


def test_keras_itself_loses_its_state():
    """Why the subclass is there."""
    rule = keras.callbacks.ReduceLROnPlateau("val_top_1_error", 0.1, 2, mode="min", min_delta=0.01)
    trace(rule, Model(1.0), [0.5, 0.5])
    assert rule.wait == 1
    rule.on_train_begin()
    assert rule.wait == 0


def test_an_epoch_without_validation_counts_for_nothing():
    rule = learning_rate.make(config(patience_epochs=1))
    assert trace(rule, Model(1.0), [0.5, None, None, 0.4, 0.4]) == [1, 1, 1, 1, 0.1]


def test_warm_up_rises_to_the_rate_of_the_plateau():
    """Two steps per epoch, warm-up over ten; the error stands still, so the rate falls twice."""
    rule, model = learning_rate.make(config(warmup_steps=10), steps_per_epoch=2), Model(1.0)
    rule.set_model(model)
    rule.on_train_begin()
    rates = []
    for step in range(14):
        learning_rate.apply(rule, model.optimizer, step)
        rates.append(rate_of(model.optimizer))
        if step % 2:
            rule.on_epoch_end(step // 2, {"val_top_1_error": 0.5})
    # Best in epoch 1; no better in 2 and 3: drop; nor in 4 and 5: drop; no third one.
    plateau = [1.0] * 6 + [0.1] * 4 + [0.01] * 4
    warm = [min((step + 1) / 10, 1) for step in range(14)]
    assert np.allclose(rates, np.multiply(plateau, warm))


@pytest.mark.parametrize("cut", range(1, 7))
def test_a_restart_in_the_warm_up_changes_nothing(cut):
    def epochs(rule, model, which):
        rule.set_model(model)
        rule.on_train_begin()
        rates = []
        for epoch in which:
            learning_rate.apply(rule, model.optimizer, epoch)
            rates.append(rate_of(model.optimizer))
            rule.on_epoch_end(epoch, {"val_top_1_error": 0.5})
        return rates

    whole = epochs(learning_rate.make(config(warmup_steps=5)), Model(1.0), range(8))
    rule = learning_rate.make(config(warmup_steps=5))
    before = epochs(rule, Model(1.0), range(cut))
    second = learning_rate.make(config(warmup_steps=5))
    second.set_state(rule.get_state())
    # Not even the optimizer's rate needs to be restored.
    assert before + epochs(second, Model(1.0), range(cut, 8)) == whole


def test_planned_drops():
    rule = learning_rate.make(config(schedule="steps", drop_epochs=(2, 4)))
    assert trace(rule, Model(1.0), [None] * 5) == [1, 0.1, 0.1, 0.01, 0.01]
    assert trace(learning_rate.make(config(schedule="constant")), Model(1.0), [None] * 2) == [1, 1]
