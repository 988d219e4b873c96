"""Draws of many seeds at once against TensorFlow's own operations, one seed at a time."""

import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.input import draws

SEED = 2**61 + 12345
# The first epochs, the last of 2^20, and a whole ImageNet.
NUMBERS = np.array([0, 1, 7, 2**43, 3 * 2**43 + 1_281_166, (2**20 - 1) * 2**43 + 5, 2, 3, 4])


def one_by_one(draw, **arguments):
    return np.stack(
        [
            draw([3], tf.constant([SEED, number], tf.int64), alg="philox", **arguments).numpy()
            for number in NUMBERS
        ]
    )


def test_uniforms_are_tensorflows_bit_for_bit():
    found = draws.uniforms(SEED, NUMBERS)
    assert found.dtype == np.float32
    assert np.array_equal(found, one_by_one(tf.random.stateless_uniform))


@pytest.mark.parametrize("count", [1, 8, 9])
def test_normals_are_tensorflows_bit_for_bit(count):
    keys, counters = draws.keys_and_counters(SEED, NUMBERS[:count])
    found = draws.normals(tf.constant(keys), tf.constant(counters), count, 0.1)
    expected = one_by_one(tf.random.stateless_normal, stddev=0.1)[:count]
    assert np.array_equal(found, expected)


def test_philox_of_its_authors():
    """Known answers of Random123 (kat_vectors): counter and key of zeros, and of ones."""
    zeros, ones = np.zeros(1, np.uint64), np.full(1, 0xFFFFFFFF, np.uint64)
    found = [int(word[0]) for word in draws._philox([zeros] * 4, zeros, zeros)]
    assert found == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    found = [int(word[0]) for word in draws._philox([ones] * 4, ones, ones)]
    assert found == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]
