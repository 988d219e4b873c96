"""torchvision's `alexnet` as weights of the network of `alexnet_owt`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from alexnet_tf.weight_io.weights import Values, WeightsError

# torchvision divides pixels in [0, 1], RGB, less its mean (`means.MEANS`), by these.
STDDEV = (0.229, 0.224, 0.225)

_CONVOLUTIONS = {"conv1": 0, "conv2": 3, "conv3": 6, "conv4": 8, "conv5": 10}
_FULLY_CONNECTED = {"fc6": 1, "fc7": 4, "fc8": 6}
LAST_BIAS = "classifier.6.bias"
"""Array with one value per class."""
NAMES = frozenset(
    f"{part}.{place}.{kind}"
    for part, places in (("features", _CONVOLUTIONS), ("classifier", _FULLY_CONNECTED))
    for place in places.values()
    for kind in ("weight", "bias")
)
"""Of all its arrays."""


def convolution(weights: np.ndarray) -> np.ndarray:
    """(filter, channel, y, x) to (y, x, channel, filter)."""
    if weights.ndim != 4:
        raise WeightsError(f"a convolution has weights of shape {list(weights.shape)}, not 4-D")
    return np.ascontiguousarray(np.transpose(weights, (2, 3, 1, 0)), np.float32)


def after_image(weights: np.ndarray, channels: int) -> np.ndarray:
    """(output, channel * y * x) to (y * x * channel, output)."""
    if weights.ndim != 2:
        raise WeightsError(f"fc6 has weights of shape {list(weights.shape)}, not 2-D")
    outputs, inputs = weights.shape
    side = int(round((inputs / channels) ** 0.5))
    if side * side * channels != inputs:
        raise WeightsError(
            f"fc6 reads {inputs:,} values, which are not an image of {channels} channels"
        )
    image = weights.reshape(outputs, channels, side, side).transpose(2, 3, 1, 0)
    return np.ascontiguousarray(image.reshape(inputs, outputs), np.float32)


def convert(state: Mapping[str, np.ndarray], input_scale: float) -> Values:
    """Weights of torchvision's `alexnet` by our names.

    Args:
        state: its state dict.
        input_scale: what the network multiplies mean-subtracted pixels (0 to 255) with. conv1 is
            changed by it and by torchvision's deviation of each channel, so that pixels less
            torchvision's mean give what torchvision computes.

    Returns:
        Arrays by our names; those that torchvision's net does not have, as they are.

    Raises:
        WeightsError: a key is missing or misshapen.
    """
    # What the network does not have is for its builder to refuse.
    result: Values = {name: value for name, value in state.items() if name not in NAMES}

    def get(key: str) -> np.ndarray:
        if key not in state:
            raise WeightsError(f"torchvision's alexnet has {key!r}, which this file does not have")
        return np.asarray(state[key], np.float32)

    for name, place in _CONVOLUTIONS.items():
        result[f"{name}/kernel"] = convolution(get(f"features.{place}.weight"))
        result[f"{name}/bias"] = get(f"features.{place}.bias")
    if result["conv1/kernel"].shape[2] != 3:
        raise WeightsError("features.0.weight reads images of other than three channels")
    for name, place in _FULLY_CONNECTED.items():
        weights = get(f"classifier.{place}.weight")
        if name == "fc6":
            kernel = after_image(weights, result["conv5/bias"].size)
        else:
            kernel = np.ascontiguousarray(weights.T)
        result[f"{name}/kernel"] = kernel
        result[f"{name}/bias"] = get(f"classifier.{place}.bias")
    scale = 1 / (255 * np.array(STDDEV) * input_scale)
    result["conv1/kernel"] *= scale.astype(np.float32)[None, None, :, None]
    return result
