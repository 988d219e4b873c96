"""Errors and sums of a step, and an update from its gradients, by hand."""

import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.evaluation import metrics
from alexnet_tf.model.layers import VariableSettings
from alexnet_tf.optim import gradients, optimizer
from alexnet_tf.train_loop import step


def test_errors_by_hand():
    scores = tf.constant([[0.1, 0.7, 0.2], [0.5, 0.2, 0.3], [0.2, 0.3, 0.5]])
    labels = tf.constant([1, 2, 0])
    assert metrics.errors(scores, labels, 1).numpy().tolist() == [0, 1, 1]
    assert metrics.errors(scores, labels, 2).numpy().tolist() == [0, 0, 1]
    assert metrics.errors(scores, labels, 3).numpy().tolist() == [0, 0, 0]


def test_random_scores_rank_as_a_stable_sort_does():
    random = np.random.default_rng(0)
    # Few different values, so that many scores are equal.
    scores = random.integers(0, 6, (500, 20)).astype(np.float32)
    labels = random.integers(0, 20, 500)
    ranking = np.argsort(-scores, axis=1, kind="stable")
    for k in (1, 5):
        wrong = [label not in row[:k] for row, label in zip(ranking, labels, strict=True)]
        found = metrics.errors(tf.constant(scores), tf.constant(labels, tf.int32), k)
        assert found.numpy().tolist() == wrong


def test_a_network_that_says_the_same_of_every_class_is_right_by_chance_only():
    labels = tf.range(10, dtype=tf.int32)
    assert metrics.errors(tf.zeros([10, 10]), labels, 1).numpy().sum() == 9
    assert metrics.errors(tf.zeros([10, 10]), labels, 5).numpy().sum() == 5


def test_not_a_number_is_an_error():
    scores = tf.constant([[np.nan, 1.0], [np.nan, np.nan]])
    assert metrics.errors(scores, tf.constant([0, 1]), 1).numpy().tolist() == [1, 1]


def test_sums_leave_out_rows_of_weight_0():
    """Also where such a row's loss is not a number."""
    found = metrics.sums(
        tf.constant([1.0, 2.0, np.nan]),
        tf.constant([[3.0, 1.0, 2.0]] * 3),
        tf.constant([0, 1, 1]),
        tf.constant([1.0, 1.0, 0.0]),
    )
    assert found.numpy().tolist() == [3.0, 1.0, 0.0, 2.0]


def plain_sgd(multipliers, start):
    """w <- w - g."""
    settings = [VariableSettings("row/kernel", each, 0.0, None) for each in multipliers]
    variables = [tf.Variable(value) for value in start]
    rule = optimizer.PaperSGD(settings, 1.0, 0.0)
    rule.build(variables)
    return rule, variables


def test_an_update_divides_by_the_scale_measures_and_clips_in_this_order():
    """Gradients (3, 4) and 12, times a scale of 8: a norm of 13, clipped to 6.5."""
    rule, variables = plain_sgd((1.0, 1.0), ([1.0, 1.0], 1.0))
    own = [tf.constant([24.0, 32.0]), tf.constant(96.0)]
    norm = step.update(rule, own, variables, scale=tf.constant(8.0), clip_global_norm=6.5)
    assert norm.numpy() == 13
    assert variables[0].numpy().tolist() == [-0.5, -1.0]
    assert variables[1].numpy() == -5


def test_without_scale_and_limit_gradients_stay_the_same_bits():
    random = np.random.default_rng(0)
    start, own = random.normal(size=(2, 5)).astype(np.float32)
    rule, (variable,) = plain_sgd((1.0,), (start,))
    step.update(rule, [tf.constant(own)], [variable])
    assert np.array_equal(variable.numpy(), start - own)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, 1e30])
def test_one_gradient_that_is_not_finite_shows_in_the_norm(value):
    """Also that of a frozen variable, and one whose square is beyond float32."""
    found = [tf.constant([3.0, 4.0]), tf.constant([0.0, value])]
    variables = [tf.Variable([0.0, 0.0]), tf.Variable([0.0, 0.0])]
    for learn in ([True, True], [True, False]):
        assert not np.isfinite(gradients.global_norm(found, variables, tf.constant(learn)))


def test_gradients_of_frozen_variables_do_not_count():
    found = [tf.constant([3.0, 4.0]), tf.constant(100.0)]
    variables = [tf.Variable([0.0, 0.0]), tf.Variable(0.0)]
    assert gradients.global_norm(found, variables, tf.constant([True, False])).numpy() == 5
