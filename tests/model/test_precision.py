"""Precisions, compilation and implementations: every combination runs a step, or says why not."""

import itertools

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from alexnet_tf.model import (
    build,
    placement,
)
from alexnet_tf.tables import table

POLICIES = ("float32", "mixed_bfloat16", "mixed_float16")
# Relative size of a rounding step, times the depth of the network.
TOLERANCE = {"float32": 1e-5, "mixed_bfloat16": 0.05, "mixed_float16": 0.01}
# The code of 2012: both normalisations. Without dropout, whose masks XLA draws otherwise.
NET = {
    "name": "alexnet",
    "input_size": 67,
    "filters": (16, 32, 48, 48, 32),
    "hidden": (64, 48),
    "neuron_after_pool": (1, 5),
    "spatial_norm_layers": (2,),
    "init_scale": 2.0,
    "init_biases": (0,) * 8,
    "input_scale": 1 / 60,
    "dropout_after": (),
}


def step(implementation, policy, jit, lrn="tf", factor=1.0):
    """The loss, and by name the gradients of `factor` times it, divided by `factor`."""
    net = table.from_config(NET, 10)
    model = build.build(net, policy=policy, implementation=implementation, lrn=lrn)
    variables = [placement.tensorflow_variable(v) for v in model.trainable_variables]
    x = np.random.default_rng(0).normal(0, 60, (4, 67, 67, 3)).astype(np.float32)

    @tf.function(jit_compile=jit)
    def run():
        with tf.GradientTape() as tape:
            logits = model(x, training=True)
            loss = tf.reduce_mean(
                tf.nn.sparse_softmax_cross_entropy_with_logits(tf.range(4), logits)
            )
            scaled = factor * loss
        return logits, loss, [g / factor for g in tape.gradient(scaled, variables)]

    logits, loss, gradients = run()
    assert logits.dtype == tf.float32
    assert all(v.dtype == tf.float32 for v in variables)
    assert all(np.isfinite(g).all() for g in gradients)
    return float(loss), {
        s.name: g.numpy() for s, g in zip(build.variable_settings(model), gradients, strict=True)
    }


@pytest.fixture(scope="module")
def plain():
    return step("towers", "float32", False)


@pytest.mark.parametrize(
    ("implementation", "policy", "jit"),
    [(i, p, False) for i, p in itertools.product(("towers", "grouped"), POLICIES)]
    + [("towers", "float32", True)]
    # Compiling takes ten seconds each.
    + [pytest.param("towers", p, True, marks=pytest.mark.slow) for p in POLICIES[1:]]
    + [pytest.param("grouped", p, True, marks=pytest.mark.slow) for p in POLICIES],
)
def test_every_combination_runs_or_says_why_not(plain, implementation, policy, jit):
    reason = build.unsupported(implementation, policy, jit)
    if reason:
        assert "mixed_bfloat16" in reason
        with pytest.raises(tf.errors.InvalidArgumentError, match="not supported on CPU"):
            step(implementation, policy, jit)
        return
    loss, _ = step(implementation, policy, jit)
    assert loss == pytest.approx(plain[0], rel=TOLERANCE[policy])


@pytest.mark.parametrize("lrn", ["tf_fast_gradient", "banded"])
def test_faster_normalisation_gives_the_same_gradients(plain, lrn):
    loss, gradients = step("towers", "float32", False, lrn=lrn)
    assert loss == pytest.approx(plain[0], rel=1e-5)
    for name, gradient in plain[1].items():
        scale = np.abs(gradient).max()
        np.testing.assert_allclose(gradients[name], gradient, atol=1e-4 * scale, err_msg=name)


def test_a_scaled_loss_keeps_gradients_that_float16_would_lose(plain):
    """Of a loss that is so small as late in a training: without a scale, and with 2^15."""
    small = 2.0**-24
    for scale, kept in ((1.0, False), (2.0**15, True)):
        _, gradients = step("towers", "mixed_float16", False, factor=scale * small)
        first, expected = gradients["conv1a/kernel"], plain[1]["conv1a/kernel"]
        error = np.linalg.norm(first - expected) / np.linalg.norm(expected)
        # float16's own rounding costs 0.11 here, at any scale.
        assert error < 0.2 if kept else error > 0.9


def test_normalisation_is_float32_under_every_policy():
    model = build.build(table.from_config(NET, 10), policy="mixed_float16")
    layer = model.get_layer("lrn1a")
    # 300^2 * 5 overflows float16 (65504) if squares were summed in it.
    x = tf.fill([1, 15, 15, 8], tf.constant(300, tf.float16))
    y = layer(x)
    assert y.dtype == tf.float16
    expected = 300 / (2 + 1e-4 * 5 * 300**2) ** 0.75
    assert float(y[0, 7, 7, 4]) == pytest.approx(expected, rel=2e-3)
