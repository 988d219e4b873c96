"""Search against NumPy by hand."""

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("faiss")

from alexnet_tf.retrieval import search

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize("block", [1, 7, 100])
def test_vectors_whatever_the_blocks(block):
    database = RANDOM.integers(-5, 6, (40, 6)).astype(np.float32)
    queries = RANDOM.integers(-5, 6, (9, 6)).astype(np.float32)
    squares = ((queries[:, None] - database[None]) ** 2).sum(axis=2)
    found = search.Nearest(queries, 5).search(database, block)
    # Whole numbers: exact, and full of ties.
    np.testing.assert_array_equal(found.distances, np.sort(squares, axis=1)[:, :5])
    np.testing.assert_array_equal(
        np.take_along_axis(squares, found.numbers, axis=1), found.distances
    )
    assert all(len(set(row)) == 5 for row in found.numbers.tolist())


@pytest.mark.parametrize("block", [1, 7, 100])
def test_codes_whatever_the_blocks(block):
    database = RANDOM.integers(0, 256, (40, 4), np.uint8)
    queries = RANDOM.integers(0, 256, (9, 4), np.uint8)
    bits = np.unpackbits(queries[:, None] ^ database[None], axis=2).sum(axis=2)
    found = search.Nearest(queries, 5, search.hamming).search(database, block)
    np.testing.assert_array_equal(found.distances, np.sort(bits, axis=1)[:, :5])
    np.testing.assert_array_equal(np.take_along_axis(bits, found.numbers, 1), found.distances)


def test_fewer_than_k_are_all():
    found = search.Nearest(np.zeros((1, 2), np.float32), 5)
    found.add(np.ones((2, 2), np.float32))
    found.add(np.zeros((1, 2), np.float32))
    assert found.numbers.tolist() == [[2, 0, 1]] and found.distances.tolist() == [[0, 2, 2]]
