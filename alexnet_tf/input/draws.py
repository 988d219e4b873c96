"""Random draws of many examples at once, the very numbers that TensorFlow draws one by one.

Crop, flip and colour noise of an example are stateless draws with a seed of their own, so that they
depend on nothing but the run's seed, the epoch and the example. TensorFlow's operations take one
seed at a time, which costs as much as a third of decoding the image. Here the same generator
(Philox 4x32-10; Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3") runs over whole
arrays of seeds.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

_MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_WEYL = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
# With it TensorFlow scrambles a seed before it becomes key and counter (StatelessRandomGetKey).
_SCRAMBLING_KEY = np.uint64(0x3EC8F720), np.uint64(0x02461E29)
_ROUNDS = 10
# What `tf.random.Algorithm.PHILOX` is for raw operations.
_PHILOX = 1
# Draws in one turn of a loop, whose turn costs as much as five of them.
_TOGETHER = 8


def uniforms(seed: int, numbers: np.ndarray) -> np.ndarray:
    """Three draws in [0, 1) for each of many stateless seeds.

    Args:
        seed: first word of the seeds, the same for all.
        numbers: int64 [n], their second words.

    Returns:
        float32 [n, 3]: row i is `tf.random.stateless_uniform([3], (seed, numbers[i]),
        alg="philox")`.
    """
    keys, counters = keys_and_counters(seed, numbers)
    words = _philox(_words(counters), keys & _LOW, keys >> _HALF)
    mantissas = np.stack(words[:3], axis=1) & np.uint64(0x7FFFFF)
    return mantissas.astype(np.float32) * np.float32(2.0**-23)


def keys_and_counters(seed: int, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Key, uint64 [n], and counter, uint64 [n, 2], of each seed, for raw stateless operations.

    Args:
        seed, numbers: as of `uniforms`.
    """
    first = np.full(len(numbers), seed, np.int64).view(np.uint64)
    second = np.ascontiguousarray(numbers, np.int64).view(np.uint64)
    mixed = _philox(_words(np.stack([first, second], axis=1)), *_SCRAMBLING_KEY)
    keys = mixed[0] | mixed[1] << _HALF
    counters = np.stack([np.zeros_like(keys), mixed[2] | mixed[3] << _HALF], axis=1)
    return keys, counters


def normals(keys: tf.Tensor, counters: tf.Tensor, count: int, stddev: float) -> tf.Tensor:
    """Three normal draws for each of `count` seeds.

    TensorFlow's own operation, as its logarithm and sine are rounded in ways that NumPy's are not.

    Args:
        keys, counters: uint64 [count] and [count, 2], as of `keys_and_counters`.
        count: how many.
        stddev: standard deviation of the draws.

    Returns:
        float32 [count, 3]: row i is `tf.random.stateless_normal([3], seed, stddev=stddev,
        alg="philox")`.
    """
    groups = -(-count // _TOGETHER)
    more = groups * _TOGETHER - count
    keys = tf.reshape(tf.pad(keys, [[0, more]]), [groups, _TOGETHER, 1])
    counters = tf.reshape(tf.pad(counters, [[0, more], [0, 0]]), [groups, _TOGETHER, 2])

    def group(values: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        return tf.stack(
            [
                tf.raw_ops.StatelessRandomNormalV2(shape=[3], key=key, counter=counter, alg=_PHILOX)
                for key, counter in zip(*map(tf.unstack, values), strict=True)
            ]
        )

    kind = tf.TensorSpec([_TOGETHER, 3], tf.float32)
    drawn = tf.map_fn(group, (keys, counters), fn_output_signature=kind)
    return tf.reshape(drawn, [-1, 3])[:count] * tf.constant(stddev, tf.float32)


def _words(counters: np.ndarray) -> tuple[np.ndarray, ...]:
    """The four 32-bit words of counters, uint64 [n, 2], each as uint64 [n]."""
    low, high = counters[:, 0], counters[:, 1]
    return low & _LOW, low >> _HALF, high & _LOW, high >> _HALF


def _philox(words, first_key, second_key) -> tuple[np.ndarray, ...]:
    """Ten rounds on the four 32-bit words of each counter; words and keys held as uint64."""
    a, b, c, d = words
    for number in range(_ROUNDS):
        if number:
            first_key = (first_key + _WEYL[0]) & _LOW
            second_key = (second_key + _WEYL[1]) & _LOW
        left, right = a * _MULTIPLIERS[0], c * _MULTIPLIERS[1]
        a, b, c, d = (
            (right >> _HALF) ^ b ^ first_key,
            right & _LOW,
            (left >> _HALF) ^ d ^ second_key,
            left & _LOW,
        )
    return a, b, c, d
