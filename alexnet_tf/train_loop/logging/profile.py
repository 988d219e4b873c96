"""A profile of chosen updates, for TensorBoard's profiler."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from alexnet_common.errors import one_line
from alexnet_common.messages import log
from alexnet_tf.model.placement import tensorflow_variable
from alexnet_tf.train_loop.logging.watchers import Watcher


class Profile(Watcher):
    """Records what the device and the host do during chosen updates, for TensorBoard's profiler.

    Args:
        folder: where TensorBoard looks.
        steps: the first and the last update to record, counted from the start of the run; empty:
            record nothing.
        variables: of the network; reading one waits for the device.
        quiet: says only what went wrong.
        profiler: with `start(folder)` and `stop()`.
    """

    def __init__(
        self,
        folder: Path,
        steps: Sequence[int],
        variables: Mapping[str, Any],
        quiet: bool = False,
        *,
        profiler: Any = tf.profiler.experimental,
    ):
        self._folder = folder
        # No update has the number 0.
        self._first, self._last = (steps[0], steps[1]) if steps else (0, 0)
        self._variables = variables
        self._quiet, self._profiler = quiet, profiler
        # Where this recording began, and the last update that was made.
        self._from, self._seen = 0, 0
        self._running = False

    def begin_epoch(self, epoch: int, step: int) -> None:
        """Starts where the run begins or goes on among the chosen updates."""
        self._start_before(step + 1)

    def steps_done(self, step: int) -> None:
        """Stops after the last chosen update, starts before the first."""
        self._seen = step
        if self._running and step >= self._last:
            self._stop()
        elif not self._running:
            self._start_before(step + 1)

    def close(self) -> None:
        """Keeps what was recorded so far, also of a run that is stopped."""
        if self._running:
            self._stop()

    def _start_before(self, step: int) -> None:
        if self._running or not self._first <= step <= self._last:
            return
        self._finish_work()
        try:
            self._profiler.start(str(self._folder))
            self._running, self._from = True, step
        except tf.errors.OpError as error:
            log(f"warning: the profiler did not start: {one_line(error)}")
            self._last = 0

    def _stop(self) -> None:
        self._running = False
        try:
            self._finish_work()
            self._profiler.stop()
        except tf.errors.OpError as error:
            log(f"warning: no profile was kept: {one_line(error)[:200]}")
            return
        where = self._folder / "plugins" / "profile"
        if not self._quiet:
            log(f"profile of steps {self._from} to {self._seen}: {where}")

    def _finish_work(self) -> None:
        # Updates run ahead of Python on a GPU; reading a weight waits for them.
        tensorflow_variable(next(iter(self._variables.values()))).numpy()
