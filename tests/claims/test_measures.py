"""Measures that compute more than they read: neighbours, and weights of an ensemble."""

from __future__ import annotations

import numpy as np

from alexnet_tf.claims import ensemble_weights, neighbours


def test_neighbours_are_those_of_a_direct_search():
    random = np.random.default_rng(0)
    stored = random.normal(100, 1, (50, 6)).astype(np.float32)
    asked = random.normal(100, 1, (7, 6)).astype(np.float32)
    found = neighbours.nearest(stored, asked, 5)
    for row, vector in zip(found, asked, strict=True):
        distances = np.linalg.norm(stored - vector, axis=1)
        assert set(row) == set(np.argsort(distances)[:5])
    assert neighbours.nearest(stored[:5], asked, 5).shape == (7, 5)


def test_fitted_weights_prefer_the_member_that_is_right():
    labels = np.array([0, 1, 0, 1])
    right = np.eye(2)[labels] * 0.2 + 0.4
    wrong = np.eye(2)[1 - labels] * 0.8 + 0.1
    both = np.stack([wrong, right])
    assert ensemble_weights.error(both, labels, np.array([0.5, 0.5])) == 1
    weights = ensemble_weights.fitted(both, labels)
    # 0.8 a < 0.2 b decides: a quarter of the right one's weight, and less.
    assert 0.8 * weights[0] < 0.2 * weights[1]
    assert ensemble_weights.error(both, labels, weights) == 0


def test_weights_fitted_to_noise_flatter_the_images_they_were_fitted_on():
    random = np.random.default_rng(1)
    labels = random.integers(0, 10, 400)
    members = random.dirichlet(np.ones(10), (5, 400))
    here, there = slice(0, 200), slice(200, 400)
    weights = ensemble_weights.fitted(members[:, here], labels[here])
    fitted = ensemble_weights.error(members[:, here], labels[here], weights)
    elsewhere = ensemble_weights.error(members[:, there], labels[there], weights)
    even = ensemble_weights.error(members[:, here], labels[here], np.full(5, 0.5))
    assert fitted < even
    assert fitted < elsewhere - 0.02
