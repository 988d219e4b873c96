"""The manual schedule of run 145, entry by entry, and rates of single variables."""

import numpy as np
import pytest

from alexnet_common.errors import UsageError
from alexnet_tf import recipes
from alexnet_tf.model.layers import VariableSettings
from alexnet_tf.optim.schedules import learning_rate
from alexnet_tf.optim.schedules.diary import Diary
from alexnet_tf.tables.schedules import Schedule

NAMES = (
    "conv1a/kernel",
    "conv1a/bias",
    "conv1b/kernel",
    "conv2a/kernel",
    "fc8/kernel0",
    "fc8/bias",
)
SETTINGS = tuple(
    VariableSettings(name, 2.0 if name.endswith("bias") else 1.0, 0.0005, None) for name in NAMES
)


def make(settings=SETTINGS, steps_per_epoch=10, batch_size=128, **changes):
    config = recipes.load("default")
    config.batch_size = batch_size
    config.learning_rate.schedule = "diary"
    config.learning_rate.update(changes)
    return learning_rate.make(
        config,
        steps_per_epoch=steps_per_epoch,
        total_steps=91 * steps_per_epoch,
        settings=settings,
    )


# Epochs done -> rate of the weights, of conv1's weights and biases, of the other biases, and the
# colour noise (None: the recipe's), as the diary and layer-params-145.cfg give them.
RUN_145 = {
    0: (0.01, 0.01, 0.02, 0.02, None),
    24: (0.01, 0.01, 0.02, 0.02, None),
    25: (0.001, 0.001, 0.02, 0.02, None),
    50: (0.001, 0.001, 0.02, 0.02, None),
    51: (0.0001, 0.0001, 0.02, 0.02, None),
    66: (0.0001, 0.0001, 0.02, 0.02, None),
    67: (0.0001, 0.00001, 0.02, 0.02, 0.0),
    71: (0.0001, 0.00001, 0.02, 0.02, 0.0),
    72: (0.0001, 0, 0, 0.02, 0.0),
    78: (0.0001, 0, 0, 0.02, 0.0),
    79: (0.00001, 0, 0, 0.02, 0.0),
    90: (0.00001, 0, 0, 0.02, 0.0),
}


@pytest.mark.parametrize("epoch", RUN_145)
@pytest.mark.parametrize("step_in_epoch", [0, 9])
def test_run_145(epoch, step_in_epoch):
    rule, step = make(), epoch * 10 + step_in_epoch
    weights, conv1, conv1_bias, bias, noise = RUN_145[epoch]
    rate = rule.rate_at(step)
    assert np.isclose(rate, weights)
    found = [rate * multiplier for multiplier in rule.multipliers_at(step)]
    assert np.allclose(found, [conv1, conv1_bias, conv1, weights, weights, bias], rtol=1e-12)
    assert rule.color_noise_at(step) == noise


def test_what_changes_is_said():
    rule = make()
    assert rule.end_epoch(660, {}) == []
    assert rule.end_epoch(670, {}) == [
        "epoch 67: learning rate of conv1*/kernel* -> 1e-05, as planned",
        "epoch 67: colour noise -> 0, as planned",
    ]
    (line,) = rule.end_epoch(720, {})
    assert "conv1* -> 0, frozen" in line
    # In mid-epoch nothing changes.
    assert rule.end_epoch(725, {}) == []


def test_scaling_with_the_batch_holds_for_every_rate():
    small, large = make(), make(batch_size=256, scaling="linear")
    for step in (0, 300, 700):
        assert np.isclose(large.rate_at(step), 2 * small.rate_at(step))
        assert np.allclose(large.multipliers_at(step), small.multipliers_at(step))
    assert large.color_noise_at(700) == 0.0


def test_warm_up_holds_for_single_variables_too():
    cold, warm = make(), make(warmup_steps=4)
    assert warm.rate_at(1) == cold.rate_at(1) / 2
    assert warm.multipliers_at(1) == cold.multipliers_at(1)


def test_entries_may_stand_in_any_order_and_the_last_of_an_epoch_holds():
    rule = make(diary=((5, "rate", 0.003), (2, "rate", 0.005), (2, "rate", 0.004)))
    assert [rule.rate_at(epoch * 10) for epoch in (1, 2, 4, 5)] == [0.01, 0.004, 0.004, 0.003]
    assert rule.multipliers_at(0) is None
    late = make(diary=((5, "*/bias", 0.02),))
    assert late.multipliers_at(0) == (1, 2, 1, 1, 1, 2)


def test_a_pattern_that_matches_no_variable_is_refused():
    with pytest.raises(UsageError, match="no variable matches 'conv9\\*'"):
        make(diary=((25, "conv9*", 0.1),))


def test_variables_with_schedules_of_their_own_follow_them():
    """`schedW=linear[tgtFactor=10]` of the 2012 files, whatever the run's rate is."""
    scheduled = VariableSettings(
        "fc/kernel", 3.0, 0.0, None, schedule=Schedule("linear", target=10.0)
    )
    plain = VariableSettings("fc/bias", 2.0, 0.0, None)
    rule = make((scheduled, plain), schedule="cosine", diary=())
    for step in (0, 455, 909):
        t = step / 910
        first, second = (rule.rate_at(step) * each for each in rule.multipliers_at(step))
        assert np.isclose(first, 0.03 * (1 - t) + 0.003 * t)
        assert np.isclose(second, 2 * rule.rate_at(step))


def test_noise_of_a_schedule_is_a_function_of_the_step():
    """rate (1 + |z| s), z normal: mean 1 + s sqrt(2 / pi), never below 1."""
    noisy = VariableSettings("fc/kernel", 1.0, 0.0, None, schedule=Schedule("exp", 1.0, noise=0.5))
    first, second = make((noisy,), schedule="constant"), make((noisy,), schedule="constant")
    found = np.array([first.multipliers_at(step)[0] for step in range(910)])
    assert [second.multipliers_at(step)[0] for step in (909, 3)] == [found[909], found[3]]
    assert found.min() >= 1
    assert abs(found.mean() - (1 + 0.5 * np.sqrt(2 / np.pi))) < 0.05


@pytest.mark.parametrize("epoch", [0, 1, 2])
def test_a_resumed_run_begins_at_any_epoch(epoch):
    """Nothing was asked of the rule before."""
    rule = make(diary=((0, "*/bias", 0.05),))
    assert np.allclose(rule.multipliers_at(epoch * 10), [1, 5, 1, 1, 1, 5])


def test_scaled_rates_are_said_as_they_are_used_and_noise_is_not_scaled():
    rule = make(batch_size=256, scaling="linear")
    assert rule.end_epoch(670, {}) == [
        "epoch 67: learning rate of conv1*/kernel* -> 2e-05, as planned",
        "epoch 67: colour noise -> 0, as planned",
    ]
    entries = ((1, "rate", 0.5), (1, "color_noise", 0.25))
    assert Diary(entries, 1.0, 3.0).describe(1) == ["learning rate -> 1.5", "colour noise -> 0.25"]
    # Without a scale the rates are those of the entries.
    assert Diary(entries, 1.0).rate(1) == 0.5
