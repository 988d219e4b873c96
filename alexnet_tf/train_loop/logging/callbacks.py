"""What watches a run: the metrics file, the progress line, warnings, the summary at the end."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from pathlib import Path
from typing import Any

import keras
from tqdm import tqdm

from alexnet_common.messages import log
from alexnet_tf.train_loop.logging.log_keys import INTEGERS, NOTES, TIMING


class MetricsFile(keras.callbacks.Callback):
    """Appends one JSON object per line: `kind` "train" per log interval, "epoch" per epoch.

    Times are kept apart under `timing`, so that two runs with one seed differ in nothing else. On
    a full disk lines wait in memory, with a warning, until there is room.
    """

    def __init__(self, path: Path):
        super().__init__()
        self._path = path
        self._waiting = ""

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Writes the interval's means, when the loop has just made them."""
        if logs and logs.get("fresh"):
            self._write("train", logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Writes the epoch's means and the validation errors."""
        self._write("epoch", logs or {})

    def _write(self, kind: str, logs: dict[str, Any]) -> None:
        line: dict[str, Any] = {"kind": kind}
        hidden = (*TIMING, *NOTES)
        line |= {
            key: int(value) if key in INTEGERS else float(value)
            for key, value in logs.items()
            if key not in hidden
        }
        line["timing"] = {key: round(float(logs[key]), 4) for key in TIMING if key in logs}
        first = not self._waiting
        self._waiting += json.dumps(line) + "\n"
        try:
            _append(self._path, self._waiting.encode())
            self._waiting = ""
        except OSError as error:
            if first:
                log(f"WARNING: {self._path} cannot be written ({error.strerror}); its lines wait")


class Progress(keras.callbacks.Callback):
    """One line that moves on a terminal; in a file, a line now and then. Always one per epoch.

    Args:
        steps_per_epoch, epochs: the length of the run.
        quiet: say nothing; warnings come from elsewhere.
        seconds_between_lines: in a file, at least so many, so that a run of days has a log that
            can be read; 0: a line per log interval.
    """

    def __init__(
        self,
        steps_per_epoch: int,
        epochs: int,
        *,
        quiet: bool = False,
        seconds_between_lines: float = 10.0,
    ):
        super().__init__()
        self._steps, self._epochs = steps_per_epoch, epochs
        self._quiet = quiet
        self._seconds_between_lines = seconds_between_lines
        self._said_at = -math.inf
        self._bar: tqdm | None = None
        self._terminal = sys.stderr.isatty()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Starts the epoch's bar where a resumed epoch stands."""
        if self._terminal and not self._quiet:
            self._bar = tqdm(
                total=self._steps,
                initial=int((logs or {}).get("step_in_epoch", 0)),
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
            self._bar.update(batch + 1 - self._bar.n)
            if fresh:
                self._bar.set_postfix_str(_describe(logs or {}))
        elif fresh and not self._quiet and not self._terminal:
            self._say_how_it_goes(logs or {}, batch + 1)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Leaves one line per epoch."""
        self.close()
        if not self._quiet:
            log(_describe_epoch(epoch + 1, self._epochs, logs or {}))

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Takes the bar off the screen."""
        self.close()

    def close(self) -> None:
        """Takes the bar off the screen."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _say_how_it_goes(self, logs: dict[str, Any], step_in_epoch: int) -> None:
        now = time.monotonic()
        if now - self._said_at >= self._seconds_between_lines:
            self._said_at = now
            log(
                f"epoch {logs['epoch']:.0f}/{self._epochs}, step {step_in_epoch:,}/{self._steps:,}"
                f" ({logs['step']:,.0f} in all): {_describe(logs)}"
            )


class StuckLoss(keras.callbacks.Callback):
    """Warns once when the loss stays where a network that knows nothing has it: at ln(classes).

    Args:
        classes: of the dataset.
        steps: so many updates at that loss, from the start of the run on, are worth a warning.
    """

    TOLERANCE = 0.02

    def __init__(self, classes: int, steps: int = 5000):
        super().__init__()
        self._chance = math.log(classes)
        self._steps = steps
        self._warned = False
        self._since: int | None = None

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Looks at the interval's mean."""
        if not logs or not logs.get("fresh") or self._warned:
            return
        step = int(logs["step"])
        if abs(logs["loss"] - self._chance) > self.TOLERANCE:
            self._since = None
            return
        self._since = step if self._since is None else self._since
        if step - self._since >= self._steps:
            self._warned = True
            log(
                f"WARNING: the loss has been {logs['loss']:.2f} = ln(classes) for {self._steps:,} "
                "steps: the network does not learn. Usual causes: a learning rate that is too high "
                "or too low, initial biases of 0 instead of 1, labels that do not belong to the "
                "images (python -m data_prep.verify shows them)"
            )


class Summary(keras.callbacks.Callback):
    """At the end: the last and the best result of the whole run, beside what was expected.

    Args:
        metrics_file: of the run; it also holds what came before the run was resumed.
        expected: the recipe's words for the result it should reach, or "".
        quiet: say nothing.
    """

    def __init__(self, metrics_file: Path, expected: str = "", *, quiet: bool = False):
        super().__init__()
        self._path, self._expected, self._quiet = metrics_file, expected, quiet

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Writes the summary."""
        if self._quiet or not self._path.exists():
            return
        lines = [json.loads(line) for line in self._path.read_text().splitlines()]
        epochs = [line for line in lines if line["kind"] == "epoch" and "val_top_1_error" in line]
        if not epochs:
            return
        best = min(epochs, key=lambda line: line["val_top_1_error"])
        rows = [("last", epochs[-1]), ("best", best)]
        for name, line in rows:
            log(
                f"{name:<14} epoch {line['epoch']}, step {line['step']:,}: top-1 error "
                f"{line['val_top_1_error']:.2%}, top-5 error {line['val_top_5_error']:.2%} "
                f"on {line['val_count']:,} validation images, 1 view"
            )
        if self._expected:
            log(f"{'expected':<14} {self._expected}")


def _append(path: Path, data: bytes) -> None:
    """Adds all of `data` or, where the disk is full, none of it."""
    with path.open("ab", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        written = 0
        try:
            while written < len(data):
                written += file.write(data[written:]) or 0
        except OSError:
            file.truncate(size)
            raise


def _describe(logs: dict[str, Any]) -> str:
    parts = [f"loss {logs['loss']:.4f}", f"top-1 error {logs['top_1_error']:.1%}"]
    parts.append(f"rate {logs['learning_rate']:g}")
    if logs.get("skipped_updates"):
        parts.append(
            f"{logs['skipped_updates']:,.0f} updates skipped (loss scale {logs['loss_scale']:g})"
        )
    if "images_per_second" in logs:
        speed = logs["images_per_second"]
        parts.append(f"{speed:,.0f} img/s" if speed >= 10 else f"{speed:.2g} img/s")
        parts.append(f"{logs['data_wait']:.0%} waiting for data")
    if "seconds_left" in logs:
        parts.append(f"{duration(logs['seconds_left'])} left")
    return ", ".join(parts)


def _describe_epoch(epoch: int, epochs: int, logs: dict[str, Any]) -> str:
    text = f"epoch {epoch}/{epochs} done"
    if "train_seconds" in logs:
        text += f" in {duration(logs['train_seconds'])}"
    text += f": {_describe(logs)}"
    if "val_top_1_error" in logs:
        text += (
            f" | validation loss {logs['val_loss']:.4f}, top-1 error "
            f"{logs['val_top_1_error']:.2%}, top-5 error {logs['val_top_5_error']:.2%} "
            f"on {logs['val_count']:,.0f} images"
        )
    return text


def duration(seconds: float) -> str:
    """A time a person reads at a glance: "45 s", "3 min 20 s", "2 h 5 min", "3 d 4 h"."""
    whole = round(seconds)
    units = ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s"))
    for size, unit, smaller, small_unit in units:
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // smaller} {small_unit}"
    return f"{whole} s"
