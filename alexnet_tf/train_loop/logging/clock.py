"""Images per second, and the share of time that the device waited for data."""

from __future__ import annotations

import time

from alexnet_common.messages import log


class Clock:
    """Time spent training, and the share of it that the device waited for data.

    The first step is left out: it traces and compiles. So is everything between steps, such as
    evaluation and checkpoints.
    """

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet
        self._first = True
        self._interval = [0.0, 0.0, 0]
        self._epoch = [0.0, 0.0, 0]
        self._run_seconds, self._run_steps = 0.0, 0

    def start_step(self) -> None:
        """Before the batch is asked for."""
        self._began = time.monotonic()

    def got_batch(self) -> None:
        """When the batch is there."""
        self._got = time.monotonic()

    def end_step(self, images: int, steps: int = 1) -> None:
        """After a call that made `steps` updates."""
        seconds, waited = time.monotonic() - self._began, self._got - self._began
        if self._first:
            self._first = False
            if not self._quiet:
                log(f"first step, compiled and run, in {seconds:.1f} s")
            return
        for total in (self._interval, self._epoch):
            total[:] = [total[0] + seconds, total[1] + waited, total[2] + images]
        self._run_seconds += seconds
        self._run_steps += steps

    def interval(self) -> dict[str, float]:
        """Speed since the last call."""
        found, self._interval = self._interval, [0.0, 0.0, 0]
        return _speed(found)

    def epoch(self) -> dict[str, float]:
        """Speed since the epoch began, or since the run was resumed within it."""
        found, self._epoch = self._epoch, [0.0, 0.0, 0]
        return _speed(found) | {"train_seconds": found[0]}

    def seconds_left(self, steps_left: int) -> float:
        """Training time left at the speed so far, without evaluations."""
        return steps_left * self._run_seconds / max(self._run_steps, 1)


def _speed(total: list[float]) -> dict[str, float]:
    seconds, waited, images = total
    if not seconds:
        return {}
    return {"images_per_second": images / seconds, "data_wait": waited / seconds}
