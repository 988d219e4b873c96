"""What is refused before anything is computed: values that mean nothing, and contradictions.

What depends on the machine, the dataset or the network's layers is refused where those are known.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from ml_collections import ConfigDict

from alexnet_common.errors import UsageError
from alexnet_tf.settings.catalog import SETTINGS

# Schedules with another rate at every step.
_CONTINUOUS = ("exponential", "polynomial", "cosine")


def check(config: ConfigDict) -> None:
    """Refuses a recipe that no run could follow.

    Raises:
        UsageError: names the first setting, or pair of settings, that is wrong.
    """
    for key, value in values(config):
        if key in SETTINGS:
            SETTINGS[key].check(value)
        elif isinstance(value, float) and not math.isfinite(value):
            raise UsageError(f"config.{key} must be a finite number, not {value}")
    for contradiction in _contradictions(config):
        raise UsageError(contradiction)


def values(section: ConfigDict, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """All values with their keys, such as ("optimizer.momentum", 0.9)."""
    for key, value in section.items():
        if isinstance(value, ConfigDict):
            yield from values(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def changes_rate_each_step(config: ConfigDict) -> bool:
    """Whether the schedule leaves no two steps the same rate."""
    return config.learning_rate.schedule in _CONTINUOUS


def _contradictions(config: ConfigDict) -> Iterator[str]:
    if not (config.train_steps or config.train_epochs):
        yield "config.train_epochs must be at least 1 where config.train_steps is 0"
    if config.synthetic_data and config.num_classes < 1:
        yield "config.synthetic_data needs config.num_classes, at least 1"
    yield from _contradictions_of_place(config)
    yield from _contradictions_of_rates(config)
    averaging, name = config.optimizer.averaging, config.optimizer.name
    if averaging != "none" and name not in ("sgd", "sgdw"):
        yield f"config.optimizer.averaging={averaging} goes with optimizer sgd or sgdw, not {name}"


def _contradictions_of_place(config: ConfigDict) -> Iterator[str]:
    one_device = config.distribution == "one_device"
    together = config.placement == "one_device"
    if not one_device and not together:
        yield (
            f"config.placement={config.placement} needs config.distribution=one_device: columns on "
            "two devices and copies on several cannot be combined"
        )
    if one_device and together and len(config.devices) > 1:
        yield (
            "config.devices names several devices; use config.distribution=mirrored or "
            "config.placement=two_devices"
        )
    if config.implementation in ("grouped", "joint") and not together:
        yield (
            f"config.implementation={config.implementation} merges the columns, which "
            f"config.placement={config.placement} wants apart"
        )
    if config.input.cache == "device" and not (one_device and together):
        yield (
            "config.input.cache=device needs config.distribution=one_device and "
            "config.placement=one_device; use config.input.cache=memory"
        )


def _contradictions_of_rates(config: ConfigDict) -> Iterator[str]:
    rates = config.learning_rate
    if config.steps_per_call > 1 and changes_rate_each_step(config):
        yield (
            f"config.learning_rate.schedule={rates.schedule} changes the rate at every step, which "
            "config.steps_per_call > 1 cannot do"
        )
    if rates.warmup_steps and rates.warmup_epochs:
        yield (
            "config.learning_rate.warmup_steps and .warmup_epochs are both given; set one of them"
        )
