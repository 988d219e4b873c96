"""Errors and sums of a step by hand."""

import numpy as np
import tensorflow as tf

from alexnet_tf.training import step


def test_errors_by_hand():
    scores = tf.constant([[0.1, 0.7, 0.2], [0.5, 0.2, 0.3], [0.2, 0.3, 0.5]])
    labels = tf.constant([1, 2, 0])
    assert step.errors(scores, labels, 1).numpy().tolist() == [0, 1, 1]
    assert step.errors(scores, labels, 2).numpy().tolist() == [0, 0, 1]
    assert step.errors(scores, labels, 3).numpy().tolist() == [0, 0, 0]


def test_random_scores_rank_as_a_stable_sort_does():
    random = np.random.default_rng(0)
    # Few different values, so that many scores are equal.
    scores = random.integers(0, 6, (500, 20)).astype(np.float32)
    labels = random.integers(0, 20, 500)
    ranking = np.argsort(-scores, axis=1, kind="stable")
    for k in (1, 5):
        wrong = [label not in row[:k] for row, label in zip(ranking, labels, strict=True)]
        found = step.errors(tf.constant(scores), tf.constant(labels, tf.int32), k)
        assert found.numpy().tolist() == wrong


def test_a_network_that_says_the_same_of_every_class_is_right_by_chance_only():
    labels = tf.range(10, dtype=tf.int32)
    assert step.errors(tf.zeros([10, 10]), labels, 1).numpy().sum() == 9
    assert step.errors(tf.zeros([10, 10]), labels, 5).numpy().sum() == 5


def test_not_a_number_is_an_error():
    scores = tf.constant([[np.nan, 1.0], [np.nan, np.nan]])
    assert step.errors(scores, tf.constant([0, 1]), 1).numpy().tolist() == [1, 1]


def test_sums_leave_out_rows_of_weight_0():
    """Also where such a row's loss is not a number."""
    found = step.sums(
        tf.constant([1.0, 2.0, np.nan]),
        tf.constant([[3.0, 1.0, 2.0]] * 3),
        tf.constant([0, 1, 1]),
        tf.constant([1.0, 1.0, 0.0]),
    )
    assert found.numpy().tolist() == [3.0, 1.0, 0.0, 2.0]
