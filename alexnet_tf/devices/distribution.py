"""Where a run computes: one device, all GPUs of a machine, or many machines.

Only this file chooses a `tf.distribute` strategy. The step is the same under each of them, and so
are the examples of every update: the recipe's batch size is the global one.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import tensorflow as tf

from alexnet_common import signals
from alexnet_common.errors import UserError
from alexnet_common.messages import duration, log
from alexnet_tf.devices import cluster, failures, noticed_signals, rendezvous, required
from alexnet_tf.input import pipeline
from alexnet_tf.recipes import ConfigDict

# How long a worker waits for the others at the start.
WAIT_FOR_WORKERS_SECONDS = 600


# Iterators over several devices, for ever: a process that lets one go in mid-epoch waits for the
# thread that fills it, and that thread may wait for Python; seconds, at times a minute.
# `stopping.leave` ends the process without letting go.
_KEPT: list[Iterator] = []


@dataclasses.dataclass(frozen=True)
class Distribution:
    """A strategy and this process' part in it.

    Attributes:
        strategy: computes the steps.
        replicas: those that this process feeds.
        is_chief: whether this process writes the run's files.
        description: where it computes, in words.
        workers: processes in all.
        columns: a device for each column of the network, where they lie apart.
        prefetch_to: the device to which batches are copied ahead of the step; "": left to the
            strategy, or no device has a memory of its own.
    """

    strategy: tf.distribute.Strategy
    replicas: pipeline.Replicas
    is_chief: bool
    description: str
    workers: int = 1
    columns: tuple[str, ...] = ()
    prefetch_to: str = ""

    def batches(self, make_batches: Callable[[pipeline.Replicas], tf.data.Dataset]) -> Iterable:
        """One element per global step, which holds one batch per local replica.

        A batch or two lie on each replica's device before the step asks for them: a copy begins
        when the device has done what it was given before, and so late for the very next step.
        """

        def feed(_: tf.distribute.InputContext) -> tf.data.Dataset:
            batches = make_batches(self.replicas)
            if self.prefetch_to:
                copied = tf.data.experimental.prefetch_to_device(self.prefetch_to, buffer_size=2)
                batches = batches.apply(copied)
            return batches

        # All strategies but the default one copy one batch ahead to their devices by themselves
        # (tf.distribute.InputOptions: experimental_fetch_to_device).
        return self.strategy.distribute_datasets_from_function(feed)

    def iterate(self, make_batches: Callable[[pipeline.Replicas], tf.data.Dataset]) -> Iterator:
        """Iterates over `batches`, and may be let go anywhere."""
        iterator = iter(self.batches(make_batches))
        if self.replicas.total > 1:
            _KEPT.append(iterator)
        return iterator

    def once(self, batches: Iterable) -> Iterator:
        """All of what `batches` returned, which may be asked for any number of times.

        Each time costs threads and memory until the end is reached, and no longer.
        """
        iterator = iter(batches)
        if self.replicas.total > 1:
            _KEPT.append(iterator)
        yield from iterator
        if self.replicas.total > 1:
            _KEPT.remove(iterator)

    def device_kinds(self) -> set[str]:
        """What it computes on: "CPU", "GPU"."""
        if self.columns:
            names = list(self.columns)
        elif self.strategy is tf.distribute.get_strategy():
            names = [self.prefetch_to or "CPU"]
        else:
            names = list(self.strategy.extended.worker_devices)
        return {"GPU" if "GPU" in name.upper() else "CPU" for name in names}

    def column_devices(self, columns: int) -> tuple[str, ...]:
        """A device for each of a network's columns; empty where columns share one device.

        Raises:
            UserError: more columns than devices.
        """
        if self.columns and columns > len(self.columns):
            raise UserError(
                f"config.placement=two_devices has {len(self.columns)} devices, and the network "
                f"has {columns} columns"
            )
        return self.columns[:columns] if self.columns and columns > 1 else ()

    def check_agreement(self, number: int, error: str = "") -> None:
        """Makes sure that all workers have the same number, below 2^32: the step they start at.

        Args:
            number: this worker's.
            error: what to say where they differ, if the number is not the step.

        Raises:
            UserError: they do not: their work folders differ; or another worker is gone.
        """
        if self.workers == 1:
            return
        try:
            total = self._sum_of(tf.constant(float(number), tf.float64))
        except tf.errors.OpError as lost:
            raise failures.explain(lost, self.workers) from lost
        if int(total) != number * self.replicas.total:
            raise UserError(
                error
                or f"the workers do not start at the same step (this one: {number}); they must all "
                "see the same --workdir"
            )

    @tf.function(autograph=False)
    def _sum_of(self, value: tf.Tensor) -> tf.Tensor:
        return self.sum(self.strategy.run(lambda: tf.identity(value)))

    def sum(self, per_replica: Any) -> tf.Tensor:
        """The sum over all replicas of all machines, inside or outside a `tf.function`."""
        return self.strategy.reduce(tf.distribute.ReduceOp.SUM, per_replica, axis=None)


def make(config: ConfigDict, wait_seconds: float = WAIT_FOR_WORKERS_SECONDS) -> Distribution:
    """The strategy that `config.distribution` names, on `config.devices` where given.

    Must run before TensorFlow has started any device, since it may split the CPU into logical
    devices.

    Args:
        config: a recipe.
        wait_seconds: how long a worker of several waits for the others, before the process ends.

    Raises:
        UserError: no GPU, a device that is not there, or a damaged TF_CONFIG.
    """
    required.check()
    if config.distribution != "multi_worker":
        # TensorFlow's other strategies read it too, and believe what an earlier job left behind.
        os.environ.pop("TF_CONFIG", None)
    strategies = {
        "one_device": lambda: _one_device(config),
        "mirrored": lambda: _mirrored(tuple(config.devices)),
        "multi_worker": lambda: _multi_worker(wait_seconds),
    }
    return strategies[config.distribution]()


def repeatable(config: ConfigDict) -> str:
    """What comes out the same when a run is repeated or killed and resumed, in words."""
    same = "the same order, crops, noise, masks and initial weights"
    if tf.config.list_logical_devices("GPU") and not config.deterministic:
        return (
            f"{same}, but not bit for bit: GPUs add in random order "
            "(config.deterministic=True: bit for bit, slower)"
        )
    return f"bit for bit on the same hardware and TensorFlow; elsewhere {same}, rounded otherwise"


def _one_device(config: ConfigDict) -> Distribution:
    devices = tuple(config.devices)
    columns: tuple[str, ...] = ()
    if config.placement == "two_devices":
        columns = _column_devices(devices)
    # The default strategy leaves operations where TensorFlow or the network's table puts them.
    strategy = tf.distribute.get_strategy()
    gpus = [device.name for device in tf.config.list_logical_devices("GPU")]
    # What nothing else places, such as the first operation on the pixels, goes to the first GPU.
    prefetch_to = gpus[0] if gpus else ""
    if columns:
        description = f"columns on {' and '.join(columns)}"
    elif devices:
        _check_present(devices)
        strategy = tf.distribute.OneDeviceStrategy(f"/{devices[0]}")
        prefetch_to = ""
        description = f"one device: {devices[0]}"
    else:
        description = f"one device: {gpus[0] if gpus else 'CPU'}"
    return Distribution(
        strategy=strategy,
        replicas=pipeline.Replicas(),
        is_chief=True,
        description=description,
        columns=columns,
        prefetch_to=prefetch_to,
    )


def _column_devices(devices: tuple[str, ...]) -> tuple[str, ...]:
    if not devices:
        count = len(tf.config.list_physical_devices("GPU"))
        if count < 2:
            raise UserError(
                f"config.placement=two_devices needs two GPUs, and here are {count}; to try it on "
                "this CPU use --config.devices=\"('CPU:0','CPU:1')\""
            )
        devices = ("GPU:0", "GPU:1")
    _check_present(devices)
    return tuple(f"/{device}" for device in devices)


def _check_present(devices: tuple[str, ...]) -> None:
    """Splits the CPU if several of it are named, and refuses devices that are not there."""
    split_cpu(sum(1 for device in devices if device.upper().startswith("CPU")))
    present = {
        ":".join(device.name.split(":")[-2:]).upper() for device in tf.config.list_logical_devices()
    }
    for device in devices:
        if device.upper() not in present:
            raise UserError(
                f"config.devices: there is no {device}; here are {', '.join(sorted(present))}"
            )


def _mirrored(devices: tuple[str, ...]) -> Distribution:
    if not devices:
        count = len(tf.config.list_physical_devices("GPU"))
        if count == 0:
            raise UserError(
                "config.distribution=mirrored found no GPU (on a machine with GPUs, TensorFlow was "
                "most likely installed without CUDA: pip install 'tensorflow[and-cuda]'); to try "
                "it on this CPU use --config.devices=\"('CPU:0','CPU:1')\""
            )
        devices = tuple(f"GPU:{number}" for number in range(count))
    _check_present(devices)
    strategy = tf.distribute.MirroredStrategy(devices=[f"/{device}" for device in devices])
    count = strategy.num_replicas_in_sync
    return Distribution(
        strategy=strategy,
        replicas=pipeline.Replicas(total=count, first=0, local=count),
        is_chief=True,
        description=f"mirrored on {count} replicas: {', '.join(devices)}",
    )


def _multi_worker(wait_seconds: float) -> Distribution:
    place = cluster.resolve(os.environ)
    cluster.export(place)
    index, count = place.index, len(place.workers)
    log(f"worker {index}: waits for all {count} workers ({place.source})")
    # Rings need no library and work between CPUs; NCCL is what connects GPUs.
    kinds = tf.distribute.experimental.CommunicationImplementation
    gpus = tf.config.list_physical_devices("GPU")
    rendezvous.meet(place, wait_seconds)
    late = (
        f"worker {index}: all {count} workers were here, but TensorFlow did not connect them "
        f"within {duration(wait_seconds)}; has one of them ended? (its log says why)"
    )
    with signals.ends_when_waited_for(wait_seconds, late):
        strategy = tf.distribute.MultiWorkerMirroredStrategy(
            communication_options=tf.distribute.experimental.CommunicationOptions(
                implementation=kinds.NCCL if gpus else kinds.RING
            )
        )
    noticed_signals.listen(place.is_chief)
    total = strategy.num_replicas_in_sync
    local = len(strategy.extended.worker_devices)
    return Distribution(
        strategy=strategy,
        replicas=pipeline.Replicas(total=total, first=index * local, local=local),
        is_chief=index == 0,
        description=f"worker {index} of {total // local}, {total} replicas in all",
        workers=total // local,
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
            raise UserError(
                f"cannot make {count} logical CPU devices: TensorFlow has already started"
            ) from error
