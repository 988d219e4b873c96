"""Rules beside the paper's, limits on gradients and norms, and freezing, against NumPy by hand."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from alexnet_common.errors import UserError
from alexnet_tf import recipes
from alexnet_tf.model.layers import VariableSettings
from alexnet_tf.optim import norm_limits
from alexnet_tf.optim import optimizer as optimizers
from alexnet_tf.optim.gradients import summed
from alexnet_tf.train_loop import step as steps
from tests.helpers.python_path import extended

KERNEL = VariableSettings("fc/kernel", 1.0, 0.05, None)
BIAS = VariableSettings("fc/bias", 2.0, 0.0, None)


def make(settings, rate=0.1, **changes):
    config = recipes.load("default")
    config.learning_rate.initial = rate
    config.optimizer.update(changes)
    return optimizers.make(config, settings)


def start(seed=0):
    random = np.random.default_rng(seed)
    return [random.normal(size=(4, 3)), random.normal(size=3)]


def draw(steps, seed=1):
    random = np.random.default_rng(seed)
    return [[random.normal(size=(4, 3)), random.normal(size=3)] for _ in range(steps)]


def train(optimizer, values, gradients, rates=None, before=None, **how):
    """The variables after every step."""
    variables = [tf.Variable(value, dtype=tf.float32) for value in values]
    optimizer.build(variables)

    @tf.function
    def step(found):
        steps.update(optimizer, found, variables, **how)

    trace = []
    for number, each in enumerate(gradients):
        if rates:
            optimizer.learning_rate = rates[number]
        if before:
            before(number)
        step([tf.constant(gradient, tf.float32) for gradient in each])
        trace.append([variable.numpy().copy() for variable in variables])
    return trace


def assert_same(found, expected):
    for ours, theirs in zip(found, expected, strict=True):
        for one, two in zip(ours, theirs, strict=True):
            assert np.allclose(one, two, rtol=2e-5, atol=1e-6)


def test_lars_by_its_formula():
    """v <- m v - rate local (g + decay w), local = trust |w| / (|g| + decay |w|); biases plain."""
    gradients, rates = draw(6), [1.0, 1.0, 2.0, 2.0, 0.5, 0.5]
    (w, b), v, u, expected = start(), 0.0, 0.0, []
    for (gw, gb), rate in zip(gradients, rates, strict=True):
        norm, slope = np.sqrt((w**2).sum()), np.sqrt((gw**2).sum())
        local = 0.02 * norm / (slope + 0.05 * norm)
        v = 0.9 * v - rate * local * (gw + 0.05 * w)
        u = 0.9 * u - 2 * rate * gb
        w, b = w + v, b + u
        expected.append([w, b])
    optimizer = make((KERNEL, BIAS), name="lars", trust_coefficient=0.02)
    assert_same(train(optimizer, start(), gradients, rates), expected)


def test_lars_of_small_weights_and_gradients():
    """w = 0.1 everywhere: |w| = 0.1 sqrt(12); g = 0.2: |g| is twice that."""
    optimizer = make((KERNEL, BIAS), name="lars", trust_coefficient=0.02)
    found = train(
        optimizer, [np.full((4, 3), 0.1), np.zeros(3)], [[np.full((4, 3), 0.2), np.zeros(3)]]
    )
    # local = 0.02 * 1 / (2 + 0.05), in units of |w|; the rate is 0.1.
    assert np.allclose(found[0][0], 0.1 - 0.1 * 0.02 / 2.05 * (0.2 + 0.05 * 0.1), rtol=1e-6)


def test_lars_moves_a_kernel_of_zeros():
    """Its local rate would be 0 for ever."""
    optimizer = make((KERNEL, BIAS), name="lars")
    found = train(optimizer, [np.zeros((4, 3)), np.zeros(3)], [[np.ones((4, 3)), np.ones(3)]])
    assert np.allclose(found[0][0], -0.1) and np.allclose(found[0][1], -0.2)
    still = train(make((KERNEL, BIAS), name="lars"), start(), [[np.zeros((4, 3)), np.zeros(3)]])
    # Only the decay is left, at the plain rate: 0.1 * 0.05 of each weight.
    assert np.allclose(still[0][0], 0.995 * start()[0], rtol=1e-6)


def test_decoupled_decay_is_that_of_keras():
    gradients, rates = draw(6), [0.1] * 3 + [0.01] * 3
    theirs = keras.optimizers.SGD(0.1, momentum=0.9, weight_decay=0.05)
    # Keras knows biases only if it is told by name.
    theirs.exclude_from_weight_decay(var_names=["^bias"])
    variables = [
        tf.Variable(v, dtype=tf.float32, name=n)
        for v, n in zip(start(), ("kernel", "bias"), strict=True)
    ]
    theirs.build(variables)
    expected = []
    for each, rate in zip(gradients, rates, strict=True):
        theirs.learning_rate = rate
        theirs.apply_gradients(
            [(tf.constant(g, tf.float32), v) for g, v in zip(each, variables, strict=True)]
        )
        expected.append([variable.numpy().copy() for variable in variables])
    plain_bias = VariableSettings("fc/bias", 1.0, 0.0, None)
    optimizer = make((KERNEL, plain_bias), name="sgd_decoupled")
    assert_same(train(optimizer, start(), gradients, rates), expected)


@pytest.mark.parametrize("limit", [0.5, 1000.0])
def test_clipping_scales_all_gradients_by_one_factor(limit):
    """The frozen bias' gradient does not count."""
    gradients = draw(5)
    settings = (
        KERNEL,
        VariableSettings("a/bias", 1.0, 0.0, None),
        VariableSettings("b/bias", 0.0, 0.0, None),
    )
    (w, b), frozen = start(), np.ones(3)
    v, u, expected = 0.0, 0.0, []
    for gw, gb in gradients:
        factor = min(1.0, limit / np.sqrt((gw**2).sum() + (gb**2).sum()))
        v = 0.9 * v - 0.1 * (factor * gw + 0.05 * w)
        u = 0.9 * u - 0.1 * factor * gb
        w, b = w + v, b + u
        expected.append([w, b, frozen])
    three = [[gw, gb, 1e6 * np.ones(3)] for gw, gb in gradients]
    found = train(make(settings), [*start(), frozen], three, clip_global_norm=limit)
    assert_same(found, expected)


