"""Pooling against NumPy loops over clipped windows."""

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from alexnet_tf.model import layers
from alexnet_tf.model.ops import pooling
from alexnet_tf.tables import rows

REDUCE = {
    "max": lambda w: w.max(axis=(1, 2)),
    "avg": lambda w: w.mean(axis=(1, 2)),
    "maxabs": lambda w: np.where(
        w.max(axis=(1, 2)) >= -w.min(axis=(1, 2)), w.max(axis=(1, 2)), w.min(axis=(1, 2))
    ),
}


def loop(x, kind, size, stride, start, count):
    side = x.shape[1]
    y = np.zeros((x.shape[0], count, count, x.shape[3]), np.float32)
    for row in range(count):
        for column in range(count):
            top, left = start + row * stride, start + column * stride
            window = x[
                :, max(top, 0) : min(top + size, side), max(left, 0) : min(left + size, side)
            ]
            y[:, row, column] = REDUCE[kind](window)
    return y


@pytest.mark.parametrize("kind", ["max", "avg", "maxabs"])
@pytest.mark.parametrize(
    ("side", "size", "stride", "start", "outputs", "rounding", "count"),
    [
        (9, 3, 2, 0, 0, "ceil", 4),
        (8, 3, 2, 0, 0, "ceil", 4),
        (8, 3, 2, 0, 0, "floor", 3),
        (55, 2, 2, 0, 0, "ceil", 28),
        (55, 2, 2, 0, 0, "floor", 27),
        (10, 4, 3, 0, 0, "ceil", 3),
        (11, 4, 3, 0, 0, "ceil", 4),
        (8, 3, 2, -1, 0, "ceil", 4),
        (8, 3, 2, -1, 5, "ceil", 5),
        (8, 3, 1, 2, 4, "ceil", 4),
    ],
)
def test_equals_a_loop(kind, side, size, stride, start, outputs, rounding, count):
    x = np.random.default_rng(3).normal(size=(2, side, side, 3)).astype(np.float32)
    row = rows.Pool(
        name="p",
        inputs=("x",),
        kind=kind,
        size=size,
        stride=stride,
        start=start,
        outputs=outputs,
        rounding=rounding,
    )
    ours = pooling.pool(tf.constant(x), row)
    np.testing.assert_allclose(ours, loop(x, kind, size, stride, start, count), atol=1e-6)


def test_random_pooling_picks_values_in_proportion():
    x = np.zeros((4000, 3, 3, 1), np.float32)
    x[:, 0, 0], x[:, 1, 1] = 1, 3
    row = rows.Pool(name="p", inputs=("x",), kind="rand", size=3, stride=2)
    with layers.randomness([1, 2], tf.range(4000), 4000):
        picked = pooling.pool(tf.constant(x), row).numpy().ravel()
    assert set(picked) == {1.0, 3.0}
    # P(3) = 3/4; 4000 draws have a standard error of 0.007.
    assert np.mean(picked == 3) == pytest.approx(0.75, abs=0.03)


def test_random_pooling_stays_inside_the_image():
    x = np.full((50, 4, 4, 2), 7, np.float32)
    for start in (0, -1):
        row = rows.Pool(name="p", inputs=("x",), kind="rand", size=3, stride=2, start=start)
        with layers.randomness([1, 2], tf.range(50), 50):
            assert np.all(pooling.pool(tf.constant(x), row).numpy() == 7)
            # Where all is 0 or below, every valid pixel has the same chance, and no other.
            assert np.all(pooling.pool(tf.constant(-x), row).numpy() == -7)


@pytest.mark.parametrize(("side", "size", "stride"), [(6, 3, 2), (7, 3, 2), (6, 2, 2), (5, 3, 1)])
def test_ties_all_get_the_whole_gradient(side, size, stride):
    # layer_definitions.md 2, pool: every pixel equal to its window's maximum, not divided.
    rng = np.random.default_rng(0)
    x = rng.integers(0, 3, (2, side, side, 3)).astype(np.float32)
    row = rows.Pool(name="p", inputs=("x",), kind="max", size=size, stride=stride, ties="all")
    variable = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(variable)
        y = pooling.pool(variable, row)
        g = rng.normal(size=y.shape).astype(np.float32)
        loss = tf.reduce_sum(y * g)
    count = y.shape[1]
    expected = np.zeros_like(x)
    for r in range(count):
        for c in range(count):
            area = np.s_[:, r * stride : r * stride + size, c * stride : c * stride + size]
            largest = x[area].max(axis=(1, 2), keepdims=True)
            expected[area] += (x[area] == largest) * g[:, r : r + 1, c : c + 1]
    np.testing.assert_array_equal(y, loop(x, "max", size, stride, 0, count))
    np.testing.assert_allclose(tape.gradient(loss, variable), expected, atol=1e-6)


@pytest.mark.parametrize("jit", [False, True], ids=["kernels", "xla"])
@pytest.mark.parametrize(
    ("side", "size", "stride", "start", "outputs"),
    [(13, 3, 2, 0, 0), (8, 3, 2, -1, 5), (9, 2, 3, 1, 0), (8, 4, 3, 0, 2), (6, 3, 1, 0, 0)],
)
def test_shifted_maxima_are_tensorflows(side, size, stride, start, outputs, jit):
    """The same values and, also for equal ones, the same gradient."""
    rng = np.random.default_rng(0)
    x = tf.constant(np.maximum(rng.integers(-3, 4, (2, side, side, 3)), 0).astype(np.float32))
    settings = {"size": size, "stride": stride, "start": start, "outputs": outputs}
    row = rows.Pool(name="p", inputs=("x",), kind="max", **settings)
    count = pooling.pool(x, row).shape[1]
    g = rng.normal(size=(2, count, count, 3)).astype(np.float32)

    def value_and_gradient(implementation, jit):
        @tf.function(jit_compile=jit, autograph=False)
        def compute(x):
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = pooling.pool(x, row, implementation)
            return y, tape.gradient(y, x, g)

        return compute(x)

    expected, ours = value_and_gradient("tf", False), value_and_gradient("shifted", jit)
    np.testing.assert_array_equal(ours[0], expected[0])
    np.testing.assert_allclose(ours[1], expected[1], atol=2e-6)


def test_shifted_maxima_show_what_is_not_finite():
    x = np.zeros((1, 5, 5, 1), np.float32)
    x[0, 1, 1, 0] = np.nan
    row = rows.Pool(name="p", inputs=("x",), kind="max", size=3, stride=2)
    assert np.isnan(pooling.pool(tf.constant(x), row, "shifted").numpy()[0, 0, 0, 0])
