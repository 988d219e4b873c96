"""What people see of a run on their terminal, or in the file that stderr goes to."""

from __future__ import annotations

import datetime
import math
import sys
import time
from collections.abc import Callable

from tqdm import tqdm

from alexnet_common.messages import duration, log, width
from alexnet_tf.train_loop.logging.records import Epoch, Interval, Means, Speed, Validation
from alexnet_tf.train_loop.logging.watchers import Watcher

# Names and widths of the table's columns; together with the stamp less than 100 characters.
COLUMNS = (
    ("epoch", 8),
    ("step", 10),
    ("loss", 9),
    ("top-1", 7),
    ("val loss", 9),
    ("top-1", 8),
    ("top-5", 8),
    ("rate", 9),
    ("img/s", 7),
    ("left", 12),
)
# What a line too narrow for all of them lacks, the first of these first (img/s stands beside the
# bar); before that it lacks the stamp.
LEFT_OUT = ("img/s", "step", "val loss")
STAMP = "%m-%d %H:%M "
BEST = "*"
ROWS_PER_HEADER = 30
# A share of the time worth a note.
LONG_WAIT = 0.2


class Progress(Watcher):
    """A table with a row per epoch, and a bar in between on a terminal; in a file, rows in between.

    Rows in a file begin with month, day and time, where the line has room for them. A `*`
    marks the lowest validation error so far.

    Args:
        steps_per_epoch, epochs: the length of the run.
        quiet: say nothing; warnings come from elsewhere.
        seconds_between_rows: in a file, at least so many between the rows within an epoch, so that
            a run of days has a log that can be read; 0: a row per log interval.
        columns: width of the terminal; None: as it is.
        now: the time of a row's stamp.
    """

    def __init__(
        self,
        steps_per_epoch: int,
        epochs: int,
        *,
        quiet: bool = False,
        seconds_between_rows: float = 10.0,
        columns: int | None = None,
        now: Callable[[], datetime.datetime] = datetime.datetime.now,
    ):
        self._steps, self._epochs = steps_per_epoch, epochs
        self._quiet, self._columns, self._now = quiet, columns, now
        self._seconds_between_rows = seconds_between_rows
        self._written_at = -math.inf
        self._rows = 0
        self._skipped = 0
        self._noted_wait = False
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
                ncols=self._columns,
                dynamic_ncols=self._columns is None,
                bar_format="{desc} {percentage:3.0f}% {bar:8} {n_fmt}/{total_fmt}{postfix}",
            )

    def steps_done(self, step: int) -> None:
        """Moves the bar."""
        if self._bar is not None:
            self._bar.update(step - self._epoch * self._steps - self._bar.n)

    def interval(self, record: Interval) -> None:
        """Says how training goes."""
        if self._quiet:
            return
        if self._bar is not None:
            self._bar.set_postfix_str(beside_the_bar(record, self._room()))
        elif not self._terminal:
            now = time.monotonic()
            if now - self._written_at >= self._seconds_between_rows:
                self._written_at = now
                self._row(record.means, record.speed, record.seconds_left)

    def _room(self) -> int:
        """Characters that the terminal has beside the bar."""
        count = f"{self._steps}/{self._steps}"
        before = f"epoch {self._epoch + 1}/{self._epochs} 100% {'':8} {count}, "
        return (self._columns or width()) - len(before)

    def begin_evaluation(self, step: int) -> None:
        """Says on the bar what the pause is for."""
        if self._bar is not None:
            self._bar.set_postfix_str("evaluating")

    def end_epoch(self, record: Epoch) -> None:
        """Leaves one row per epoch."""
        self.close()
        if self._quiet:
            return
        self._row(
            record.means, record.speed, record.seconds_left, record.validation, record.is_best
        )
        self._note_wait(record.speed)

    def close(self) -> None:
        """Takes the bar off the screen."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _row(
        self,
        means: Means,
        speed: Speed | None,
        seconds_left: float | None,
        validation: Validation | None = None,
        is_best: bool = False,
    ) -> None:
        if self._rows % ROWS_PER_HEADER == 0:
            self._say([name for name, _ in COLUMNS])
        self._rows += 1
        cells = [
            f"{means.epoch}/{self._epochs}",
            f"{means.step:,}",
            f"{means.loss:.4f}",
            f"{means.top_1_error:.1%}",
            f"{validation.loss:.4f}" if validation else "",
            f"{validation.top_1_error:.2%}" if validation else "",
            f"{validation.top_5_error:.2%}" if validation else "",
            f"{means.learning_rate:.3g}",
            _images(speed) if speed else "",
            "" if seconds_left is None else duration(seconds_left),
        ]
        self._say(cells, BEST if is_best else "")
        skipped = means.skipped_updates or 0
        if skipped > self._skipped:
            updates = "update" if skipped == 1 else "updates"
            log(f"note: {skipped:,} {updates} skipped (loss scale {means.loss_scale:g})")
        self._skipped = skipped

    def _say(self, cells: list[str], mark: str = "") -> None:
        stamp = "" if self._terminal else f"{self._now():{STAMP}}"
        stamped, left_out = fitting(self._columns or width(), len(stamp))
        texts = [
            # One less in front: no column stands left of it.
            f"{cell:>{wide - (name == 'epoch')}}"
            for cell, (name, wide) in zip(cells, COLUMNS, strict=True)
            if name not in left_out
        ]
        log((stamp if stamped else "") + "".join(texts) + mark)

    def _note_wait(self, speed: Speed | None) -> None:
        if speed is not None and speed.data_wait > LONG_WAIT and not self._noted_wait:
            self._noted_wait = True
            log(
                f"note: the device waited for data in {speed.data_wait:.0%} of this epoch's time; "
                "python -m alexnet_tf.benchmark input says how fast the data comes"
            )


def fitting(columns: int, stamp: int) -> tuple[bool, tuple[str, ...]]:
    """Whether rows have their stamp, and which columns of the table they lack.

    Args:
        columns: characters that a line may have.
        stamp: characters of the stamp.
    """
    widths = dict(COLUMNS)
    # The first column has one less, and a mark behind the last one needs one.
    needed = sum(wide for _, wide in COLUMNS)
    if needed + stamp <= columns:
        return True, ()
    for count in range(len(LEFT_OUT)):
        if needed <= columns:
            return False, LEFT_OUT[:count]
        needed -= widths[LEFT_OUT[count]]
    return False, LEFT_OUT


def beside_the_bar(record: Interval, room: int) -> str:
    """How training goes, the most important first, of which as much as there is room for.

    Args:
        record: how the last steps went.
        room: characters; what does not fit whole is left out.
    """
    parts = [] if record.seconds_left is None else [f"{duration(record.seconds_left)} left"]
    parts.append(f"loss {record.means.loss:#.3g}")
    if record.speed is not None:
        parts.append(f"{_images(record.speed)} img/s")
    parts.append(f"top-1 {record.means.top_1_error:.1%}")
    while len(parts) > 1 and len(", ".join(parts)) >= room:
        parts.pop()
    return ", ".join(parts)


def _images(speed: Speed) -> str:
    images = speed.images_per_second
    return f"{images:,.0f}" if images >= 10 else f"{images:.2g}"
