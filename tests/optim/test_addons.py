"""tensorflow-addons' optimizers against their formulas, and what is said where there are none."""

import importlib.util

import numpy as np
import pytest
import tensorflow as tf

from alexnet_common.errors import UsageError, UserError
from alexnet_tf import recipes
from alexnet_tf.model.layers import VariableSettings
from alexnet_tf.optim import optimizer as optimizers
from tests.optim.test_optimizer_rules import (
    BIAS,
    KERNEL,
    assert_same,
    check_left_out,
    check_replicas,
    draw,
    in_ball,
    make,
    start,
    train,
)

WITH_ADDONS = importlib.util.find_spec("tensorflow_addons") is not None
needs_addons = pytest.mark.skipif(
    not WITH_ADDONS, reason="needs the second stack: pip install 'alexnet-tf[addons]'"
)


@pytest.mark.skipif(WITH_ADDONS, reason="about the stack without tensorflow-addons")
@pytest.mark.parametrize(
    ("changes", "setting"),
    [({"name": "sgdw"}, "name=sgdw"), ({"averaging": "swa"}, "averaging=swa")],
)
def test_without_addons_one_line_names_the_extra(changes, setting):
    with pytest.raises(UserError) as error:
        make((KERNEL,), **changes)
    said = str(error.value)
    assert f"config.optimizer.{setting}" in said and "\n" not in said
    assert "TensorFlow 2.15 only" in said and "alexnet-tf[addons]" in said


@pytest.mark.parametrize(
    ("changes", "replicas", "message"),
    [
        ({"averaging": "swa"}, 2, "not on 2 replicas"),
        ({"averaging": "moving_average", "name": "sgdw"}, 2, "not on 2 replicas"),
    ],
)
def test_combinations_that_do_not_work_are_refused_at_once(changes, replicas, message):
    config = recipes.load("default")
    config.optimizer.update(changes)
    with pytest.raises(UsageError, match=message):
        optimizers.make(config, (KERNEL,), replicas=replicas)


@needs_addons
@pytest.mark.addons
def test_sgdw_by_its_formula():
    """w <- w - decay w; v <- m v - rate g; w <- w + v: the rate does not touch the decay."""
    gradients, rates = draw(6), [0.1] * 3 + [0.01] * 3
    (w, b), v, u, expected = start(), 0.0, 0.0, []
    for (gw, gb), rate in zip(gradients, rates, strict=True):
        w = w - 0.05 * w
        v, u = 0.9 * v - rate * gw, 0.9 * u - 2 * rate * gb
        w, b = w + v, b + u
        expected.append([w, b])
    assert_same(train(make((KERNEL, BIAS), name="sgdw"), start(), gradients, rates), expected)


@needs_addons
@pytest.mark.addons
def test_sgdw_keeps_frozen_variables_limits_and_one_clip():
    settings = (
        VariableSettings("a/kernel", 1.0, 0.05, None, norm_ball=0.2),
        VariableSettings("b/kernel", 0.0, 0.05, None),
    )
    optimizer = make(settings, name="sgdw")

    def before(number):
        if number in (2, 4):
            optimizers.set_multipliers(optimizer, (0.0, 0.0) if number == 2 else (1.0, 0.0))

    gradients = [[gw, gw] for gw, _ in draw(6)]
    w, v, still, expected = start()[0], 0.0, start()[0], []
    for number, (gw, _) in enumerate(gradients):
        if number not in (2, 3):
            v = 0.9 * v - 0.1 * gw * min(1.0, 0.7 / np.sqrt((gw**2).sum()))
            w = in_ball(w - 0.05 * w + v, 0.2)
        expected.append([w, still])
    found = train(optimizer, [still, still], gradients, before=before, clip_global_norm=0.7)
    assert_same(found, expected)


@needs_addons
@pytest.mark.addons
@pytest.mark.parametrize("averaging", ["moving_average", "swa"])
def test_the_rule_inside_an_average_is_the_papers(averaging):
    gradients, rates = draw(6), [0.1] * 3 + [0.01] * 3
    plain = train(make((KERNEL, BIAS)), start(), gradients, rates, clip_global_norm=2.0)
    averaged = make((KERNEL, BIAS), averaging=averaging)
    assert_same(train(averaged, start(), gradients, rates, clip_global_norm=2.0), plain)


