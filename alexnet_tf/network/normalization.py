"""Response normalisation across maps and within a map, for float32 tensors [B, H, W, C].

The paper, section 3.3, and the 2012 code's layer types cmrnorm, rnorm and cnorm.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf


def across_maps(
    x: tf.Tensor,
    *,
    size: int,
    alpha: float,
    beta: float,
    k: float,
    blocked: bool = False,
    groups: int = 1,
    implementation: str = "tf",
) -> tf.Tensor:
    """x * (k + alpha * sum of x^2 over `size` neighbouring channels)^-beta.

    Args:
        x: float32 [B, H, W, C].
        size: channels of the window, clipped at the first and the last channel.
        alpha: coefficient on the plain sum.
        beta: exponent.
        k: constant in the sum.
        blocked: windows are the fixed blocks of `size` channels.
        groups: parts of the channels whose borders no window crosses.
        implementation: "tf" is `tf.nn.local_response_normalization`; "banded" is the same
            function as a product with a banded matrix, with its own gradient (faster on CPUs).
            Even sizes and blocks always use the latter, as TensorFlow has neither.
    """
    if implementation == "tf" and size % 2 == 1 and not blocked:
        parts = [
            tf.nn.local_response_normalization(
                part, depth_radius=size // 2, bias=k, alpha=alpha, beta=beta
            )
            for part in (tf.split(x, groups, axis=-1) if groups > 1 else [x])
        ]
        return tf.concat(parts, axis=-1) if groups > 1 else parts[0]
    window = _window_matrix(int(x.shape[-1]) // groups, size, blocked)
    band = tf.constant(alpha * np.kron(np.eye(groups), window), tf.float32)
    return _banded(x, band, k, beta)


def _window_matrix(channels: int, size: int, blocked: bool) -> np.ndarray:
    """[C, C]: entry (j, c) is 1 where channel j lies in the window of channel c."""
    j, c = np.indices((channels, channels))
    if blocked:
        return (j // size == c // size).astype(np.float32)
    first = c - size // 2
    return ((j >= first) & (j < first + size)).astype(np.float32)


def _power(s: tf.Tensor, beta: float) -> tf.Tensor:
    if beta == 0.75:  # Two square roots are several times faster than a power.
        root = tf.math.rsqrt(s)
        return root * tf.sqrt(root)
    return tf.pow(s, -beta)


def _banded(x: tf.Tensor, band: tf.Tensor, k: float, beta: float) -> tf.Tensor:
    shape = tf.shape(x)
    channels = int(x.shape[-1])

    @tf.custom_gradient
    def normalize(flat):
        s = k + tf.matmul(tf.square(flat), band)
        scale = _power(s, beta)

        def gradient(upstream):
            weighted = upstream * scale
            spread = tf.matmul(weighted * flat / s, band, transpose_b=True)
            return weighted - 2 * beta * flat * spread

        return flat * scale, gradient

    return tf.reshape(normalize(tf.reshape(x, [-1, channels])), shape)


def within_map(x: tf.Tensor, *, size: int, alpha: float, beta: float) -> tf.Tensor:
    """x * (1 + alpha * sum of x^2 over the size x size window)^-beta, each channel by itself.

    `alpha` multiplies the plain sum (the 2012 code divides its `scale` by size^2 first); the
    window begins size // 2 before the pixel and is clipped at the borders.
    """
    return x * _power(1 + alpha * _window_sum(tf.square(x), size), beta)


def contrast(x: tf.Tensor, *, size: int, alpha: float, beta: float) -> tf.Tensor:
    """x * (1 + alpha * sum of (x - local mean)^2 over the window)^-beta, each channel by itself.

    The local mean is taken over the valid pixels of the pixel's own window. In the gradient it is
    a constant, and the difference stands where `within_map` has x, as in the 2012 code.
    """
    side = int(x.shape[1])
    valid = _valid_counts(side, size)

    @tf.custom_gradient
    def normalize(x):
        d = x - _window_sum(x, size) / valid
        s = 1 + alpha * _window_sum(tf.square(d), size)
        scale = _power(s, beta)

        def gradient(upstream):
            weighted = upstream * scale
            spread = _window_sum(weighted * x / s, size, mirrored=True)
            return weighted - 2 * alpha * beta * d * spread

        return x * scale, gradient

    return normalize(x)


def _valid_counts(side: int, size: int) -> tf.Tensor:
    positions = np.arange(side) - size // 2
    counts = np.minimum(positions + size, side) - np.maximum(positions, 0)
    return tf.constant(np.outer(counts, counts)[None, :, :, None], tf.float32)


def _window_sum(x: tf.Tensor, size: int, mirrored: bool = False) -> tf.Tensor:
    """Sums over size x size windows clipped to the image; `mirrored`: their transpose."""
    before = size // 2
    after = size - 1 - before
    if mirrored:
        before, after = after, before
    padded = tf.pad(x, [[0, 0], [before, after], [before, after], [0, 0]])
    return tf.nn.avg_pool2d(padded, size, 1, "VALID") * float(size * size)
