"""Schedules against figures of the 2012 files' description (section 4.5)."""

import math

import pytest

from alexnet_common.errors import UserError
from alexnet_tf.tables import schedules


def test_steps_of_run_170():
    schedule = schedules.parse("dexp[tgtFactor=250,noiseStdev=0,numSteps=4]", strict=True)
    rates = [schedule.rate(0.01, t) for t in (0, 0.25, 0.26, 0.5, 0.51, 0.75, 0.76, 1)]
    steps = [0.01, 0.00158740, 0.000251984, 0.00004]
    expected = [steps[i] for i in (0, 0, 1, 1, 2, 2, 3, 3)]
    assert rates == pytest.approx(expected, rel=1e-5)


def test_jdexp_has_a_step_between():
    schedule = schedules.parse("jdexp[250,0,4]")
    assert schedule.rate(0.01, 0.4) == pytest.approx(0.00398422, rel=1e-5)
    assert schedule.rate(0.01, 0.95) == pytest.approx(0.00004)
    # In runs 161 and 172 it was the rate before (a comment in 174's file).
    early = schedules.parse("jdexp[250,4]", jumps_back=True)
    assert early.rate(0.01, 0.4) == pytest.approx(0.01)


def test_exponential_and_linear():
    assert schedules.parse("exp[250]").rate(0.01, 0.5) == pytest.approx(0.000632456, rel=1e-5)
    linear = schedules.parse("linear[tgtFactor=10, noiseStdev=0]", strict=True)
    assert linear.rate(1.0, 0.5) == pytest.approx(0.55)
    assert linear.rate(1.0, 7) == pytest.approx(0.1)
    assert schedules.parse("default").rate(0.3, 0.9) == 0.3
    assert schedules.parse("exp[250]").rate(0.0, 0.5) == 0.0


def test_noise_multiplies_by_one_plus_magnitude():
    schedule = schedules.parse("linear[1,1]")
    assert schedule.noise == 1
    assert schedule.rate(0.1, 0.3, normal=-2.0) == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("text", "target", "noise", "steps"),
    [
        ("dexp[1000,4]", 1000, 0, 4),
        ("dexp[250,0.5,3]", 250, 0.5, 3),
        ("linear[250,1]", 250, 1, 1),
        ("DEXP[ TgtFactor=250 , noisestdev=0 , NUMSTEPS=4 ]", 250, 0, 4),
    ],
)
def test_old_notations_and_case(text, target, noise, steps):
    schedule = schedules.parse(text)
    assert (schedule.target, schedule.noise, schedule.steps) == (target, noise, steps)


@pytest.mark.parametrize(
    "text", ["dexp[1000,4]", "dexp[noiseStdev=0,tgtFactor=250,numSteps=4]", "linear[250,1]"]
)
def test_strict_reading_refuses_old_notations(text):
    with pytest.raises(UserError):
        schedules.parse(text, strict=True)


@pytest.mark.parametrize(
    "text",
    ["cosine[3]", "dexp[]", "dexp[a,b]", "exp[-1]", "dexp[2,1.5]", "exp[nan]", "dexp[2,inf]"],
)
def test_nonsense_is_refused(text):
    with pytest.raises(UserError):
        schedules.parse(text)


def test_one_step_is_the_final_rate():
    assert math.isclose(schedules.parse("dexp[10,0,1]").rate(1, 0.2), 0.1)
