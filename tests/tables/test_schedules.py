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


def test_one_step_is_the_last():
    # Section 4.5: "n=1 -> b/T"; without a number of steps there is one.
    for schedule in (schedules.parse("dexp[250,0,1]"), schedules.parse("dexp[250]"),
                     schedules.Schedule("dexp", 250.0)):  # fmt: skip
        assert [schedule.factor(t) for t in (0, 0.5, 1)] == pytest.approx([1 / 250] * 3)


@pytest.mark.parametrize(
    ("progress", "step"),
    # i/n < t <= (i+1)/n; t = 0 belongs to the first.
    [(0.0, 0), (0.2, 0), (0.2001, 1), (0.4, 1), (0.4001, 2), (0.8, 3), (0.8001, 4), (1.0, 4)],
)
def test_where_steps_begin(progress, step):
    schedule = schedules.Schedule("dexp", 16.0, steps=5)
    assert schedule.factor(progress) == pytest.approx(16 ** (-step / 4))


@pytest.mark.parametrize(
    ("progress", "between"),
    # Only where i > 0, 0.2 < t < 0.9 and t > (i + 0.5) / n; here n = 5.
    [(0.15, False), (0.29, False), (0.31, True), (0.4, True), (0.5, False), (0.51, True),
     (0.89, False), (0.9, False), (0.95, False)],
)  # fmt: skip
def test_where_a_step_between_lies(progress, between):
    plain = schedules.Schedule("dexp", 16.0, steps=5).factor(progress)
    jumping = schedules.Schedule("jdexp", 16.0, steps=5).factor(progress)
    # The geometric mean with the step before, which is twice this one.
    assert jumping == pytest.approx(plain * 2**0.5 if between else plain)


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
    "text", ["dexp[numSteps=4, tgtFactor=250]", "dexp[noiseStdev=0,tgtFactor=250,numSteps=4]"]
)
def test_named_values_may_stand_in_any_order(text):
    assert schedules.parse(text) == schedules.Schedule("dexp", 250, 0, 4)
    with pytest.raises(UserError, match="needs tgtfactor, noisestdev, numsteps in this order"):
        schedules.parse(text, strict=True)


@pytest.mark.parametrize("values", ["noiseStdev=0", "tgtFactor=2,tgtFactor=2", "tgtFactor=2,n=3"])
def test_names_that_are_missing_doubled_or_unknown(values):
    with pytest.raises(UserError, match="needs tgtfactor, noisestdev"):
        schedules.parse(f"exp[{values}]")


@pytest.mark.parametrize(
    "text", ["dexp[1000,4]", "dexp[noiseStdev=0,tgtFactor=250,numSteps=4]", "linear[250,1]"]
)
def test_strict_reading_refuses_old_notations(text):
    with pytest.raises(UserError):
        schedules.parse(text, strict=True)


@pytest.mark.parametrize(
    "text",
    [
        "cosine[3]",
        "dexp[]",
        "dexp[a,b]",
        "exp[-1]",
        "dexp[2,1.5]",
        "exp[nan]",
        "dexp[2,inf]",
        "exp[0]",
        "exp[2,-0.5]",
        "dexp[2,0,0]",
    ],
)
def test_nonsense_is_refused(text):
    with pytest.raises(UserError):
        schedules.parse(text)


def test_one_step_is_the_final_rate():
    assert math.isclose(schedules.parse("dexp[10,0,1]").rate(1, 0.2), 0.1)


def test_a_schedule_has_no_noise_unless_asked_for():
    assert schedules.Schedule("linear", 4.0).rate(0.1, 0, normal=3.0) == pytest.approx(0.1)
    noisy = schedules.Schedule("linear", 4.0, noise=0.5)
    assert noisy.rate(0.1, 0, -3.0) == pytest.approx(0.25)
    assert noisy.rate(0.1, 0) == pytest.approx(0.1)


def test_named_values_beside_others_are_refused():
    """One is enough to say which notation is meant."""
    with pytest.raises(UserError) as mixed:
        schedules.parse("linear[tgtFactor=10, 2]")
    with pytest.raises(UserError) as strict:
        schedules.parse("linear[tgtFactor=10, 2]", strict=True)
    assert str(mixed.value) == str(strict.value)


def test_nothing_falls_unless_a_schedule_says_so():
    for kind in ("default", "linear", "exp", "dexp", "jdexp"):
        schedule = schedules.Schedule(kind)
        assert [schedule.rate(0.3, t, normal=1.0) for t in (0, 0.5, 1)] == [0.3] * 3


def test_the_bounds_of_a_step_between_do_not_belong_to_it():
    """0.2 < t < 0.9; all of these lie in the second half of one of 50 steps."""
    plain, jumping = (schedules.Schedule(kind, 16.0, steps=50) for kind in ("dexp", "jdexp"))
    times = (0.195, 0.2, 0.215, 0.895, 0.9, 0.915)
    between = [jumping.factor(t) != plain.factor(t) for t in times]
    assert between == [False, False, True, True, False, False]


def test_two_steps_are_the_first_and_the_final_rate():
    schedule = schedules.Schedule("dexp", 16.0, steps=2)
    assert [schedule.factor(t) for t in (0, 0.5, 0.51, 1)] == [1, 1, 1 / 16, 1 / 16]


@pytest.mark.parametrize("text", ["exp[2,0,4]", "linear[1,2,3]", "dexp[1,2,3,4]", "default[1]"])
def test_more_values_than_a_kind_has_are_refused(text):
    with pytest.raises(UserError, match="takes"):
        schedules.parse(text)
