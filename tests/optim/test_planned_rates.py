"""Schedules against closed forms and the 2012 code's values; warm-up; scaling with the batch."""

import math

import numpy as np
import pytest

from alexnet_common.errors import UsageError, UserError
from alexnet_tf import recipes
from alexnet_tf.optim.schedules import learning_rate, planned_rates

# 91 epochs of 10 steps.
LENGTH = {"steps_per_epoch": 10, "total_steps": 910}


def config(batch_size=128, **changes):
    made = recipes.load("default")
    made.batch_size = batch_size
    made.learning_rate.update(changes)
    return made


def rates(steps, length=LENGTH, **changes):
    rule = learning_rate.make(config(**changes), **length)
    return [rule.rate_at(step) for step in steps]


def test_step_exponential_is_the_dexp_of_2012():
    """`dexp[tgtFactor=250, numSteps=4]`: stage i covers i/4 < t <= (i + 1)/4, with t = step / 8."""
    found = rates(range(8), {"steps_per_epoch": 2, "total_steps": 8}, schedule="step_exponential")
    stages = [0.01, 0.00158740, 0.000251984, 0.00004]
    assert np.allclose(found, [stages[i] for i in (0, 0, 0, 1, 1, 2, 2, 3)], rtol=1e-5)


def test_step_exponential_with_stages_that_do_not_divide_the_run():
    """The stage of t = step / total is ceil(step n / total) - 1, here in whole numbers."""
    for total, stages in ((7, 3), (910, 4), (90 * 10010, 7)):
        made = {"schedule": "step_exponential", "stages": stages, "target_factor": 1000.0}
        steps = sorted(
            {0, 1, total - 1, *(total * i // stages + d for i in range(stages) for d in (0, 1, 2))}
            & set(range(total))
        )
        found = rates(steps, {"steps_per_epoch": 1, "total_steps": total}, **made)
        expected = [max(-(-step * stages // total) - 1, 0) for step in steps]
        assert np.allclose(found, [0.01 * 1000 ** (-i / (stages - 1)) for i in expected])


def test_one_stage_is_the_last():
    assert np.allclose(rates([0, 909], schedule="step_exponential", stages=1), 0.01 / 250)


def test_exponential_halfway():
    assert np.isclose(rates([455], schedule="exponential")[0], 0.000632456, rtol=1e-6)


@pytest.mark.parametrize(("power", "end"), [(1.0, 0.0), (2.0, 0.001)])
def test_polynomial(power, end):
    found = rates(range(910), schedule="polynomial", power=power, end=end)
    left = (910 - np.arange(910)) / 910
    assert np.allclose(found, end + (0.01 - end) * left**power, rtol=1e-12)


def test_cosine():
    found = rates([0, 455, 910], schedule="cosine", end=0.002)
    assert np.allclose(found, [0.01, 0.006, 0.002])
    assert np.isclose(
        rates([303], {"steps_per_epoch": 1, "total_steps": 909}, schedule="cosine"),
        0.01 * (1 + math.cos(math.pi / 3)) / 2,
    )


def test_steps_fall_with_the_first_step_of_their_epoch():
    found = rates(
        [0, 249, 250, 509, 510, 789, 790, 909], schedule="steps", drop_epochs=(25, 51, 79)
    )
    assert np.allclose(found, [1e-2, 1e-2, 1e-3, 1e-3, 1e-4, 1e-4, 1e-5, 1e-5])


def test_constant():
    assert rates([0, 909], schedule="constant") == [0.01, 0.01]


ALL = (
    "constant",
    "steps",
    "diary",
    "step_exponential",
    "exponential",
    "polynomial",
    "cosine",
    "plateau",
)


@pytest.mark.parametrize("schedule", ALL)
def test_warm_up_rises_linearly_to_the_schedule(schedule):
    cold = rates(range(20), schedule=schedule)
    for warm in ({"warmup_steps": 15}, {"warmup_epochs": 1.5}):
        found = rates(range(20), schedule=schedule, **warm)
        factors = [min((step + 1) / 15, 1) for step in range(20)]
        assert np.allclose(found, np.multiply(cold, factors), rtol=1e-12)


@pytest.mark.parametrize("schedule", ALL)
def test_a_rate_depends_on_nothing_but_its_step(schedule):
    """So that a resumed run needs to remember nothing."""
    changes = {"schedule": schedule, "warmup_steps": 7}
    rule = learning_rate.make(config(**changes), **LENGTH)
    order = np.random.default_rng(0).permutation(910)
    found = {int(step): rule.rate_at(int(step)) for step in order}
    assert [found[step] for step in range(910)] == rates(range(910), **changes)


@pytest.mark.parametrize(
    ("rule", "batch_size", "expected"),
    [
        ("none", 1024, 0.01),
        ("linear", 1024, 0.08),
        ("linear", 64, 0.005),
        ("square_root", 512, 0.02),
    ],
)
def test_scaling_with_the_batch(rule, batch_size, expected):
    made = config(batch_size, scaling=rule, schedule="cosine")
    assert np.isclose(planned_rates.scaled_initial(made), expected)
    assert np.isclose(learning_rate.make(made, **LENGTH).rate_at(0), expected)
    sources = {"none": "", "linear": "Goyal et al. 2017", "square_root": "Krizhevsky 2014"}
    # What the run's first page says of it.
    note = planned_rates.describe_scaling(made)
    assert sources[rule] in note and bool(note) == (rule != "none")


def test_a_run_that_is_stretched_refuses_another_length():
    """The rate of every step would be another one."""
    rule = learning_rate.make(config(schedule="cosine"), **LENGTH)
    longer = learning_rate.make(config(schedule="cosine"), steps_per_epoch=10, total_steps=1000)
    with pytest.raises(UserError, match="910 steps and now is 1,000"):
        longer.set_state(rule.get_state())
    rule.set_state(rule.get_state())
    steps = learning_rate.make(config(schedule="steps"), **LENGTH)
    learning_rate.make(config(schedule="steps"), steps_per_epoch=1).set_state(steps.get_state())


@pytest.mark.parametrize("schedule", ["cosine", "polynomial"])
def test_a_rate_does_not_rise_to_its_end(schedule):
    """The default's initial rate is 0.01, scaled twice up here."""
    with pytest.raises(UsageError, match="end must be at most the initial rate 0.02, not 0.03"):
        made = config(256, schedule=schedule, end=0.03, scaling="linear")
        learning_rate.make(made, **LENGTH)
    flat = learning_rate.make(config(256, schedule=schedule, end=0.02, scaling="linear"), **LENGTH)
    assert [flat.rate_at(step) for step in (0, 5, 9)] == pytest.approx([0.02] * 3)


def test_a_stretched_schedule_needs_the_length():
    with pytest.raises(UsageError, match="length"):
        learning_rate.make(config(schedule="cosine"))


def test_progress_ends_with_the_run():
    length = planned_rates.Length(steps_per_epoch=10, total_steps=40)
    assert [length.progress(step) for step in (0, 10, 40, 50, 90)] == [0, 0.25, 1, 1, 1]
    assert planned_rates.Length(10, 0).progress(5) == 0