def test_a_variable_frozen_in_mid_run_does_not_coast():
    gradients = draw(6)
    optimizer = make((KERNEL, BIAS))

    def before(number):
        if number in (2, 4):
            optimizers.set_multipliers(optimizer, (0.0, 0.5) if number == 2 else (1.0, 0.5))

    (w, b), v, u, expected = start(), 0.0, 0.0, []
    for number, (gw, gb) in enumerate(gradients):
        if number in (2, 3):
            v = 0.0
        else:
            v = 0.9 * v - 0.1 * (gw + 0.05 * w)
            w = w + v
        u = 0.9 * u - 0.1 * (2.0 if number < 2 else 0.5) * gb
        b = b + u
        expected.append([w, b])
    assert_same(train(optimizer, start(), gradients, before=before), expected)
    with pytest.raises(UserError, match="3 learning rate multipliers for 2"):
        optimizers.set_multipliers(optimizer, (1, 1, 1))
    # What is frozen counts for no norm of gradients.
    for values, learn in (((0.0, 0.5), [False, True]), ((1.0, 0.0), [True, False])):
        optimizers.set_multipliers(optimizer, values)
        assert optimizer.multipliers.learn().numpy().tolist() == learn


def in_range(filters, low, high):
    """wcNorm, one filter after the other: a = sqrt(sum (w - mean)^2) / n."""
    scaled = filters.copy()
    for number in range(filters.shape[-1]):
        w = filters[..., number]
        a = np.sqrt(((w - w.mean()) ** 2).sum()) / w.size
        if a < low:
            scaled[..., number] = w * low / a
        if a > high:
            scaled[..., number] = w * high / a
    return scaled


def in_ball(filters, ball):
    """wball, one filter after the other: |w| <= ball n."""
    scaled = filters.copy()
    for number in range(filters.shape[-1]):
        w = filters[..., number]
        norm, limit = np.sqrt((w**2).sum()), ball * w.size
        if norm > limit:
            scaled[..., number] = w * limit / norm
    return scaled


def check_left_out(changes):
    """Gradients that are not finite among others: weights and state as if they never came."""
    bad = [[np.full((4, 3), value), np.ones(3)] for value in (np.inf, np.nan)]
    plain, disturbed = make((KERNEL, BIAS), **changes), make((KERNEL, BIAS), **changes)
    gradients = draw(4)
    whole = train(plain, start(), gradients)
    among = [gradients[0], bad[0], *gradients[1:3], bad[1], bad[0], gradients[3]]
    found = train(disturbed, start(), among, skip_not_finite=True)
    for one, two in ((found[-1], whole[-1]), (found[1], found[0]), (found[5], whole[2])):
        assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    states = optimizers.state(plain), optimizers.state(disturbed)
    assert states[0].keys() == states[1].keys()
    assert all(np.array_equal(states[0][name], states[1][name]) for name in states[0])
    # Otherwise they do harm.
    assert not np.isfinite(train(make((KERNEL, BIAS), **changes), start(), bad)[-1][0]).any()


