"""Response normalisation across maps and within a map, for float32 tensors [B, H, W, C].

The paper, section 3.3, and the 2012 code's layer types cmrnorm, rnorm and cnorm.
"""

from __future__ import annotations

from collections.abc import Callable

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
        x: float32 [B, H, W, C]; "banded" takes float64 too, as a reference, "shifted" any type.
        size: channels of the window, clipped at the first and the last channel.
        alpha: coefficient on the plain sum.
        beta: exponent.
        k: constant in the sum.
        blocked: windows are the fixed blocks of `size` channels.
        groups: parts of the channels whose borders no window crosses.
        implementation: "tf": `tf.nn.local_response_normalization`, whose gradient is slow on
            CPUs; "tf_fast_gradient": the same with a gradient of our own; "banded": value and
            gradient as products with a banded matrix; "shifted": both as sums of shifted channels,
            which XLA computes in one pass each. All four are the same function. Even sizes and
            blocks use "banded" in place of TensorFlow's, which has neither, and blocks in place of
            "shifted".
    """
    native = implementation in ("tf", "tf_fast_gradient") and size % 2 == 1 and not blocked
    if native and implementation == "tf":
        return _tensorflows(x, size, alpha, beta, k, groups)
    if implementation == "shifted" and not blocked:
        return _of_shifted(x, size, alpha, beta, k, groups)
    window = _window_matrix(int(x.shape[-1]) // groups, size, blocked)
    band = tf.constant(alpha * np.kron(np.eye(groups), window), x.dtype)

    @tf.custom_gradient
    def normalize(x):
        if native:
            value = _tensorflows(x, size, alpha, beta, k, groups)
        else:
            value = x * _power(_banded_sum(x, band, k), beta)

        def gradient(upstream):
            s = _banded_sum(x, band, k)
            weighted = upstream * _power(s, beta)
            spread = _product(weighted * x / s, band, transpose_b=True)
            return weighted - 2 * beta * x * spread

        return value, gradient

    return normalize(x)


def _tensorflows(
    x: tf.Tensor, size: int, alpha: float, beta: float, k: float, groups: int
) -> tf.Tensor:
    parts = [
        tf.nn.local_response_normalization(
            part, depth_radius=size // 2, bias=k, alpha=alpha, beta=beta
        )
        for part in (tf.split(x, groups, axis=-1) if groups > 1 else [x])
    ]
    return tf.concat(parts, axis=-1) if groups > 1 else parts[0]


def _product(x: tf.Tensor, matrix: tf.Tensor, **arguments) -> tf.Tensor:
    """x [B, H, W, C] times a matrix [C, C], in one multiplication."""
    flat = tf.reshape(x, [-1, int(x.shape[-1])])
    return tf.reshape(tf.matmul(flat, matrix, **arguments), tf.shape(x))


def _banded_sum(x: tf.Tensor, band: tf.Tensor, k: float) -> tf.Tensor:
    return k + _product(tf.square(x), band)


def _of_shifted(
    x: tf.Tensor, size: int, alpha: float, beta: float, k: float, groups: int
) -> tf.Tensor:
    """`across_maps` for any float type; sums and powers are float32 at least.

    What XLA keeps between its passes over the tensor has the type of `x`.
    """
    wide = tf.float64 if x.dtype == tf.float64 else tf.float32
    before, after = size // 2, size - 1 - size // 2

    @tf.custom_gradient
    def normalize(x):
        s = k + alpha * _shifted_sum(
            x, before, after, groups, lambda v: tf.square(tf.cast(v, wide))
        )
        value = tf.cast(tf.cast(x, wide) * _power(s, beta), x.dtype)

        def gradient(upstream):
            # Written in another way than above: XLA would see the same and keep the sums of the
            # forward pass in float32, which takes longer than making them again.
            scaled = alpha**0.5
            s = k + _shifted_sum(
                x, before, after, groups, lambda v: tf.square(scaled * tf.cast(v, wide))
            )
            value = tf.cast(x, wide)
            weighted = tf.cast(upstream, wide) * _power(s, beta)
            # Through the transpose each channel reaches those in whose windows it lies.
            spread = _shifted_sum(
                tf.cast(weighted * value / s, x.dtype),
                *(after, before, groups),
                lambda v: tf.cast(v, wide),
            )
            return tf.cast(weighted - (2 * alpha * beta) * value * spread, x.dtype)

        return value, gradient

    return normalize(x)


def _shifted_sum(
    x: tf.Tensor,
    before: int,
    after: int,
    groups: int,
    function: Callable[[tf.Tensor], tf.Tensor],
) -> tf.Tensor:
    """[B, H, W, C]: at each channel the sum of `function` from `before` channels below to `after`
    above it, within its group; `function` is 0 where x is."""
    _, height, width, channels = x.shape
    depth = channels // groups
    parts = tf.reshape(x, [-1, height, width, groups, depth]) if groups > 1 else x
    padded = tf.pad(parts, [[0, 0]] * (len(parts.shape) - 1) + [[before, after]])
    shifted = [function(padded[..., i : i + depth]) for i in range(before + after + 1)]
    total = tf.add_n(shifted)
    return tf.reshape(total, [-1, height, width, channels]) if groups > 1 else total


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
