"""The rule of the loss scale by hand, and its state."""

import tensorflow as tf

from alexnet_tf import recipes
from alexnet_tf.optim import loss_scale


def factors(scale, finite):
    found = []
    for each in finite:
        scale.adjust(tf.constant(each))
        found.append(float(scale.factor()))
    return found


def test_halved_by_what_is_not_finite_doubled_after_so_many_in_a_row(monkeypatch):
    monkeypatch.setattr(loss_scale, "GROWTH_STEPS", 3)
    k = 1024.0
    assert factors(loss_scale.LossScale(), [True, True, False, True, True, True, True]) == [
        32 * k,
        32 * k,
        16 * k,
        16 * k,
        16 * k,
        32 * k,
        32 * k,
    ]


def test_it_begins_at_2_to_the_15_and_waits_for_2000_finite_gradients():
    scale = loss_scale.LossScale()
    assert float(scale.factor()) == 32768
    scale.set_state({"factor": 8.0, "finite_steps": 1998})
    assert factors(scale, [True, True, True]) == [8, 16, 16]
    assert scale.get_state() == {"factor": 16.0, "finite_steps": 1}


def test_it_stays_between_1_and_2_to_the_24(monkeypatch):
    scale = loss_scale.LossScale()
    assert factors(scale, [False] * 20)[12:] == [4, 2, 1, 1, 1, 1, 1, 1]
    monkeypatch.setattr(loss_scale, "GROWTH_STEPS", 1)
    assert factors(scale, [True] * 30)[-7:] == [2.0**24] * 7


def test_a_fixed_factor_stays_and_has_no_state():
    scale = loss_scale.LossScale(100.0)
    assert not scale.dynamic
    assert factors(scale, [True, False, False]) == [100, 100, 100]
    assert scale.get_state() == {}
    scale.set_state({"factor": 8.0, "finite_steps": 3})
    assert float(scale.factor()) == 100


def test_the_state_goes_out_and_in():
    first, second = loss_scale.LossScale(), loss_scale.LossScale()
    factors(first, [False, False, True, True])
    second.set_state(first.get_state())
    assert second.get_state() == {"factor": 8192.0, "finite_steps": 2}
    # A checkpoint of another precision, or of a run with a fixed factor, says nothing.
    second.set_state({})
    assert second.get_state() == {"factor": 8192.0, "finite_steps": 2}


def test_the_recipe_chooses():
    config = recipes.load("default")
    assert loss_scale.make(config) is None
    config.precision = "mixed_bfloat16"
    assert loss_scale.make(config) is None
    config.precision = "mixed_float16"
    assert loss_scale.make(config).dynamic
    config.loss_scale = 128.0
    assert float(loss_scale.make(config).factor()) == 128


def test_more_updates_are_left_out_than_lead_from_the_largest_factor_to_1():
    """2^24 to 1 are 24 halvings; docs/reliability.md promises 50."""
    assert loss_scale.LARGEST == 2**24 and loss_scale.SMALLEST == 1
    assert loss_scale.MAX_SKIPPED_IN_A_ROW == 50 > 2 * 24
