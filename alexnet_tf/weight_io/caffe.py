"""Caffe's bvlc_alexnet as weights of the network of `alexnet_caffe`, in names of merged columns."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from alexnet_tf.weight_io.torchvision import after_image, convolution
from alexnet_tf.weight_io.weights import Values, WeightsError

LAYERS = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")

_PART = re.compile(r"(.+?)[_./](0|w|weights?|kernel|1|b|bias|biases)", re.IGNORECASE)
_FIRST = ("0", "w", "weight", "weights", "kernel")


def flatten(content: Mapping[Any, Any]) -> Values:
    """Arrays by name from what tools make of Caffe's blobs.

    Args:
        content: by layer: [weights, biases], or {"weights": ..., "biases": ...}, or an array.

    Returns:
        "conv1_0", "conv1_1" or "conv1_weights", "conv1_biases", ...; other things are left out.
    """
    result: Values = {}
    for layer, blob in content.items():
        if isinstance(blob, np.ndarray) and blob.dtype.hasobject:
            blob = blob.item() if blob.ndim == 0 else list(blob)
        if isinstance(blob, Mapping):
            parts = {f"{layer}_{key}": value for key, value in blob.items()}
        elif isinstance(blob, list | tuple):
            parts = {f"{layer}_{index}": value for index, value in enumerate(blob)}
        else:
            parts = {str(layer): blob}
        for name, part in parts.items():
            if isinstance(part, np.ndarray) and not part.dtype.hasobject:
                result[name] = part
    return result


def pairs(arrays: Mapping[str, np.ndarray]) -> dict[str, dict[int, np.ndarray]]:
    """Weights (0) and biases (1) by layer, from names such as `flatten` returns."""
    result: dict[str, dict[int, np.ndarray]] = {}
    for name, array in arrays.items():
        layer, part = _place(name)
        if layer:
            result.setdefault(layer, {})[part] = array
    return result


def _place(name: str) -> tuple[str, int]:
    """Layer of an array, and whether it has the weights (0) or biases (1); ("", 0): neither."""
    match = _PART.fullmatch(name)
    return (match[1], 0 if match[2].lower() in _FIRST else 1) if match else ("", 0)


def convert(arrays: Mapping[str, np.ndarray], input_scale: float = 1.0) -> Values:
    """Weights of Caffe's bvlc_alexnet by our names.

    Caffe reads BGR pixels and flattens (channel, y, x); its two groups are our two columns.

    Args:
        arrays: weights as Caffe has them, (filter, channel, y, x) and (output, input), or turned
            as caffe-tensorflow writes them, (y, x, channel, filter) and (input, output), whose
            fc6 reads (y, x, channel).
        input_scale: what the network multiplies mean-subtracted pixels with (Caffe's does not).

    Returns:
        Arrays by our names; those of layers that Caffe's net does not have, as they are.

    Raises:
        WeightsError: a layer is missing, or its weights or biases are.
    """
    layers = pairs(arrays)
    # What the network does not have is for its builder to refuse.
    merged: Values = {
        name: value for name, value in arrays.items() if _place(name)[0] not in LAYERS
    }
    turned = False
    for name in LAYERS:
        if set(layers.get(name, ())) != {0, 1}:
            raise WeightsError(
                f"Caffe's bvlc_alexnet has weights and biases of {name!r}, which this file does "
                "not have"
            )
        weights, bias = np.asarray(layers[name][0], np.float32), layers[name][1].reshape(-1)
        if name == "conv1":
            if weights.ndim != 4 or 3 not in weights.shape[1:3]:
                raise WeightsError(f"conv1 has weights of shape {list(weights.shape)}: not of BGR")
            turned = weights.shape[1] != 3
        if name.startswith("conv"):
            kernel = weights if turned else convolution(weights)
        else:
            # Old blobs have four dimensions throughout.
            weights = weights.reshape(weights.shape[-2:])
            if turned:
                kernel = weights
            elif name == "fc6":
                kernel = after_image(weights, merged["conv5/bias"].size)
            else:
                kernel = np.ascontiguousarray(weights.T)
        if name == "conv1":
            kernel = np.ascontiguousarray(kernel[:, :, ::-1]) / np.float32(input_scale)
        merged[f"{name}/kernel"] = kernel
        merged[f"{name}/bias"] = bias.astype(np.float32)
    return merged
