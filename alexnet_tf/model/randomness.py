"""Random draws of layers as functions of the step and of each example's place in its batch."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import tensorflow as tf


@dataclasses.dataclass
class _Randomness:
    seed: tf.Tensor
    rows: tf.Tensor
    global_batch_size: Any


_context = threading.local()


@contextlib.contextmanager
def randomness(seed: Any, rows: Any, global_batch_size: Any) -> Iterator[None]:
    """Makes draws a function of the step and of each example's place in the global batch.

    Entered by the train step around `model(x, training=True)`, in the thread of its replica.

    Args:
        seed: int32 [2], of the step.
        rows: int32 [B], position of each example in the global batch.
        global_batch_size: number of examples in the global batch, an int or an int32 scalar.
    """
    previous = _current()
    _context.value = _Randomness(tf.cast(seed, tf.int32), rows, global_batch_size)
    try:
        yield
    finally:
        _context.value = previous


def keep_mask(name: str, keep: float, x: tf.Tensor) -> tf.Tensor:
    """0/1 mask of the shape and dtype of `x` for the row `name`; each value is 1 with P = keep.

    Within `randomness` the mask of the whole global batch is drawn and the rows of `x` are taken
    from it, so that it does not depend on how the batch is divided over replicas.
    """
    shape = [int(side) for side in x.shape[1:]]
    if _current() is None:
        draw = tf.random.uniform(tf.concat([tf.shape(x)[:1], shape], 0))
    else:
        draw = uniform(name, shape)
    return tf.cast(draw < keep, x.dtype)


def uniform(name: str, shape: Sequence[int]) -> tf.Tensor:
    """Float32 [B, *shape] in [0, 1) for the row `name`.

    Within `randomness` every example of the global batch has draws of its own, the same on any
    number of replicas. Outside of it, in tests, where some layers of 2012 draw too: [1, *shape],
    always the same, for every image alike, so that a result depends on nothing but the image.
    """
    # Philox on every kind of device, where "auto" differs. (XLA's draws other values of it, so
    # draws with and without jit_compile differ.)
    return _of_rows(tf.random.stateless_uniform, name, shape)


def normal(name: str, shape: Sequence[int]) -> tf.Tensor:
    """As `uniform`, but of mean 0 and deviation 1."""
    return _of_rows(tf.random.stateless_normal, name, shape)


def uniform_of_batch(name: str, count: int) -> tf.Tensor:
    """Float32 [count] in [0, 1), the same for all examples of a global batch."""
    return tf.random.stateless_uniform([count], seed=_seed(name), alg="philox")


def _of_rows(draw: Any, name: str, shape: Sequence[int]) -> tf.Tensor:
    context = _current()
    if context is None:
        return draw([1, *shape], seed=_seed(name), alg="philox")
    whole = draw(tf.stack([context.global_batch_size, *shape]), seed=_seed(name), alg="philox")
    return tf.gather(whole, context.rows)


def _current() -> _Randomness | None:
    return getattr(_context, "value", None)


def _seed(name: str) -> tf.Tensor:
    own = [zlib.crc32(name.encode()) & 0x7FFFFFFF, 0]
    context = _current()
    return tf.constant(own) if context is None else tf.bitwise.bitwise_xor(context.seed, own)
