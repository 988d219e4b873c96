"""Pooling over windows that are clipped to the image, for float tensors [B, H, W, C]."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from alexnet_tf.model import randomness
from alexnet_tf.tables import rows, shapes


def pool(x: tf.Tensor, row: rows.Pool, implementation: str = "tf") -> tf.Tensor:
    """Pools square images [B, S, S, C] as `row` says; the result has the dtype of `x`.

    Args:
        x: the images.
        row: size, stride and kind of the windows.
        implementation: of max pooling; "tf": `tf.nn.max_pool2d`; "shifted": maximum and gradient
            as sums of shifted images, which XLA computes in one pass each, where TensorFlow's
            gradient becomes a scatter with atomic additions. Both are the same function, and the
            gradient goes to the first of equal values.

    Max: over the valid pixels. Average: divided by the number of valid pixels (2012 code).
    Max by magnitude: the signed value whose magnitude is largest. Random: one valid pixel of each
    window, with a probability proportional to its value (the 2012 kernel was never published), in
    tests too, where the draw is always the same one (`randomness.uniform`).
    """
    windows = shapes.pool_windows(int(x.shape[1]), row)
    if row.kind == "max" and row.ties == "all":
        return _max_with_ties(_pad(x, windows, x.dtype.min), row)
    if row.kind == "max" and implementation == "shifted":
        return _max_of_shifted(x, row, windows)
    if row.kind == "max":
        return _windows(x, row, windows, tf.nn.max_pool2d, x.dtype.min)
    if row.kind == "avg":
        return _average(x, row, windows)
    if row.kind == "maxabs":
        highest = _windows(x, row, windows, tf.nn.max_pool2d, x.dtype.min)
        lowest = -_windows(-x, row, windows, tf.nn.max_pool2d, x.dtype.min)
        return tf.where(highest >= -lowest, highest, lowest)
    if row.kind == "rand":
        return _random(x, row, windows)
    raise shapes.ShapeError(f"{row.name}: unknown pooling {row.kind!r}")


def _windows(x, row, windows, function, fill):
    """`function` over the windows of `x`, with `fill` outside the image where they reach out."""
    side = int(x.shape[1])
    if windows.before == 0 and windows.after <= 0:
        x = x[:, : side + windows.after, : side + windows.after] if row.outputs else x
        return function(x, row.size, row.stride, "VALID")
    total = max((windows.count - 1) * row.stride + row.size - side, 0)
    like_same = windows.count == math.ceil(side / row.stride) and windows.before == total // 2
    if like_same and windows.before + windows.after == total:
        # TensorFlow's own clipping, which copies no padded image.
        return function(x, row.size, row.stride, "SAME")
    return function(_pad(x, windows, fill), row.size, row.stride, "VALID")


def _pad(x, windows, fill):
    """Pads, or crops where windows begin or end inside the image."""
    side = int(x.shape[1])
    begin, end = max(-windows.before, 0), side + min(windows.after, 0)
    x = x[:, begin:end, begin:end]
    pads = [max(windows.before, 0), max(windows.after, 0)]
    return tf.pad(x, [[0, 0], pads, pads, [0, 0]], constant_values=fill)


def _max_of_shifted(x, row, windows):
    side, channels = int(x.shape[1]), int(x.shape[3])
    size, stride, count = row.size, row.stride, windows.count
    reach = stride * (count - 1) + 1

    @tf.custom_gradient
    def maximum(x):
        padded = _pad(x, windows, x.dtype.min)
        largest = place = None
        for i in range(size):
            for j in range(size):
                pixels = padded[:, i : i + reach : stride, j : j + reach : stride]
                here = tf.cast(i * size + j, tf.uint8)
                if largest is None:
                    largest, place = pixels, tf.zeros_like(pixels, tf.uint8)
                    continue
                place = tf.where(pixels > largest, here, place)
                largest = tf.maximum(largest, pixels)

        def gradient(upstream):
            # The pixel at row stride * a + r lies in the windows a, a - 1, ... at their rows r,
            # r + stride, ...: up to `overlap` of them in each direction.
            overlap = -(-size // stride)
            blocks = count - 1 + overlap
            total = tf.zeros([], tf.float32)
            for up in range(overlap):
                for left in range(overlap):
                    ends = [[up, overlap - 1 - up], [left, overlap - 1 - left]]
                    shift = [[0, 0], *ends, [0, 0]]
                    chosen = _repeated(tf.pad(place, shift, constant_values=_NOWHERE), stride)
                    share = _repeated(tf.pad(upstream, shift), stride)
                    mine = chosen == _places(size, stride, up, left, blocks)
                    total += tf.cast(tf.where(mine, share, tf.zeros_like(share)), tf.float32)
            return _unpad(tf.cast(total, upstream.dtype), windows, side)

        return largest, gradient

    return tf.ensure_shape(maximum(x), [None, count, count, channels])


# A place that no pixel has; another one than outside of all windows.
_NOWHERE = 255


def _places(size, stride, up, left, blocks):
    """uint8 [1, S, S, 1], S being blocks * stride: each pixel's place in one of its windows.

    It is the window that begins `up` and `left` strides before the pixel's block; where the pixel
    does not lie in it the place is one that no pixel has.
    """
    within = np.tile(np.arange(stride), blocks)
    row, column = within + stride * up, within + stride * left
    inside = (row < size)[:, None] & (column < size)[None, :]
    places = np.where(inside, row[:, None] * size + column[None, :], _NOWHERE - 1)
    return tf.constant(places[None, :, :, None], tf.uint8)


def _repeated(x, times):
    """[B, M, M, C] as [B, M * times, M * times, C], every value `times` x `times` times."""
    _, side, _, channels = x.shape
    wide = tf.broadcast_to(
        x[:, :, None, :, None], [tf.shape(x)[0], side, times, side, times, channels]
    )
    return tf.reshape(wide, [-1, side * times, side * times, channels])


def _unpad(x, windows, side):
    """The adjoint of `_pad`, for the first rows and columns of a padded image.

    Rows beyond `x` have the value 0, those of `x` beyond the padded image are dropped.
    """
    begin, end = max(-windows.before, 0), side + min(windows.after, 0)
    before = max(windows.before, 0)
    kept = x[:, before : before + end - begin, before : before + end - begin]
    pads = [begin, side - begin - int(kept.shape[1])]
    return tf.pad(kept, [[0, 0], pads, pads, [0, 0]])


def _average(x, row, windows):
    side = int(x.shape[1])
    total = max((windows.count - 1) * row.stride + row.size - side, 0)
    like_same = windows.count == math.ceil(side / row.stride) and windows.before == total // 2
    if like_same and windows.before + windows.after == total:
        return tf.nn.avg_pool2d(x, row.size, row.stride, "SAME")
    means = tf.nn.avg_pool2d(_pad(x, windows, 0), row.size, row.stride, "VALID")
    positions = row.start + row.stride * np.arange(windows.count)
    valid = np.minimum(positions + row.size, side) - np.maximum(positions, 0)
    scale = row.size**2 / np.outer(valid, valid)
    return means * tf.constant(scale[None, :, :, None], x.dtype)


def _max_with_ties(x, row):
    """Maximum whose gradient reaches, undivided, every pixel that equals it (2012 code)."""

    @tf.custom_gradient
    def maximum(x):
        y = tf.nn.max_pool2d(x, row.size, row.stride, "VALID")
        reach = row.stride * (int(y.shape[1]) - 1) + 1

        def gradient(upstream):
            total = tf.zeros_like(x)
            for i in range(row.size):
                for j in range(row.size):
                    begin, end = [0, i, j, 0], [0, i + reach, j + reach, 0]
                    # Bits 0 and 3: batch and channels whole.
                    strides = {"begin_mask": 9, "end_mask": 9}
                    steps = [1, row.stride, row.stride, 1]
                    pixels = tf.strided_slice(x, begin, end, steps, **strides)
                    share = tf.where(pixels == y, upstream, tf.zeros_like(upstream))
                    total += tf.raw_ops.StridedSliceGrad(
                        shape=tf.shape(x),
                        begin=begin,
                        end=end,
                        strides=steps,
                        dy=share,
                        **strides,
                    )
            return total

        return y, gradient

    return maximum(x)


def _random(x, row, windows):
    channels = int(x.shape[3])
    valid = _pad(tf.ones_like(x[:1, :, :, :1]), windows, 0)
    values = _patches(_pad(x, windows, 0), row, channels)
    valid = _patches(valid, row, 1)
    # A window of zeros gives every valid pixel the same chance.
    weights = tf.maximum(tf.cast(values, tf.float32), 0) + 1e-20 * tf.cast(valid, tf.float32)
    sums = tf.cumsum(weights, axis=3)
    count = windows.count
    # One draw per window: the value in whose part of the sum it falls.
    draw = randomness.uniform(row.name, [count, count, 1, channels]) * sums[:, :, :, -1:]
    chosen = tf.reduce_sum(tf.cast(sums <= draw, tf.int32), axis=3)
    picked = tf.one_hot(chosen, row.size**2, axis=3, dtype=x.dtype)
    return tf.reduce_sum(values * picked, axis=3)


def _patches(x, row, channels):
    """Windows of `x` as [B, M, M, size * size, C]."""
    size, stride = row.size, row.stride
    patches = tf.image.extract_patches(
        x, [1, size, size, 1], [1, stride, stride, 1], [1, 1, 1, 1], "VALID"
    )
    count = patches.shape[1]
    return tf.reshape(patches, [-1, count, count, size * size, channels])
