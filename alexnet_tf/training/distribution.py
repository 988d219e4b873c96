"""Where a run computes: one device, all GPUs of a machine, or many machines.

Only this file and `loop.py` know what a `tf.distribute` strategy is. The step is the same under each
of them, and so are the examples of every update: the recipe's batch size is the global one.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from alexnet_tf.config import ConfigDict
from alexnet_tf.input import pipeline
from data_prep import command

STRATEGIES = ("one_device", "mirrored", "multi_worker")


@dataclasses.dataclass(frozen=True)
class Distribution:
    """A strategy and this process' part in it."""

    strategy: tf.distribute.Strategy
    replicas: pipeline.Replicas
    is_chief: bool
    description: str

    def iterate(self, make_batches: Callable[[pipeline.Replicas], tf.data.Dataset]) -> Iterator:
        """Iterates over global steps; each element holds one batch per local replica."""
        batches = self.strategy.distribute_datasets_from_function(
            lambda _: make_batches(self.replicas)
        )
        return iter(batches)

    def sum(self, per_replica: Any) -> tf.Tensor:
        """The sum over all replicas of all machines, inside or outside a `tf.function`."""
        return self.strategy.reduce(tf.distribute.ReduceOp.SUM, per_replica, axis=None)


def make(config: ConfigDict) -> Distribution:
    """The strategy that `config.distribution` names, on `config.devices` where given.

    Must run before TensorFlow has started any device, since it may split the CPU into logical
    devices.

    Raises:
        UsageError: an unknown name.
        UserError: no GPU, a device that is not there, or a damaged TF_CONFIG.
    """
    devices = tuple(config.devices)
    if config.distribution == "one_device":
        if len(devices) > 1:
            raise command.UsageError(
                "config.devices names several devices; use config.distribution=mirrored"
            )
        return _one_device()
    if config.distribution == "mirrored":
        return _mirrored(devices)
    if config.distribution == "multi_worker":
        return _multi_worker()
    raise command.UsageError(
        f"config.distribution must be one of {', '.join(STRATEGIES)}, not {config.distribution!r}"
    )


def _one_device() -> Distribution:
    gpus = tf.config.list_logical_devices("GPU")
    return Distribution(
        # The default strategy leaves operations where TensorFlow or the network's table puts them.
        strategy=tf.distribute.get_strategy(),
        replicas=pipeline.Replicas(),
        is_chief=True,
        description=f"one device: {gpus[0].name if gpus else 'CPU'}",
    )


def _mirrored(devices: tuple[str, ...]) -> Distribution:
    if not devices:
        count = len(tf.config.list_physical_devices("GPU"))
        if count == 0:
            raise command.UserError(
                "config.distribution=mirrored found no GPU (on a machine with GPUs, TensorFlow was "
                "most likely installed without CUDA: pip install 'tensorflow[and-cuda]'); to try "
                "it on this CPU use --config.devices=\"('CPU:0','CPU:1')\""
            )
        devices = tuple(f"GPU:{number}" for number in range(count))
    split_cpu(sum(1 for device in devices if device.upper().startswith("CPU")))
    present = {
        ":".join(device.name.split(":")[-2:]).upper() for device in tf.config.list_logical_devices()
    }
    for device in devices:
        if device.upper() not in present:
            raise command.UserError(
                f"config.devices: there is no {device}; here are {', '.join(sorted(present))}"
            )
    strategy = tf.distribute.MirroredStrategy(devices=[f"/{device}" for device in devices])
    count = strategy.num_replicas_in_sync
    return Distribution(
        strategy=strategy,
        replicas=pipeline.Replicas(total=count, first=0, local=count),
        is_chief=True,
        description=f"mirrored on {count} replicas: {', '.join(devices)}",
    )


def _multi_worker() -> Distribution:
    try:
        task = json.loads(os.environ.get("TF_CONFIG", "{}")).get("task", {})
        index = int(task.get("index", 0))
    except (ValueError, AttributeError) as error:
        raise command.UserError(f"TF_CONFIG is not valid JSON: {error}") from error
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    total = strategy.num_replicas_in_sync
    local = len(strategy.extended.worker_devices)
    return Distribution(
        strategy=strategy,
        replicas=pipeline.Replicas(total=total, first=index * local, local=local),
        is_chief=index == 0,
        description=f"worker {index}, {total} replicas in all",
    )


def split_cpu(count: int) -> None:
    """Makes `count` logical CPU devices, for trying out several replicas without a GPU.

    Raises:
        UserError: TensorFlow has already started with another number.
    """
    if count < 2:
        return
    cpu = tf.config.list_physical_devices("CPU")[0]
    try:
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration() for _ in range(count)]
        )
    except RuntimeError as error:
        if len(tf.config.list_logical_devices("CPU")) < count:
            raise command.UserError(
                f"cannot make {count} logical CPU devices: TensorFlow has already started"
            ) from error
