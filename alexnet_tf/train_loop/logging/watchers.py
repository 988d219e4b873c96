"""Who watches a run: what the loop calls while it trains."""

from __future__ import annotations

from collections.abc import Sequence

from alexnet_tf.train_loop.logging.records import Epoch, Interval


class Watcher:
    """What the loop calls while a run trains; a watcher takes what it needs."""

    def begin_epoch(self, epoch: int, step: int) -> None:
        """Before the first step of epoch `epoch` (from 0), or of what is left of it.

        `step` updates are done in the whole run.
        """

    def steps_done(self, step: int) -> None:
        """After each call that made updates; `step` of them are done in the whole run."""

    def interval(self, record: Interval) -> None:
        """Once every config.log.every_steps steps, before `steps_done` of the last of them."""

    def begin_evaluation(self, step: int) -> None:
        """Before an epoch is evaluated, after `step` updates."""

    def end_epoch(self, record: Epoch) -> None:
        """After the epoch's evaluation, before its checkpoint."""

    def end_run(self) -> None:
        """When the run has reached its end."""

    def close(self) -> None:
        """However training ends: nothing more will be called."""


class Watchers(Watcher):
    """Several watchers, told one after the other."""

    def __init__(self, watchers: Sequence[Watcher]):
        self._watchers = tuple(watchers)

    def begin_epoch(self, epoch: int, step: int) -> None:
        """Tells all."""
        for watcher in self._watchers:
            watcher.begin_epoch(epoch, step)

    def steps_done(self, step: int) -> None:
        """Tells all."""
        for watcher in self._watchers:
            watcher.steps_done(step)

    def interval(self, record: Interval) -> None:
        """Tells all."""
        for watcher in self._watchers:
            watcher.interval(record)

    def begin_evaluation(self, step: int) -> None:
        """Tells all."""
        for watcher in self._watchers:
            watcher.begin_evaluation(step)

    def end_epoch(self, record: Epoch) -> None:
        """Tells all."""
        for watcher in self._watchers:
            watcher.end_epoch(record)

    def end_run(self) -> None:
        """Tells all."""
        for watcher in self._watchers:
            watcher.end_run()

    def close(self) -> None:
        """Tells all, the last one first."""
        for watcher in reversed(self._watchers):
            watcher.close()
