"""Images per second, and the share of time that the device waited for data."""

from __future__ import annotations

import threading
import time

from alexnet_common.messages import log
from alexnet_tf.train_loop.logging.records import Speed

# After so long a person wants to know what is waited for.
_LONG_WAIT_SECONDS = 15.0


class Clock:
    """Time spent training, and the share of it that the device waited for data.

    The first step is left out: it traces and compiles. So is everything between steps, such as
    evaluation and checkpoints. A first step that takes long says what it waits for.
    """

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet
        self._first = True
        self._interval = _Total()
        self._epoch = _Total()
        self._run_seconds, self._run_steps = 0.0, 0
        self._waiting_for = ""
        self._notice: threading.Timer | None = None

    def start_step(self) -> None:
        """Before the batch is asked for."""
        self._began = time.monotonic()
        if self._first and not self._quiet and self._notice is None:
            self._waiting_for = "waiting for the first batch of images"
            self._notice = threading.Timer(_LONG_WAIT_SECONDS, self._say)
            # Nothing waits for it where the first step fails.
            self._notice.daemon = True
            self._notice.start()

    def got_batch(self) -> None:
        """When the batch is there."""
        self._got = time.monotonic()
        self._waiting_for = (
            "compiling the first step; on a GPU that is new to this TensorFlow it may take minutes"
        )

    def end_step(self, images: int, steps: int = 1) -> None:
        """After a call that made `steps` updates."""
        seconds, waited = time.monotonic() - self._began, self._got - self._began
        if self._first:
            self._first = False
            self.close()
            if not self._quiet:
                log(f"first step, compiled and run, in {seconds:.1f} s")
            return
        for total in (self._interval, self._epoch):
            total.add(seconds, waited, images)
        self._run_seconds += seconds
        self._run_steps += steps

    def close(self) -> None:
        """Says nothing of a first step any more: it is done, or failed."""
        if self._notice is not None:
            self._notice.cancel()

    def _say(self) -> None:
        log(f"still {self._waiting_for}")

    def interval(self) -> Speed | None:
        """Speed since the last call."""
        total, self._interval = self._interval, _Total()
        return total.speed()

    def epoch(self) -> tuple[Speed | None, float]:
        """Speed and seconds since the epoch began, or since the run was resumed within it."""
        total, self._epoch = self._epoch, _Total()
        return total.speed(), total.seconds

    def seconds_left(self, steps_left: int) -> float | None:
        """Training time left at the speed so far, without evaluations; None: no speed is known."""
        if not self._run_steps:
            return None
        return steps_left * self._run_seconds / self._run_steps


class _Total:
    """Seconds, those of them spent waiting, and images."""

    def __init__(self) -> None:
        self.seconds, self._waited, self._images = 0.0, 0.0, 0

    def add(self, seconds: float, waited: float, images: int) -> None:
        self.seconds += seconds
        self._waited += waited
        self._images += images

    def speed(self) -> Speed | None:
        if not self.seconds:
            return None
        return Speed(self._images / self.seconds, self._waited / self.seconds)
