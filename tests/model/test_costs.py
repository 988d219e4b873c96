"""Costs against NumPy: sums over outputs, targets of labelled images, averaged probabilities."""

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from alexnet_tf.model import costs
from alexnet_tf.tables import (
    rows,
    table,
)

Z = np.array([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0]], np.float32)
NUMBERS = np.array([2, 1])
ONE_HOT = np.eye(3, dtype=np.float32)[NUMBERS]


def net(kind=None, outputs=3, **fields):
    row = rows.FullyConnected(
        name="fc", inputs=("data",), outputs=outputs, kernels=(rows.Weights(init_stddev=1),)
    )
    cost = kind and rows.Cost(name="c", kind=kind, output="fc", **fields)
    return table.Table("t", (row,), 4, max(outputs, 2), cost=cost)


def difference(neuron="", coefficients=(1.0, -1.0)):
    return rows.Sum(name="d", inputs=("labels", "fc"), coefficients=coefficients, neuron=neuron)


def logistic(z):
    return 1 / (1 + np.exp(-z))


def ours(net, outputs, labels):
    labels = np.asarray(labels)
    labels = tf.constant(labels, tf.int32 if labels.ndim == 1 else tf.float32)
    return costs.per_example(net, tf.constant(outputs, tf.float32), labels).numpy()


def test_softmax_cross_entropy():
    soft = np.exp(Z) / np.exp(Z).sum(axis=1, keepdims=True)
    expected = -np.log(soft[[0, 1], NUMBERS])
    for coefficient in (1.0, 0.5):
        made = net("logreg", coefficient=coefficient)
        np.testing.assert_allclose(ours(made, Z, NUMBERS), coefficient * expected, rtol=1e-5)
        np.testing.assert_allclose(ours(made, Z, ONE_HOT), coefficient * expected, rtol=1e-5)
        of = costs.of_probabilities(made, tf.constant(soft), tf.constant(NUMBERS))
        np.testing.assert_allclose(of, coefficient * expected, rtol=1e-5)
    np.testing.assert_allclose(ours(net(), Z, NUMBERS), expected, rtol=1e-5)
    np.testing.assert_allclose(costs.probabilities(net(), Z), soft, rtol=1e-5)


def test_sigmoid_cross_entropy_of_logits_and_of_outputs():
    p = logistic(Z)
    several = np.array([[1, 0, 1], [0, 1, 0]], np.float32)
    for labels, t in ((several, several), (NUMBERS, ONE_HOT)):
        expected = -(t * np.log(p) + (1 - t) * np.log(1 - p)).sum(axis=1)
        made = net("crossent2", coefficient=2.0)
        np.testing.assert_allclose(ours(made, Z, labels), 2 * expected, rtol=1e-5)
        made = net("crossent2", from_logits=False)
        np.testing.assert_allclose(ours(made, p, labels), expected, rtol=1e-5)
    np.testing.assert_allclose(costs.probabilities(net("crossent2"), Z), p, rtol=1e-5)
    # The 2012 code takes -50 for the logarithm of 0.
    assert ours(made, [[0.0, 0.0, 1.0]], [[1.0, 0, 1]]) == pytest.approx(50)


def test_robust_cost_and_squares():
    p = logistic(Z)
    made = net("rflickr", from_logits=False)
    expected = np.log(1 + (p - ONE_HOT) ** 2).sum(axis=1)
    np.testing.assert_allclose(ours(made, p, NUMBERS), expected, rtol=1e-5)
    made = net("sum2", from_logits=False, tail=(difference(),))
    np.testing.assert_allclose(ours(made, p, NUMBERS), ((ONE_HOT - p) ** 2).sum(axis=1), rtol=1e-5)
    np.testing.assert_array_equal(costs.probabilities(made, tf.constant(p)), p)


def test_a_tail_of_several_layers():
    tail = (
        difference("tanh[2,0.5]", (3.0, -1.0)),
        rows.Neuron(name="n", inputs=("d",), neuron="linear[2,1]"),
        rows.Concat(name="both", inputs=("n", "d")),
    )
    made = net("sum2", from_logits=False, tail=tail, coefficient=0.25)
    d = 2 * np.tanh(0.5 * (3 * ONE_HOT - Z))
    expected = ((2 * d + 1) ** 2 + d**2).sum(axis=1) / 4
    np.testing.assert_allclose(ours(made, Z, NUMBERS), expected, rtol=1e-5)
    of = costs.of_probabilities(made, tf.constant(Z), tf.constant(NUMBERS, tf.int32))
    np.testing.assert_allclose(of, expected, rtol=1e-5)


def test_gates_are_the_class_numbers():
    made = net("gsum2", outputs=2, from_logits=False, tail=(difference(),))
    expected = [0, (0 - Z[1, 0]) ** 2 + (1 - Z[1, 1]) ** 2]
    np.testing.assert_allclose(ours(made, Z[:, :2], [0, 1]), expected, rtol=1e-5)


def test_one_output_tells_two_classes_apart():
    z, labels = np.array([[0.3], [-1.2], [2.0]], np.float32), np.array([1, 1, 0])
    y = logistic(z[:, 0])
    expected = -np.log(np.where(labels == 1, y, 1 - y))
    made = net("crossent2", outputs=1)
    np.testing.assert_allclose(ours(made, z, labels), expected, rtol=1e-5)
    scores = costs.probabilities(made, tf.constant(z))
    np.testing.assert_allclose(scores, np.stack([1 - y, y], 1), rtol=1e-5)
    np.testing.assert_array_equal(costs.ranking(made, tf.constant(z)), scores)
    of = costs.of_probabilities(made, scores, tf.constant(labels, tf.int32))
    np.testing.assert_allclose(of, expected, rtol=1e-5)
    squares = net("sum2", outputs=1, from_logits=False, tail=(difference(),))
    np.testing.assert_allclose(ours(squares, z, labels), (labels - z[:, 0]) ** 2, rtol=1e-5)
