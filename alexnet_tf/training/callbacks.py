"""What watches a run: the metrics file, TensorBoard, and the progress line. All Keras callbacks."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from tqdm import tqdm

from data_prep import command

# Measured times differ from run to run; everything else in the logs is determined by the seed.
# Keras hands all numbers on as floats.
INTEGERS = ("epoch", "step", "val_count")
TIMING = ("images_per_second", "data_wait", "train_seconds", "evaluation_seconds")


class MetricsFile(keras.callbacks.Callback):
    """Appends one JSON object per line: `kind` "train" per log interval, "epoch" per epoch.

    Times are kept apart under `timing`, so that two runs with one seed differ in nothing else.
    """

    def __init__(self, path: Path):
        super().__init__()
        self._path = path

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Writes the interval's means, when the loop has just made them."""
        if logs and logs.get("fresh"):
            self._write("train", logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Writes the epoch's means and the validation errors."""
        self._write("epoch", logs or {})

    def _write(self, kind: str, logs: dict[str, Any]) -> None:
        line: dict[str, Any] = {"kind": kind}
        hidden = (*TIMING, "fresh", "lr", "seconds_left")
        line |= {
            key: int(value) if key in INTEGERS else float(value)
            for key, value in logs.items()
            if key not in hidden
        }
        line["timing"] = {key: round(float(logs[key]), 4) for key in TIMING if key in logs}
        with self._path.open("a") as file:
            file.write(json.dumps(line) + "\n")


class TensorBoardScalars(keras.callbacks.Callback):
    """Scalars for TensorBoard: training per log interval, validation per epoch, over the step."""

    def __init__(self, folder: Path):
        super().__init__()
        self._folder = folder
        self._writers: dict[str, Any] = {}

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Writes the interval's means."""
        if logs and logs.get("fresh"):
            self._write("train", logs, "")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Writes the validation errors."""
        if logs:
            self._write("validation", logs, "val_")

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Closes the files."""
        for writer in self._writers.values():
            writer.close()

    def _write(self, name: str, logs: dict[str, Any], prefix: str) -> None:
        if name not in self._writers:
            self._writers[name] = tf.summary.create_file_writer(str(self._folder / name))
        with self._writers[name].as_default(step=int(logs["step"])):
            for key, value in logs.items():
                if key.startswith(prefix) and key not in (*INTEGERS, "fresh", "lr"):
                    tf.summary.scalar(key.removeprefix(prefix), float(value))
        self._writers[name].flush()


class Progress(keras.callbacks.Callback):
    """One line that moves on a terminal; one line per log interval in a file.

    Args:
        steps_per_epoch, epochs: the length of the run.
    """

    def __init__(self, steps_per_epoch: int, epochs: int):
        super().__init__()
        self._steps, self._epochs = steps_per_epoch, epochs
        self._bar: tqdm | None = None
        self._terminal = sys.stderr.isatty()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Starts the epoch's bar where a resumed epoch stands."""
        if self._terminal:
            self._bar = tqdm(
                total=self._steps,
                initial=(logs or {}).get("step_in_epoch", 0),
                desc=f"epoch {epoch + 1}/{self._epochs}",
                unit="step",
                leave=False,
                dynamic_ncols=True,
                bar_format="{desc} {percentage:3.0f}% {bar:12} {n_fmt}/{total_fmt}{postfix}",
            )

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Moves the bar, and says how training goes once per log interval."""
        fresh = bool(logs and logs.get("fresh"))
        if self._bar is not None:
            self._bar.update(1)
            if fresh:
                self._bar.set_postfix_str(_describe(logs or {}))
        elif fresh:
            logs = logs or {}
            command.log(
                f"epoch {logs['epoch']:.0f}/{self._epochs} step {logs['step']:.0f}: "
                f"{_describe(logs)}"
            )

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Leaves one line per epoch."""
        self.close()
        logs = logs or {}
        text = f"epoch {epoch + 1}/{self._epochs} done: {_describe(logs)}"
        if "val_top_1_error" in logs:
            text += (
                f" | validation loss {logs['val_loss']:.4f}, top-1 error "
                f"{logs['val_top_1_error']:.2%}, top-5 error {logs['val_top_5_error']:.2%}"
            )
        command.log(text)

    def close(self) -> None:
        """Takes the bar off the screen."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _describe(logs: dict[str, Any]) -> str:
    parts = [f"loss {logs['loss']:.4f}", f"top-1 error {logs['top_1_error']:.1%}"]
    parts.append(f"rate {logs['learning_rate']:g}")
    if "images_per_second" in logs:
        parts.append(f"{logs['images_per_second']:.0f} img/s")
        parts.append(f"{logs['data_wait']:.0%} waiting for data")
    if "seconds_left" in logs:
        parts.append(f"{duration(logs['seconds_left'])} left")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """A time a person reads at a glance: "45 s", "3 min 20 s", "2 h 5 min", "3 d 4 h"."""
    whole = round(seconds)
    for size, unit, smaller, small_unit in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"),
                                            (60, "min", 1, "s")):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // smaller} {small_unit}"
    return f"{whole} s"
