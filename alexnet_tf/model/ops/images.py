"""Fixed image operations of the 2012 code's early nets, for float tensors [B, S, S, C]."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from alexnet_tf.model import randomness
from alexnet_tf.tables import rows


def transform(x: tf.Tensor, row: rows.Row, training: bool) -> tf.Tensor:
    """What `row` makes of the images `x`; raises NotImplementedError for other kinds of rows."""
    match row:
        case rows.Mirror():
            return tf.reverse(x, [2])
        case rows.Nailbed():
            side = int(x.shape[1])
            count = -(-side // row.stride)
            start = (side - row.stride * (count - 1)) // 2
            return x[:, start :: row.stride, start :: row.stride][:, :count, :count]
        case rows.Blur():
            return blur(x, row.size, row.stddev)
        case rows.Resize():
            return resize(x, row.scale)
        case rows.RandomScale():
            return _random_scale(x, row) if training else _centre(x, row.size)
        case rows.ColorTransform():
            return _yuv(x) if row.space == "yuv" else _lab(x, row.centered)
    raise NotImplementedError(f"{row.name}: {type(row).__name__}")


def blur(x: tf.Tensor, size: int, stddev: float) -> tf.Tensor:
    """Gaussian blur with `size` taps, horizontal then vertical, zeros outside the image."""
    taps = np.exp(-((np.arange(size) - size // 2) ** 2) / (2 * stddev**2))
    taps = (taps / taps.sum()).astype(np.float32)
    channels = int(x.shape[3])
    across = tf.constant(np.tile(taps[None, :, None, None], (1, 1, channels, 1)), x.dtype)
    x = tf.nn.depthwise_conv2d(x, across, [1, 1, 1, 1], "SAME")
    return tf.nn.depthwise_conv2d(x, tf.transpose(across, [1, 0, 2, 3]), [1, 1, 1, 1], "SAME")


def _interpolation(side: int, scale: float, target: int) -> np.ndarray:
    """[target, side]: the bilinear weights of the source pixels, clamped at the far border."""
    source = scale * np.arange(target) + (side - scale * target) / 2
    source = np.clip(source, 0, side - 1.01)
    low = np.floor(source).astype(int)
    matrix = np.zeros((target, side), np.float32)
    matrix[np.arange(target), low] = 1 - (source - low)
    matrix[np.arange(target), low + 1] += source - low
    return matrix


def resize(x: tf.Tensor, scale: float) -> tf.Tensor:
    """Bilinear resize to floor(side / scale) pixels."""
    side = int(x.shape[1])
    matrix = tf.constant(_interpolation(side, scale, int(side / scale)), x.dtype)
    return tf.einsum("yh,bhwc,xw->byxc", matrix, x, matrix)


def _centre(x: tf.Tensor, size: int) -> tf.Tensor:
    start = (int(x.shape[1]) - size) // 2
    return x[:, start : start + size, start : start + size]


def _random_scale(x: tf.Tensor, row: rows.RandomScale) -> tf.Tensor:
    """One scale and one crop for the whole batch; scale number s has a chance of (s + 1)^2."""
    side = int(x.shape[1])
    smallest = max(row.size, int(side / row.maximum_scale))
    chances = np.cumsum(np.square(np.arange(1.0, side - smallest + 2)))
    scale, *corner = tf.unstack(randomness.uniform_of_batch(row.name, 3))
    edges = tf.constant(chances[:-1] / chances[-1], tf.float32)
    target = tf.cast(smallest + tf.reduce_sum(tf.cast(edges <= scale, tf.int32)), tf.float32)

    def bilinear(draw: tf.Tensor) -> tf.Tensor:
        """[size, side]: weights of the source pixels of each pixel of the crop, along one axis."""
        offset = tf.floor(draw * (target - row.size + 1))
        position = offset + tf.range(row.size, dtype=tf.float32) + 0.5
        source = tf.clip_by_value(position * side / target - 0.5, 0, side - 1.0)
        distance = tf.abs(source[:, None] - tf.range(side, dtype=tf.float32))
        return tf.cast(tf.maximum(1 - distance, 0), x.dtype)

    return tf.einsum("yh,bhwc,xw->byxc", bilinear(corner[0]), x, bilinear(corner[1]))


def _mix(x: tf.Tensor, matrix: list[list[float]]) -> tf.Tensor:
    return tf.einsum("byxc,oc->byxo", x, tf.constant(matrix, x.dtype))


def _yuv(x: tf.Tensor) -> tf.Tensor:
    return _mix(
        x, [[0.2126, 0.7152, 0.0722], [-0.09991, -0.33609, 0.436], [0.615, -0.55861, -0.05639]]
    )


def _lab(x: tf.Tensor, centered: bool) -> tf.Tensor:
    # sRGB primaries and the D65 white point; values are in [0, 1] and already linear.
    xyz = _mix(
        x,
        [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169],
         [0.019334, 0.119193, 0.950227]],
    ) / tf.constant([0.950456, 1.0, 1.088754], x.dtype)  # fmt: skip
    edge = 0.008856
    root = tf.pow(tf.maximum(xyz, edge), 1 / 3)
    f = tf.where(xyz > edge, root, 7.787 * xyz + 16 / 116)
    lightness = 116 * f[..., 1] - 16 - (50 if centered else 0)
    return tf.stack([lightness, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], -1)
