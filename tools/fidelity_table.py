"""The table of differences between profiles, from their resolved recipes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from alexnet_tf.tables import summary, table

PROFILES = ("alexnet_paper", "alexnet_code2012", "alexnet_caffe", "alexnet_owt")
"""Recipes that `docs/fidelity.md` compares, the paper's text first."""

# Sections of a recipe that say what is computed, in the table's order.
_SECTIONS = ("network", "preprocess", "optimizer", "learning_rate")
_TOP = ("batch_size", "train_epochs")
_WORDS = {
    "network.input_size": "Input, pixels",
    "network.input_scale": "Factor on mean-subtracted pixels",
    "network.columns": "Columns",
    "network.filters": "Filters of conv1 ... conv5",
    "network.padding": "Padding of conv1 ... conv5",
    "network.rounding": "Windows at the end of a map: ceil (zeros beyond the image) or floor",
    "network.neuron_after_pool": "Layers whose neurons act after the pooling",
    "network.lrn_layers": "Layers with normalisation across maps (section 3.3)",
    "network.lrn_alpha_over_size": "Its alpha divided by the window's 5",
    "network.lrn_k": "Its k",
    "network.lrn_across_columns": "Its windows cross the seam of the columns",
    "network.spatial_norm_layers": "Layers with normalisation within a map, too",
    "network.dropout_after": "Dropout after",
    "network.dropout_form": "Dropout: paper (x 0.5 in tests) or inverted (x 2 in training)",
    "network.init_stddevs": "Initial deviations of conv1 ... conv5, fc6, fc7, fc8",
    "network.init_scale": "Or, if positive, sqrt(this / fan-in)",
    "network.init_biases": "Initial biases of conv1 ... conv5, fc6, fc7, fc8",
    "network.weight_decay": "Weight decay (section 5)",
    "network.bias_weight_decay": "Decay of biases",
    "network.bias_learning_rate_multiplier": "Learning rate of biases, times that of weights",
    "preprocess.mean": "Mean that is subtracted",
    "preprocess.color_noise": "Colour noise (section 4.1)",
    "learning_rate.schedule": "Learning rate schedule",
    "learning_rate.drop_epochs": "Its drops, after epochs",
    "batch_size": "Batch size",
    "train_epochs": "Epochs",
}


def differences(recipes: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Keys in which recipes differ, with each one's value.

    Args:
        recipes: configurations by name, as `alexnet_tf.recipes.load` returns them.

    Returns:
        (key, value by recipe) pairs, such as ("network.lrn_k", {"alexnet_paper": 2.0, ...}).
    """
    flat = {name: _flat(config) for name, config in recipes.items()}
    keys = dict.fromkeys(key for values in flat.values() for key in values)
    different = []
    for key in keys:
        values = {name: flat[name].get(key) for name in recipes}
        if len({repr(value) for value in values.values()}) > 1:
            different.append((key, values))
    return different


def _flat(config: Any) -> dict[str, Any]:
    """Settings by dotted key, those of the network completed by their defaults."""
    result: dict[str, Any] = {}
    for section in _SECTIONS:
        values = config[section].to_dict()
        if section == "network":
            values = table.options(values["name"]) | values
        for key, value in values.items():
            result[f"{section}.{key}"] = tuple(value) if isinstance(value, list) else value
    return result | {key: config[key] for key in _TOP}


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(_cell(item) for item in value) or "none"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def markdown(recipes: Mapping[str, Any], num_classes: int = 1000) -> str:
    """The table of differences as Markdown: a row per setting, a column per recipe."""
    tables = {
        name: table.from_config(config.network, num_classes) for name, config in recipes.items()
    }
    lines = ["| | " + " | ".join(f"`{name}`" for name in recipes) + " |"]
    lines.append("|---" * (len(recipes) + 1) + "|")
    counts = [f"{summary.parameter_count(made):,}" for made in tables.values()]
    lines.append("| Parameters | " + " | ".join(counts) + " |")
    for key, values in differences(recipes):
        label = f"{_WORDS[key]} (`{key}`)" if key in _WORDS else f"`{key}`"
        cells = [_cell(values[name]) for name in recipes]
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
