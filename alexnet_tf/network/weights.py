"""Weights from elsewhere and to elsewhere: .npz files, torchvision's alexnet, Caffe's bvlc_alexnet.

A .npz file holds one float32 array per variable under its name `row/variable`, in the shapes that
`shapes.variable_shapes` documents: convolutions (y, x, channel of the group, filter), fully
connected layers (input, output) with images flattened as (y, x, channel), inputs RGB.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from alexnet_tf.network import build, grouped
from alexnet_tf.network.table import Table
from data_prep import command

Values = dict[str, np.ndarray]

# What torchvision subtracts and divides by, for pixels in [0, 1], RGB.
TORCHVISION_MEAN = (0.485, 0.456, 0.406)
TORCHVISION_STDDEV = (0.229, 0.224, 0.225)


class WeightsError(command.UserError):
    """Weights that are damaged or belong to another network; the message names the first."""


def values(model: keras.Model) -> Values:
    """All weights of `model` by name, float32."""
    named = build.named_variables(model)
    return {name: np.asarray(variable, np.float32) for name, variable in named.items()}


def assign(
    model: keras.Model, new: Mapping[str, np.ndarray], *, partial: bool = False
) -> list[str]:
    """Gives the variables of `model` the values of the same names.

    Args:
        model: built by `build`.
        new: values by name.
        partial: take what fits in name and shape and leave the rest (to start from a net
            with other classes, for instance).

    Returns:
        Names of the variables that kept their values.

    Raises:
        WeightsError: a missing, unknown or misshapen array, unless `partial`.
    """
    named = build.named_variables(model)
    kept = []
    for name, variable in named.items():
        fits = name in new and tuple(new[name].shape) == tuple(variable.shape)
        if not fits and not partial:
            found = f"shape {tuple(new[name].shape)}" if name in new else "nothing"
            raise WeightsError(
                f"weights of {name}: needs shape {tuple(variable.shape)}, found {found}"
            )
        if not fits:
            kept.append(name)
    unknown = sorted(set(new) - set(named))
    if unknown and not partial:
        raise WeightsError(f"the network {model.name} has no variable {unknown[0]}")
    for name, variable in named.items():
        if name not in kept:
            variable.assign(np.asarray(new[name], np.float32))
    return kept


def import_requested(model: keras.Model, table: Table, other: Mapping[str, np.ndarray]) -> int:
    """Copies what `table.imports` asks for from another network's weights.

    Args:
        model: of `table`.
        table: the network; the 2012 files ask with `initWFunc=initw.makew(LAYER)`.
        other: weights of the other network by name, as `load_npz` returns them.

    Returns:
        Number of variables copied.

    Raises:
        WeightsError: one is missing or has another shape.
    """
    named = build.named_variables(model)
    found: Values = {}
    for target, source in table.imports:
        # The kernel of a layer of one input bears no number.
        names = (source, source.removesuffix("0")) if source.endswith("/kernel0") else (source,)
        value = next((other[name] for name in names if name in other), None)
        shape = tuple(named[target].shape)
        if value is None or tuple(value.shape) != shape:
            what = "nothing" if value is None else f"shape {tuple(value.shape)}"
            raise WeightsError(f"{target} begins with {source}: needs shape {shape}, found {what}")
        found[target] = value
    for name, value in found.items():
        named[name].assign(np.asarray(value, np.float32))
    return len(found)


def save_npz(path: str, model: keras.Model) -> None:
    """Writes all weights of `model` to the .npz file `path`, whole or not at all."""
    buffer = io.BytesIO()
    arrays: dict[str, Any] = values(model)
    np.savez(buffer, **arrays)
    command.write_atomically(path, buffer.getvalue())


def load_npz(path: str) -> Values:
    """Arrays of the .npz file `path` by name; raises WeightsError where it is none."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile, AttributeError, EOFError) as error:
        raise WeightsError(f"{path}: not a readable .npz file: {error}") from error


def fit(table: Table, found: Values, implementation: str) -> Values:
    """`found` for a model of `table`, converted where it is of the other implementation.

    Args:
        table: the network, with its columns.
        found: weights or velocities by name, of columns or of merged columns.
        implementation: "towers" or "grouped", what the model is.
    """
    merged = grouped.merge(table)
    if implementation == "towers" and set(merged.assemblies) & set(found):
        sources = {n for a in merged.assemblies.values() for names in a.columns for n in names}
        return found if sources <= set(found) else merged.to_towers(found)
    if implementation == "grouped" and not set(merged.assemblies) <= set(found):
        return merged.to_grouped(found)
    return found


def _convolution(weights: np.ndarray) -> np.ndarray:
    """(filter, channel, y, x) to (y, x, channel, filter)."""
    return np.ascontiguousarray(np.transpose(weights, (2, 3, 1, 0)), np.float32)


def _after_image(weights: np.ndarray, channels: int) -> np.ndarray:
    """(output, channel * y * x) to (y * x * channel, output)."""
    outputs, inputs = weights.shape
    side = int(round((inputs / channels) ** 0.5))
    if side * side * channels != inputs:
        raise WeightsError(f"fc6 reads {inputs} values, which are no image of {channels} channels")
    image = weights.reshape(outputs, channels, side, side).transpose(2, 3, 1, 0)
    return np.ascontiguousarray(image.reshape(inputs, outputs), np.float32)