@needs_addons
@pytest.mark.addons
@pytest.mark.parametrize("averaging", ["none", "moving_average", "swa"])
def test_an_update_that_is_left_out_changes_nothing(averaging):
    """Neither weights nor averages nor the count of updates."""
    name = "sgdw" if averaging == "none" else "sgd"
    check_left_out({"averaging": averaging, "averaging_every_steps": 2, "name": name})


def run_averaged(changes, steps=8):
    """The variables after every update, what `averaged` shows after it, and what it leaves."""
    variables = [tf.Variable(value, dtype=tf.float32) for value in start()]
    optimizer = make((KERNEL, BIAS), **changes)
    optimizer.build(variables)
    trace, shown = [], []
    for each in draw(steps):
        optimizer.apply_gradients(
            [(tf.constant(g, tf.float32), v) for g, v in zip(each, variables, strict=True)]
        )
        trace.append(variables[0].numpy())
        with optimizers.averaged(optimizer, variables):
            shown.append(variables[0].numpy())
        assert np.array_equal(variables[0].numpy(), trace[-1])
    return trace, shown


@needs_addons
@pytest.mark.addons
def test_moving_average_by_its_formula():
    """From update 3 on; before, the average is the weights themselves."""
    trace, shown = run_averaged(
        {"averaging": "moving_average", "averaging_decay": 0.8, "averaging_first_step": 3}
    )
    average = None
    for number, (w, found) in enumerate(zip(trace, shown, strict=True)):
        average = w if number < 3 else 0.8 * average + 0.2 * w
        assert np.allclose(found, average, rtol=1e-5, atol=1e-6)


@needs_addons
@pytest.mark.addons
def test_swa_is_the_mean_of_every_second_update_from_the_third_on():
    trace, shown = run_averaged(
        {"averaging": "swa", "averaging_first_step": 2, "averaging_every_steps": 2}
    )
    for number, found in enumerate(shown):
        taken = [trace[n] for n in range(2, number + 1, 2)] or [trace[number]]
        assert np.allclose(found, np.mean(taken, axis=0), rtol=1e-5, atol=1e-6)


def test_without_averaging_nothing_is_swapped():
    trace, shown = run_averaged({}, steps=2)
    assert all(np.array_equal(a, b) for a, b in zip(trace, shown, strict=True))


@needs_addons
@pytest.mark.addons
@pytest.mark.parametrize("averaging", ["none", "moving_average", "swa"])
def test_state_goes_out_and_in(averaging):
    changes = {"averaging": averaging, "averaging_every_steps": 2}
    changes["name"] = "sgdw" if averaging == "none" else "sgd"
    gradients = draw(6)
    reference = make((KERNEL, BIAS), **changes)
    whole = train(reference, start(), gradients)
    first = make((KERNEL, BIAS), **changes)
    half = train(first, start(), gradients[:3])
    second = make((KERNEL, BIAS), rate=0.5, **changes)
    state = optimizers.state(first)
    assert len(state) == (4 if averaging == "none" else 6)

    def before(number):
        if number == 0:
            optimizers.load_state(second, state)

    rest = train(second, half[-1], gradients[3:], before=before)
    assert all(np.array_equal(a, b) for a, b in zip(rest[-1], whole[-1], strict=True))
    ends = optimizers.state(reference), optimizers.state(second)
    assert all(np.array_equal(ends[0][name], ends[1][name]) for name in ends[0])
    assert optimizers.learning_rate(second) == 0.1


@needs_addons
@pytest.mark.addons
def test_sgdw_and_averages_say_how_they_differ(capsys):
    make((KERNEL,), rate=0.01, name="sgdw")
    said = capsys.readouterr().err
    # 0.05 at every step against 0.01 * 0.05 / (1 - 0.9).
    assert "shrink by 0.05 per step" in said and "by 0.005 at rate 0.01" in said
    make((KERNEL,), averaging="swa")
    assert "Izmailov et al. 2018" in capsys.readouterr().err


@needs_addons
@pytest.mark.addons
@pytest.mark.parametrize(
    ("other", "message"),
    [
        (VariableSettings("b/kernel", 1.0, 0.01, None), "has 0.01, 0.05"),
        (VariableSettings("b/kernel", 1.0, 0.05, None, 0.5), "gives b/kernel 0.5"),
    ],
)
def test_what_sgdw_cannot_do_is_refused(other, message):
    with pytest.raises(UsageError, match=message):
        make((KERNEL, other), name="sgdw")


@needs_addons
@pytest.mark.addons
def test_sgdw_on_two_replicas_computes_what_it_does_on_one(repository):
    check_replicas(repository, "sgdw")
