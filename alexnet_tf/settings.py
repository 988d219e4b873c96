"""Settings that have a meaning only within limits, whatever the others are."""

from __future__ import annotations

import math
from collections.abc import Iterator

from alexnet_common.errors import UsageError
from alexnet_tf.config import ConfigDict

AT_LEAST = {
    "seed": 0,
    "batch_size": 1,
    "train_steps": 0,
    "steps_per_call": 1,
    "accumulation_steps": 1,
    "limit_train_examples": 0,
    "input.crop_chunk": 1,
    "input.prefetch_batches": 0,
    "input.threads": 0,
    "preprocess.color_noise_stddev": 0,
    "optimizer.trust_coefficient": 0,
    "learning_rate.patience_epochs": 0,
    "learning_rate.max_drops": 0,
    "evaluation.every_epochs": 1,
    "evaluation.batch_size": 1,
    "checkpoint.every_minutes": 0,
    "checkpoint.every_steps": 0,
    "checkpoint.keep": 1,
    "log.every_steps": 1,
    "log.histograms_every_epochs": 0,
}


def check(config: ConfigDict) -> None:
    """Refuses numbers below their limit, and those that are no numbers.

    Raises:
        UsageError: names the first one.
    """
    for key, value in _numbers(config):
        if not math.isfinite(value):
            raise UsageError(f"config.{key} must be a finite number, not {value}")
        if value < AT_LEAST.get(key, -math.inf):
            raise UsageError(f"config.{key} must be at least {AT_LEAST[key]}, not {value}")
    if not (config.train_steps or config.train_epochs > 0):
        raise UsageError("config.train_epochs must be at least 1")
    if config.synthetic_data and config.num_classes < 1:
        raise UsageError("config.synthetic_data needs config.num_classes, at least 1")


def _numbers(section: ConfigDict, prefix: str = "") -> Iterator[tuple[str, float]]:
    """All numbers with their keys, such as ("optimizer.momentum", 0.9)."""
    for key, value in section.items():
        if isinstance(value, ConfigDict):
            yield from _numbers(value, f"{prefix}{key}.")
        elif isinstance(value, int | float):
            yield f"{prefix}{key}", value
