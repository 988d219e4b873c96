"""Neurons and fixed image operations against NumPy and the 2012 files' description."""

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from alexnet_common.errors import UserError
from alexnet_tf.model import layers
from alexnet_tf.model.ops import (
    activations,
    images,
)
from alexnet_tf.tables import (
    notation,
    rows,
)

X = np.array([-3.0, -0.5, 0.0, 0.25, 2.0, 9.0], np.float32)
FORMULAS = {
    "ident": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "softrelu": lambda x: np.where(x > 4, x, np.log1p(np.exp(x))),
    "brelu[2]": lambda x: np.clip(x, 0, 2),
    "drelu[3]": lambda x: x - 3 * np.tanh(x / 3),
    "abs": np.abs,
    "logistic": lambda x: 1 / (1 + np.exp(-x)),
    "tanh[1.7159,0.6667]": lambda x: 1.7159 * np.tanh(0.6667 * x),
    "square": np.square,
    "linear[0.5,-1]": lambda x: 0.5 * x - 1,
}


@pytest.mark.parametrize("name", FORMULAS)
def test_neurons(name):
    np.testing.assert_allclose(
        activations.apply(name, tf.constant(X)), FORMULAS[name](X), rtol=1e-5, atol=1e-6
    )


def test_neurons_of_positive_numbers_and_noise():
    np.testing.assert_allclose(activations.apply("sqrt", tf.constant([4.0])), [2])
    noisy = activations.apply("nrelu", tf.fill([1, 20_000], 3.0)).numpy()
    # r + r N(0, 1), cut at 0: never negative, and scattered by about r.
    assert noisy.min() >= 0
    assert np.mean(noisy > 3) == pytest.approx(0.5, abs=0.02)
    assert np.std(noisy[noisy > 3] - 3) == pytest.approx(3 * 0.6028, rel=0.05)
    assert not np.any(activations.apply("nrelu", tf.constant([[-2.0]])).numpy())


