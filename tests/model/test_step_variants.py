"""Ways to compute the same step: forward pass, gradients and 20 updates against the plain one."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.model import build, grouped, weight_layers
from alexnet_tf.tables import table

OPTIONS = {
    "name": "alexnet",
    "input_size": 67,
    "filters": (8, 16, 16, 16, 16),
    "hidden": (32, 32),
    "init_scale": 2.0,
    "init_biases": (0,) * 8,
    "input_scale": 1 / 60,
}
VARIANTS = {
    "joint": {"implementation": "joint"},
    "space_to_depth": {"space_to_depth": True},
    "joint_space_to_depth": {"implementation": "joint", "space_to_depth": True},
    "banded": {"lrn": "banded"},
    "fast_gradient": {"lrn": "tf_fast_gradient"},
    "shifted_norm": {"lrn": "shifted"},
    "shifted_pool": {"pool": "shifted"},
    "all": {
        "implementation": "joint",
        "space_to_depth": True,
        "lrn": "shifted",
        "pool": "shifted",
    },
}
UPDATES = 20


@pytest.fixture(scope="module")
def columns():
    return table.from_config(OPTIONS, 5)


def batch():
    random = np.random.default_rng(0)
    pixels = random.normal(0, 60, (8, 67, 67, 3)).astype(np.float32)
    return tf.constant(pixels), tf.constant(random.integers(0, 5, 8))


def trained(columns, jit=False, updates=UPDATES, **choices):
    """Logits and gradients at first, and the weights after some updates, by the towers' names."""
    model = build.build(columns, seed=3, **choices)
    x, labels = batch()
    variables = model.trainable_variables

    @tf.function(jit_compile=jit, autograph=False)
    def step():
        with tf.GradientTape() as tape:
            logits = model(x, training=False)
            loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
            loss = tf.reduce_mean(loss)
        gradients = tape.gradient(loss, variables)
        return logits, gradients

    logits, first = step()
    for number in range(updates):
        gradients = first if number == 0 else step()[1]
        for variable, gradient in zip(variables, gradients, strict=True):
            variable.assign_sub(0.01 * gradient)
    names = {id(variable): name for name, variable in build.named_variables(model).items()}
    gradients = {names[id(v)]: g.numpy() for v, g in zip(variables, first, strict=True)}
    weights = {name: np.asarray(v) for name, v in build.named_variables(model).items()}
    if merged := grouped.merged(columns, choices.get("implementation", "towers")):
        gradients, weights = merged.to_towers(gradients), merged.to_towers(weights)
    return logits.numpy(), gradients, weights


@pytest.fixture(scope="module")
def plain(columns):
    return trained(columns)


def assert_close(found, expected, bound):
    """Within `bound` of the largest value of each array."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        scale = np.abs(value).max()
        assert np.abs(found[name] - value).max() <= bound * scale, name


@pytest.mark.parametrize("jit", [False, True], ids=["kernels", "xla"])
@pytest.mark.parametrize("variant", ["plain", *VARIANTS])
def test_variants_compute_the_same(columns, plain, variant, jit):
    logits, gradients, weights = trained(columns, jit, **VARIANTS.get(variant, {}))
    assert_close({"logits": logits}, {"logits": plain[0]}, 1e-5)
    assert_close(gradients, plain[1], 3e-5)
    # Every update moves a weight by more than these bounds.
    assert_close(weights, plain[2], 3e-5)
    start = trained(columns, updates=0)[2]
    moved = max(
        np.abs(plain[2][n] - w).max() / np.abs(w).max() for n, w in start.items() if w.any()
    )
    assert moved > 1e-2


def test_joint_columns_are_one_network(columns):
    names = set(build.named_variables(build.build(columns, implementation="joint")))
    layers = [*(f"conv{n}" for n in range(1, 6)), *(f"fc{n}" for n in (6, 7, 8))]
    assert names == {f"{layer}/{kind}" for layer in layers for kind in ("kernel", "bias")}
    one_column = table.from_config({"name": "cifar_quick"}, 10)
    assert grouped.merged(one_column, "joint").table == one_column


@pytest.mark.parametrize(
    ("side", "size", "stride", "channels"),
    [(227, 11, 4, 3), (228, 11, 4, 3), (224, 11, 4, 3), (31, 7, 2, 1), (32, 6, 3, 4), (9, 2, 3, 3)],
)
def test_blocks_of_pixels_are_the_same_convolution(side, size, stride, channels):
    """Against sums written out in float64 for one window, and TensorFlow's own for all."""
    random = np.random.default_rng(0)
    x = random.normal(size=(2, side, side, channels)).astype(np.float32)
    w = random.normal(size=(size, size, channels, 5)).astype(np.float32)
    found = weight_layers.convolve_blocks(tf.constant(x), tf.constant(w), stride).numpy()
    expected = tf.nn.conv2d(x, w, stride, "VALID").numpy()
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=2e-4)
    last = (found.shape[1] - 1) * stride
    window = x[1, last : last + size, :size].astype(np.float64)
    by_hand = np.einsum("yxc,yxcf->f", window, w.astype(np.float64))
    np.testing.assert_allclose(found[1, -1, 0], by_hand, atol=2e-4)
