"""What a run writes for TensorBoard: numbers, the first layer's kernels, histograms, a profile."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from alexnet_common.errors import one_line
from alexnet_common.messages import log
from alexnet_tf.model import build
from alexnet_tf.pictures import kernels as kernel_pictures
from alexnet_tf.train_loop.logging import log_keys


class TensorBoard(keras.callbacks.Callback):
    """Scalars per log interval and epoch, the first layer's kernels per epoch, histograms.

    Two runs in TensorBoard's sense, `train` and `validation`, whose scalars share names and so
    share a chart. What cannot be written, because the disk is full, is left out with a warning:
    metrics.jsonl is the record, this is a view of it.

    Args:
        folder: for both.
        histograms_every_epochs: of all weights; 0: never.
    """

    def __init__(self, folder: Path, histograms_every_epochs: int = 0):
        super().__init__()
        self._folder = folder
        self._every = histograms_every_epochs
        self._writers: dict[str, Any] = {}
        self._paused = False

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Shows what the run begins with; tries again what has failed."""
        self._paused = False
        if epoch == 0 and not (logs or {}).get("step_in_epoch"):
            self._write_kernels(0)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Writes the interval's means."""
        if logs and logs.get("fresh"):
            self._write_scalars("train", logs, "")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Writes the validation errors, the kernels and the histograms."""
        logs = logs or {}
        step = int(logs["step"])
        self._write_scalars("validation", logs, "val_")
        self._write_kernels(step)
        if self._every and (epoch + 1) % self._every == 0:
            self._write("train", step, self._histograms)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Closes the files."""
        for writer in self._writers.values():
            with contextlib.suppress(tf.errors.OpError):
                writer.close()

    def _write(self, name: str, step: int, summaries: Callable[[], None]) -> None:
        """Calls `summaries` where they go to the file of `name`, unless that has just failed."""
        if self._paused:
            return
        try:
            if name not in self._writers:
                self._writers[name] = tf.summary.create_file_writer(str(self._folder / name))
            with self._writers[name].as_default(step=step):
                summaries()
            self._writers[name].flush()
        except tf.errors.OpError as error:
            # A writer that has failed stays broken; the next one begins another file.
            self._writers.pop(name, None)
            self._paused = True
            reason = one_line(error.message)[:200]
            log(f"WARNING: nothing for TensorBoard until the next epoch: {reason}")

    def _write_scalars(self, name: str, logs: dict[str, Any], prefix: str) -> None:
        shown = {
            _tag(key.removeprefix(prefix)): float(value)
            for key, value in logs.items()
            if key.startswith(prefix) and key not in (*log_keys.PLACES, *log_keys.NOTES)
        }

        def scalars() -> None:
            for tag, value in shown.items():
                tf.summary.scalar(tag, value)

        if shown:
            self._write(name, int(logs["step"]), scalars)

    def _write_kernels(self, step: int) -> None:
        layer, kernels = kernel_pictures.first_kernels(build.named_variables(self.model))
        if kernels:
            picture = kernel_pictures.draw([_array(kernel) for kernel in kernels])
            explanation = (
                "Rows of 16, columns below one another; each kernel on its own scale: a weight "
                "of 0 is mid-grey, the largest magnitude black or white."
            )
            self._write(
                "train",
                step,
                lambda: tf.summary.image(
                    f"kernels/{layer}", picture[None], description=explanation
                ),
            )

    def _histograms(self) -> None:
        for name, variable in build.named_variables(self.model).items():
            tf.summary.histogram(f"weights/{name}", _array(variable))


class Profile(keras.callbacks.Callback):
    """Records what the device and the host do during chosen updates, for TensorBoard's profiler.

    Args:
        folder: where TensorBoard looks.
        steps: the first and the last update to record, counted from the start of the run; empty:
            record nothing.
        steps_per_epoch: of the run.
        quiet: says only what went wrong.
    """

    def __init__(
        self, folder: Path, steps: Sequence[int], steps_per_epoch: int, quiet: bool = False
    ):
        super().__init__()
        self._folder = folder
        # No update has the number 0.
        self._first, self._last = (steps[0], steps[1]) if steps else (0, 0)
        self._steps_per_epoch = steps_per_epoch
        self._quiet = quiet
        self._epoch = 0
        # Where this recording began, and the last update that was made.
        self._from, self._seen = 0, 0
        self._running = False

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Starts where the run begins or goes on among the chosen updates."""
        self._epoch = epoch
        self._start_before(self._number((logs or {}).get("step_in_epoch", 0)))

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Stops after the last chosen update, starts before the first."""
        step = self._seen = self._number(batch)
        if self._running and step >= self._last:
            self._stop()
        elif not self._running:
            self._start_before(step + 1)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Stops with the run."""
        self.close()

    def close(self) -> None:
        """Keeps what was recorded so far, also of a run that is stopped."""
        if self._running:
            self._stop()

    def _number(self, batch: int) -> int:
        """Of an update, counted from 1 at the start of the run."""
        return self._epoch * self._steps_per_epoch + batch + 1

    def _start_before(self, step: int) -> None:
        if self._running or not self._first <= step <= self._last:
            return
        self._finish_work()
        try:
            tf.profiler.experimental.start(str(self._folder))
            self._running, self._from = True, step
        except tf.errors.OpError as error:
            log(f"warning: the profiler did not start: {one_line(error)}")
            self._last = 0

    def _stop(self) -> None:
        self._running = False
        try:
            self._finish_work()
            tf.profiler.experimental.stop()
        except tf.errors.OpError as error:
            log(f"warning: no profile was kept: {one_line(error)[:200]}")
            return
        where = self._folder / "plugins" / "profile"
        if not self._quiet:
            log(f"profile of steps {self._from} to {self._seen}: {where}")

    def _finish_work(self) -> None:
        # Updates run ahead of Python on a GPU; reading a weight waits for them.
        _array(self.model.trainable_variables[0])


def _tag(key: str) -> str:
    # A group of its own: TensorBoard opens the first ones of the alphabet.
    return f"timing/{key}" if key in log_keys.TIMING else key


def _array(variable: Any) -> np.ndarray:
    # Variables of Keras 3 hold TensorFlow's as their value.
    value = variable if isinstance(variable, tf.Variable) else getattr(variable, "value", variable)
    return np.asarray(value.numpy())