def from_torchvision(state: Mapping[str, Any], *, input_scale: float | None = None) -> Values:
    """Weights of torchvision's `alexnet` for the network of `alexnet_owt`.

    Args:
        state: its state dict, values as arrays (`{k: v.numpy() for k, v in state.items()}`).
        input_scale: what the network multiplies mean-subtracted pixels with; conv1 is changed so
            that 0-255 pixels minus 255 * TORCHVISION_MEAN give what torchvision's own
            normalisation gives. None: leave conv1 as it is.

    Raises:
        WeightsError: a key is missing.
    """
    places = {"conv1": 0, "conv2": 3, "conv3": 6, "conv4": 8, "conv5": 10}
    result: Values = {}

    def get(key: str) -> np.ndarray:
        if key not in state:
            raise WeightsError(f"torchvision's alexnet has {key!r}, these weights do not")
        return np.asarray(state[key], np.float32)

    for name, place in places.items():
        result[f"{name}/kernel"] = _convolution(get(f"features.{place}.weight"))
        result[f"{name}/bias"] = get(f"features.{place}.bias")
    channels = result["conv5/bias"].size
    result["fc6/kernel"] = _after_image(get("classifier.1.weight"), channels)
    for name, place in {"fc7": 4, "fc8": 6}.items():
        result[f"{name}/kernel"] = np.ascontiguousarray(get(f"classifier.{place}.weight").T)
    for name, place in {"fc6": 1, "fc7": 4, "fc8": 6}.items():
        result[f"{name}/bias"] = get(f"classifier.{place}.bias")
    if input_scale is not None:
        scale = 1 / (255 * np.array(TORCHVISION_STDDEV) * input_scale)
        result["conv1/kernel"] *= scale.astype(np.float32)[None, None, :, None]
    return result


_CAFFE_LAYERS = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")


def from_caffe(blobs: Mapping[str, Any], table: Table) -> Values:
    """Weights of Caffe's bvlc_alexnet for the network of `alexnet_caffe`.

    Caffe reads BGR pixels and flattens (channel, y, x); its two groups are our two columns.

    Args:
        blobs: by layer name: [weights, biases] or {"weights": ..., "biases": ...}; weights as
            Caffe has them, (filter, channel, y, x) and (output, input), or turned as
            caffe-tensorflow writes them, (y, x, channel, filter) and (input, output), whose fc6
            reads (y, x, channel).
        table: the network.

    Raises:
        WeightsError: a layer is missing, or does not have two blobs.
    """
    merged: Values = {}
    turned = None
    for name in _CAFFE_LAYERS:
        if name not in blobs:
            raise WeightsError(f"Caffe's bvlc_alexnet has a layer {name!r}, these weights do not")
        weights, bias = _pair(name, blobs[name])
        if name.startswith("conv"):
            layout = weights.ndim == 4 and weights.shape[0] == weights.shape[1]
            turned = layout if turned is None else turned
            kernel = weights.astype(np.float32) if layout else _convolution(weights)
            # BGR to RGB.
            kernel = kernel[:, :, ::-1] if name == "conv1" else kernel
        elif turned:
            kernel = weights.astype(np.float32)
        elif name == "fc6":
            kernel = _after_image(weights, merged["conv5/bias"].size)
        else:
            kernel = np.ascontiguousarray(weights.T, np.float32)
        merged[f"{name}/kernel"] = kernel
        merged[f"{name}/bias"] = bias.astype(np.float32)
    return grouped.merge(table).to_towers(merged) if table.num_columns > 1 else merged


def _pair(name: str, blob: Any) -> tuple[np.ndarray, np.ndarray]:
    pair = [blob.get("weights"), blob.get("biases")] if isinstance(blob, Mapping) else list(blob)
    if len(pair) != 2 or any(part is None for part in pair):
        raise WeightsError(f"Caffe layer {name} must have weights and biases")
    weights, bias = np.asarray(pair[0]), np.asarray(pair[1]).reshape(-1)
    if name.startswith("fc"):
        # Old blobs have four dimensions throughout.
        weights = weights.reshape(weights.shape[-2:])
    return weights, bias


def load_caffe(path: str) -> dict[str, list[np.ndarray]]:
    """Blobs by layer from a .npy file (a pickled dict) or a .npz file (`conv1_0`, `conv1_1`, ...).

    Only arrays, dicts and lists are unpickled, so a file cannot run code.

    Raises:
        WeightsError: not such a file.
    """
    if path.endswith(".npz"):
        result: dict[str, list[np.ndarray]] = {}
        for key, array in sorted(load_npz(path).items()):
            result.setdefault(key.rstrip("01").rstrip("_./"), []).append(array)
        return result
    try:
        with open(path, "rb") as file:
            version = np.lib.format.read_magic(file)
            if version == (1, 0):
                np.lib.format.read_array_header_1_0(file)
            else:
                np.lib.format.read_array_header_2_0(file)
            content = _ArraysOnly(file, encoding="latin1").load()
        content = content.item() if isinstance(content, np.ndarray) else content
    except (OSError, ValueError, pickle.UnpicklingError, AttributeError, EOFError) as error:
        raise WeightsError(f"{path}: not a readable dict of Caffe blobs: {error}") from error
    if not isinstance(content, dict):
        raise WeightsError(f"{path}: holds {type(content).__name__}, not a dict of Caffe blobs")
    return content


class _ArraysOnly(pickle.Unpickler):
    """Unpickles NumPy arrays and plain containers, nothing else."""

    _ALLOWED = {
        ("multiarray", "_reconstruct"),
        ("multiarray", "scalar"),
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
        ("_codecs", "encode"),
        ("collections", "OrderedDict"),
    }

    def find_class(self, module: str, name: str) -> Any:
        """The class `name`, if it is a harmless one."""
        if (module.rsplit(".", 1)[-1], name) in self._ALLOWED and module.split(".")[0] in (
            "numpy",
            "_codecs",
            "collections",
        ):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")
