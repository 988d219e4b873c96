"""What trains and measures for a campaign: its protocol, and how trials are shared out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Protocol

from alexnet_tf.claims.trials import Trial

FINISHED = "finished"
DIVERGED = "diverged"
STOPPED = "stopped"
FAILED = "failed"

Program = tuple[Any, ...]


class Worker(Protocol):
    """Does one thing at a time: usually a process of its own, which keeps what it compiled."""

    def train(self, trial: Trial, log_file: Path, until: float) -> Future[tuple[str, str]]:
        """Trains a trial from where its folder stands.

        Args:
            trial: the run.
            log_file: where its words go.
            until: `time.time()` at which it saves and stops.

        Returns:
            An outcome (finished, diverged, stopped, failed) and, of a failure, why.
        """

    def measure(self, name: str, folders: Sequence[Path], data_dir: str) -> Future[float | None]:
        """Takes a measure (`measuring.MEASURES`) of finished runs."""

    def ask_to_stop(self) -> None:
        """Lets a run that it is training save itself and stop; returns at once."""

    def stop(self) -> None:
        """Ends it, after `ask_to_stop`, and waits for its end."""


def choose(
    waiting: Sequence[Trial],
    own: Program | None,
    others: Sequence[Program | None],
    seconds_left: float,
    durations: Mapping[Program, float],
) -> Trial | None:
    """The trial that a free worker takes.

    Runs that differ in seed, rates and length alone are trained one after another by the same
    worker, which compiles their network once. Else the first one that no other worker is prepared
    for, or, where there is none, the first.

    Args:
        waiting: trials, the most important one first.
        own: the program that the worker holds already.
        others: those of the other workers.
        seconds_left: until no worker may go on.
        durations: of the last finished run of each program, in seconds; a trial that would not come
            to its end is left out.
    """
    fitting = [trial for trial in waiting if durations.get(trial.program, 0.0) <= seconds_left]
    same = [trial for trial in fitting if trial.program == own]
    fresh = [trial for trial in fitting if trial.program not in others]
    return next(iter(same or fresh or fitting), None)