@pytest.mark.parametrize(
    ("name", "x", "expected"),
    [
        ("relu", 0, 0),
        ("abs", 0, -1),
        ("brelu[2]", 0, 0),
        ("brelu[2]", 1.5, 1),
        ("brelu[2]", 2, 0),
        ("softrelu", 5, 1),
        ("softrelu", 1, 1 - 1 / (1 + np.e)),
    ],
)
def test_gradients_at_the_edges_are_those_of_2012(name, x, expected):
    x = tf.constant([x], tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = activations.apply(name, x)
    assert float(tape.gradient(y, x)[0]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ["rellu", "tanh", "tanh[1]", "tanh[1,b]", "relu[1]", "brelu[1e3]"])
def test_wrong_neurons_are_refused(name):
    with pytest.raises(UserError, match="neuron"):
        notation.parse_neuron(name)


def pictures(side=6, channels=2):
    return np.random.default_rng(0).normal(size=(2, side, side, channels)).astype(np.float32)


def transform(row, x):
    return images.transform(tf.constant(x), row, False).numpy()


def test_blur_has_the_taps_of_the_description():
    # layer_definitions.md 2: 9 taps, deviation 4.
    taps = [0.081674, 0.101645, 0.118836, 0.130515, 0.134658]
    taps = np.array(taps + taps[3::-1])
    x = pictures(12)
    padded = np.pad(x, ((0, 0), (4, 4), (4, 4), (0, 0)))
    across = sum(taps[i] * padded[:, :, i : i + 12] for i in range(9))
    expected = sum(taps[i] * across[:, i : i + 12] for i in range(9))
    row = rows.Blur(name="b", inputs=("x",), size=9, stddev=4.0)
    np.testing.assert_allclose(transform(row, x), expected, atol=1e-5)


@pytest.mark.parametrize(("side", "stride", "start", "count"), [(224, 4, 2, 56), (7, 3, 0, 3)])
def test_nailbed_is_centred(side, stride, start, count):
    x = pictures(side)
    row = rows.Nailbed(name="n", inputs=("x",), stride=stride)
    expected = x[:, start::stride, start::stride][:, :count, :count]
    result = transform(row, x)
    assert result.shape[1] == count
    np.testing.assert_array_equal(result, expected)


def test_mirror():
    x = pictures()
    row = rows.Mirror(name="m", inputs=("x",))
    np.testing.assert_array_equal(transform(row, x), x[:, :, ::-1])


@pytest.mark.parametrize(("side", "scale"), [(8, 2.0), (7, 1.5), (8, 0.5), (6, 1.0)])
def test_resize_samples_where_the_description_says(side, scale):
    x = pictures(side).astype(np.float64)
    target = int(side / scale)
    expected = np.zeros((2, target, target, 2))
    positions = [
        min(max(scale * t + (side - scale * target) / 2, 0), side - 1.01) for t in range(target)
    ]
    for r, a in enumerate(positions):
        for c, b in enumerate(positions):
            i, j = int(a), int(b)
            u, v = a - i, b - j
            expected[:, r, c] = (
                (1 - u) * (1 - v) * x[:, i, j]
                + (1 - u) * v * x[:, i, j + 1]
                + u * (1 - v) * x[:, i + 1, j]
                + u * v * x[:, i + 1, j + 1]
            )
    row = rows.Resize(name="r", inputs=("x",), scale=scale)
    np.testing.assert_allclose(transform(row, x.astype(np.float32)), expected, atol=1e-5)


def test_random_scale_crops():
    x = tf.constant(pictures(16, 3))
    row = rows.RandomScale(name="r", inputs=("x",), maximum_scale=1.5, size=11)
    np.testing.assert_array_equal(images.transform(x, row, False), x[:, 2:13, 2:13])
    assert images.transform(x, row, True).shape == (2, 11, 11, 3)


def test_colour_spaces():
    rgb = np.array([[[[1, 1, 1], [0.2, 0.4, 0.6]]]], np.float32)
    yuv = transform(rows.ColorTransform(name="c", inputs=("x",), space="yuv"), rgb)
    y = 0.2126 * 0.2 + 0.7152 * 0.4 + 0.0722 * 0.6
    np.testing.assert_allclose(yuv[0, 0, 0], [1, 0, 0], atol=1e-3)
    assert yuv[0, 0, 1, 0] == pytest.approx(y, rel=1e-5)
    lab = transform(rows.ColorTransform(name="c", inputs=("x",), space="lab"), rgb)
    # White is (100, 0, 0) by definition.
    np.testing.assert_allclose(lab[0, 0, 0], [100, 0, 0], atol=0.05)
    centred = rows.ColorTransform(name="c", inputs=("x",), space="lab", centered=True)
    np.testing.assert_allclose(transform(centred, rgb)[..., 0], lab[..., 0] - 50, rtol=1e-4)


def one(row, inputs, *tensors):
    kind = layers.LAYERS.get(type(row), layers.FunctionLayer)
    layer = kind(row, [t.shape[1:] for t in tensors], layers.Options())
    values = [tf.constant(t) for t in tensors]
    return layer(values[0] if len(values) == 1 else values).numpy()


def test_rows_that_join_and_cut():
    a, b = pictures(4, 3), 2 * pictures(4, 3)
    reads = ("a", "b")
    row = rows.Sum(name="s", inputs=reads, coefficients=(0.5, -2.0))
    np.testing.assert_allclose(one(row, reads, a, b), 0.5 * a - 2 * b, rtol=1e-6)
    row = rows.Maximum(name="m", inputs=reads)
    np.testing.assert_array_equal(one(row, reads, a, b), np.maximum(a, b))
    row = rows.Concat(name="c", inputs=reads)
    np.testing.assert_array_equal(one(row, reads, a, b), np.concatenate([a, b], -1))
    small = pictures(2, 3)
    vectors = [t.transpose(0, 3, 1, 2).reshape(2, -1) for t in (a, small)]
    np.testing.assert_array_equal(one(row, reads, a, small), np.concatenate(vectors, -1))
    row = rows.Slice(name="c", inputs=("a",), begin=1, size=2)
    np.testing.assert_array_equal(one(row, ("a",), a), a[..., 1:3])
    row = rows.Reinterpret(name="r", inputs=("a",), channels=0)
    np.testing.assert_array_equal(one(row, ("a",), a), a.transpose(0, 3, 1, 2).reshape(2, -1))
    row = rows.Reinterpret(name="r", inputs=("a",), channels=12)
    expected = a.transpose(0, 3, 1, 2).reshape(2, 12, 2, 2).transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(one(row, ("a",), a), expected)
    row = rows.Softmax(name="p", inputs=("a",))
    flat = a.reshape(2, -1)
    expected = np.exp(flat) / np.exp(flat).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(one(row, ("a",), a), expected, rtol=1e-5)


def test_equal_maxima_each_get_the_gradient():
    row = rows.Maximum(name="m", inputs=("a", "b"))
    layer = layers.FunctionLayer(row, [(3,), (3,)], layers.Options())
    a, b = tf.constant([[1.0, 2, 3]]), tf.constant([[1.0, 5, 0]])
    with tf.GradientTape() as tape:
        tape.watch([a, b])
        loss = tf.reduce_sum(layer([a, b]) * [2.0, 3, 4])
    first, second = tape.gradient(loss, [a, b])
    np.testing.assert_array_equal(first, [[2, 0, 4]])
    np.testing.assert_array_equal(second, [[2, 3, 0]])
