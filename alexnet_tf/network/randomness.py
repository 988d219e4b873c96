"""Randomness of dropout as a function of the step and of each example's place in its batch."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import zlib
from collections.abc import Iterator
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
    """Makes dropout a function of the step and of each example's place in the global batch.

    Entered by the train step around `model(x, training=True)`, in the thread of its replica.

    Args:
        seed: int32 [2], of the step.
        rows: int32 [B], position of each example in the global batch.
        global_batch_size: number of examples in the global batch, an int or an int32 scalar.
    """
    previous = getattr(_context, "value", None)
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
    context: _Randomness | None = getattr(_context, "value", None)
    shape = [int(side) for side in x.shape[1:]]
    if context is None:
        uniform = tf.random.uniform(tf.concat([tf.shape(x)[:1], shape], 0))
    else:
        # Philox on every kind of device, where "auto" differs. (XLA's draws other values of it, so
        # masks with and without jit_compile differ.)
        uniform = tf.random.stateless_uniform(
            tf.stack([context.global_batch_size, *shape]),
            seed=tf.bitwise.bitwise_xor(context.seed, [zlib.crc32(name.encode()) & 0x7FFFFFFF, 0]),
            alg="philox",
        )
        uniform = tf.gather(uniform, context.rows)
    return tf.cast(uniform < keep, x.dtype)
