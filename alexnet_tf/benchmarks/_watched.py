"""The train loop as benchmarks use it: its compiled update on loan, its waits noted."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from alexnet_tf.train_loop import loop
from alexnet_tf.train_loop.setup import Run


class WatchedLoop(loop.Loop):
    """A loop that compiles once, for itself and for whoever measures the update alone.

    Attributes:
        waited: (step, monotonic seconds) of every time it had waited for the device.
    """

    def __init__(self, run: Run):
        super().__init__(run)
        self.waited: list[tuple[int, float]] = []
        self._compiled = super()._compile()

    def _compile(self) -> tuple[Any, Any]:
        return self._compiled

    def _collect(self) -> None:
        super()._collect()
        self.waited.append((self.run.position.step, time.monotonic()))

    def update(self, batch: Any, step: int) -> tf.Tensor:
        """One update alone, as the loop calls it; returns the sums of the batch."""
        controls = tf.constant([0.0, 1.0])  # No wish to stop; the colour noise as it is.
        return self._compiled[0](batch, tf.constant(step, tf.int64), controls)

    def batches(self, first_step: int, count: int) -> Iterator[Any]:
        """The run's batches of some steps, from a pipeline that is made for them."""
        run = self.run
        position, last_step = run.position.step, run.last_step
        run.position.step, run.last_step = first_step, first_step + count
        try:
            return run.distribution.iterate(run.training_batches)
        finally:
            run.position.step, run.last_step = position, last_step

    def seconds_per_step(self) -> float | None:
        """Mean time per step between two waits within an epoch; None where no epoch had two.

        The first interval of an epoch is left out: it holds the checkpoint of the one before.
        """
        seconds, count = 0.0, 0
        for (start, began), (end, ended) in itertools.pairwise(self.waited):
            if start % self.run.steps_per_epoch and end > start:
                seconds, count = seconds + ended - began, count + end - start
        return seconds / count if count else None