@pytest.mark.parametrize("name", ["sgd", "lars", "sgd_decoupled"])
def test_an_update_that_is_left_out_changes_nothing(name):
    check_left_out({"name": name})


def filters():
    random = np.random.default_rng(3)
    # Six filters, some below, some within, some above the limits.
    return random.normal(0.3, size=(3, 3, 2, 6)) * np.array([0.1, 0.5, 1, 2, 5, 10])


@pytest.mark.parametrize("replicas", [1, 2])
def test_gradients_are_summed_over_replicas(monkeypatch, replicas):
    """Here every replica has the same ones."""

    class Context:
        num_replicas_in_sync = replicas

        def all_reduce(self, operation, values):
            assert operation == tf.distribute.ReduceOp.SUM
            return [replicas * value for value in values]

    monkeypatch.setattr(tf.distribute, "get_replica_context", Context)
    assert [float(g) for g in summed([tf.constant(3.0)])] == [3.0 * replicas]


def test_limits_on_norms_by_hand():
    w = filters()
    assert np.allclose(norm_limits.within_range(tf.constant(w), 0.1, 0.5), in_range(w, 0.1, 0.5))
    assert np.allclose(norm_limits.within_ball(tf.constant(w), 0.3), in_ball(w, 0.3))
    spread = np.sqrt(((w - w.mean((0, 1, 2))) ** 2).sum((0, 1, 2))) / 18
    assert (spread < 0.1).any() and (spread > 0.5).any()
    flat = tf.ones((2, 2, 1, 1))
    assert np.array_equal(norm_limits.within_range(flat, 0.1, 0.5), flat)


def test_limits_act_after_the_update_range_first():
    settings = (
        VariableSettings("conv/kernel", 1.0, 0.0, None, norm_range=(0.1, 0.5), norm_ball=0.4),
        VariableSettings("conv/bias", 1.0, 0.0, None),
        VariableSettings("frozen/kernel", 0.0, 0.0, None, norm_ball=0.1),
    )
    w, v, b = filters(), 0.0, np.ones(6)
    gradient, expected = np.random.default_rng(4).normal(size=w.shape), []
    for _ in range(3):
        v = 0.9 * v - 0.1 * gradient
        w = in_ball(in_range(w + v, 0.1, 0.5), 0.4)
        expected.append([w, b, filters()])
    steps = [[gradient, np.zeros(6), gradient]] * 3
    assert_same(train(make(settings), [filters(), b, filters()], steps), expected)


@pytest.mark.parametrize("name", ["sgd", "lars", "sgd_decoupled"])
def test_state_goes_out_and_in(name):
    gradients = draw(6)
    whole = train(make((KERNEL, BIAS), name=name), start(), gradients)
    first = make((KERNEL, BIAS), name=name)
    half = train(first, start(), gradients[:3])
    second = make((KERNEL, BIAS), rate=0.5, name=name)
    state = optimizers.state(first)

    def before(number):
        if number == 0:
            optimizers.load_state(second, state)

    assert len(state) == 4
    rest = train(second, half[-1], gradients[3:], before=before)
    assert all(np.array_equal(a, b) for a, b in zip(rest[-1], whole[-1], strict=True))


def test_other_rules_say_how_they_differ(capsys):
    make((KERNEL,), rate=0.01)
    assert capsys.readouterr().err == ""
    make((KERNEL,), rate=0.01, name="sgd_decoupled")
    # 0.01 * 0.05 against 0.01 * 0.05 / (1 - 0.9).
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "by 0.0005 per step" in said and "by 0.005 (10 times" in said
    make((KERNEL,), rate=0.01, name="lars")
    assert "0.001 (You et al. 2017)" in capsys.readouterr().err


def check_replicas(repository, *names):
    done = subprocess.run(
        [sys.executable, str(repository / "tests/train_loop/replicas_check.py"), ",".join(names)],
        env=os.environ | {"PYTHONPATH": extended(repository)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert len(found) == 4 * len(names)
    assert all(difference <= 1e-6 for difference in found.values()), found


def test_two_replicas_compute_what_one_does(repository):
    """With and without clipping, with limits on norms, and a variable frozen on the way; also when
    one replica's gradient is not finite and both leave the update out.
    """
    check_replicas(repository, "sgd", "lars", "sgd_decoupled")
