"""What benchmarks need of a run: its compiled update alone, its batches, and the loop's waits."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from typing import Any

from alexnet_tf.train_loop.logging.records import Interval
from alexnet_tf.train_loop.logging.watchers import Watcher
from alexnet_tf.train_loop.run import Run


class Waits(Watcher):
    """Notes when the loop had waited for the device.

    Attributes:
        waited: (step, monotonic seconds) of every log interval.
    """

    def __init__(self) -> None:
        self.waited: list[tuple[int, float]] = []

    def interval(self, record: Interval) -> None:
        """Notes the time."""
        self.waited.append((record.means.step, time.monotonic()))

    def seconds_per_step(self, steps_per_epoch: int) -> float | None:
        """Mean time per step between two waits within an epoch; None where no epoch had two.

        Intervals that hold the end of an epoch are left out, with its evaluation and checkpoint.
        """
        seconds, count = 0.0, 0
        for (start, began), (end, ended) in itertools.pairwise(self.waited):
            if start // steps_per_epoch == (end - 1) // steps_per_epoch and start % steps_per_epoch:
                seconds, count = seconds + ended - began, count + end - start
        return seconds / count if count else None


def batches(run: Run, first_step: int, count: int) -> Iterator[Any]:
    """The run's batches of some steps, from a pipeline that is made for them."""
    position, last_step = run.position.step, run.last_step
    run.position.step, run.last_step = first_step, first_step + count
    try:
        return run.distribution.iterate(run.training_batches)
    finally:
        run.position.step, run.last_step = position, last_step
