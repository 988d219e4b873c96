"""What people see of a run on their terminal, or in the file that stderr goes to."""

from __future__ import annotations

import math
import sys
import time

from tqdm import tqdm

from alexnet_common.messages import duration, log
from alexnet_tf.train_loop.logging.records import Epoch, Interval, Means, Speed
from alexnet_tf.train_loop.logging.watchers import Watcher


class Progress(Watcher):
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
        self._steps, self._epochs = steps_per_epoch, epochs
        self._quiet = quiet
        self._seconds_between_lines = seconds_between_lines
        self._said_at = -math.inf
        self._bar: tqdm | None = None
        self._epoch = 0
        self._terminal = sys.stderr.isatty()

    def begin_epoch(self, epoch: int, step: int) -> None:
        """Starts the epoch's bar where a resumed epoch stands."""
        self._epoch = epoch
        if self._terminal and not self._quiet:
            self._bar = tqdm(
                total=self._steps,
                initial=step - epoch * self._steps,
                desc=f"epoch {epoch + 1}/{self._epochs}",
                unit="step",
                leave=False,
                dynamic_ncols=True,
                bar_format="{desc} {percentage:3.0f}% {bar:12} {n_fmt}/{total_fmt}{postfix}",
            )

    def steps_done(self, step: int) -> None:
        """Moves the bar."""
        if self._bar is not None:
            self._bar.update(step - self._epoch * self._steps - self._bar.n)

    def interval(self, record: Interval) -> None:
        """Says how training goes."""
        if self._bar is not None:
            self._bar.set_postfix_str(_describe(record.means, record.speed, record.seconds_left))
        elif not self._quiet and not self._terminal:
            self._say_how_it_goes(record)

    def begin_evaluation(self, step: int) -> None:
        """Says on the bar what the pause is for."""
        if self._bar is not None:
            self._bar.set_postfix_str("evaluating")

    def end_epoch(self, record: Epoch) -> None:
        """Leaves one line per epoch."""
        self.close()
        if not self._quiet:
            log(_describe_epoch(record, self._epochs))

    def close(self) -> None:
        """Takes the bar off the screen."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _say_how_it_goes(self, record: Interval) -> None:
        now = time.monotonic()
        if now - self._said_at >= self._seconds_between_lines:
            self._said_at = now
            means = record.means
            step_in_epoch = means.step - (means.epoch - 1) * self._steps
            log(
                f"epoch {means.epoch}/{self._epochs}, step {step_in_epoch:,}/{self._steps:,}"
                f" ({means.step:,} in all): {_describe(means, record.speed, record.seconds_left)}"
            )


def _describe(means: Means, speed: Speed | None, seconds_left: float | None = None) -> str:
    parts = [f"loss {means.loss:.4f}", f"top-1 error {means.top_1_error:.1%}"]
    parts.append(f"rate {means.learning_rate:g}")
    if means.skipped_updates:
        parts.append(f"{means.skipped_updates:,} updates skipped (loss scale {means.loss_scale:g})")
    if speed is not None:
        images = speed.images_per_second
        parts.append(f"{images:,.0f} img/s" if images >= 10 else f"{images:.2g} img/s")
        parts.append(f"{speed.data_wait:.0%} waiting for data")
    if seconds_left is not None:
        parts.append(f"{duration(seconds_left)} left")
    return ", ".join(parts)


def _describe_epoch(record: Epoch, epochs: int) -> str:
    text = f"epoch {record.means.epoch}/{epochs} done in {duration(record.train_seconds)}"
    text += f": {_describe(record.means, record.speed)}"
    if record.validation is not None:
        found = record.validation
        text += (
            f" | validation loss {found.loss:.4f}, top-1 error "
            f"{found.top_1_error:.2%}, top-5 error {found.top_5_error:.2%} "
            f"on {found.count:,} images"
        )
    return text
