"""A campaign: trains what claims need, several runs at a time, and writes a row as soon as it can.

Stopped, by hand or by its deadline, and started again, it goes on: finished runs are marked, others
have checkpoints, and rows that the ledger has are not computed again.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from alexnet_common import files
from alexnet_common.errors import UserError
from alexnet_common.messages import log
from alexnet_tf.claims import ledger, measuring, trials
from alexnet_tf.claims.claim import Arm, Claim
from alexnet_tf.claims.trials import Trial
from alexnet_tf.claims.workers import DIVERGED, FAILED, FINISHED, STOPPED, Program, Worker, choose

# Looks at an inconclusive claim after the planned one: at twice and at four times as many seeds.
MOST_SEEDS = 4
# From the deadline to the end: rows of runs that are finished are still measured.
GRACE_SECONDS = 20.0


@dataclasses.dataclass
class _Row:
    """A row that is wanted: trained when all its trials are finished, then measured.

    `before` is the run whose weights its only trial begins with, if there is one.
    """

    claim: Claim
    arm: Arm
    seed: int
    trials: list[Trial]
    grid: dict[str, Any] | None
    before: Trial | None = None


@dataclasses.dataclass
class _Job:
    worker: Worker
    began: float
    trial: Trial | None = None
    row: _Row | None = None


class Campaign:
    """Claims that are tried together, the first ones first.

    Args:
        claims: in the order of their importance.
        budget: how long a run is.
        seeds: rows per arm; 0: as each claim plans.
        data_dir: the dataset.
        root: folder of the ledger and of all runs.
        workers: train and measure.
        deadline: `time.time()` at which runs are saved and stopped; None: when all is done.
        extend: while there is time, inconclusive claims get the seeds of their next look.
        circumstances: commit, hardware, time of a row; None: those of its end.
        computing: config keys and values for all trials that change results by rounding alone.
        pretraining_data_dir: the dataset of arms that begin with a run on other images.
    """

    def __init__(
        self,
        claims: Sequence[Claim],
        budget: str,
        seeds: int,
        data_dir: str,
        root: Path,
        workers: Sequence[Worker],
        *,
        deadline: float | None = None,
        extend: bool = False,
        circumstances: Callable[[], Mapping[str, Any]] = ledger.circumstances,
        computing: Sequence[tuple[str, str]] = (),
        pretraining_data_dir: str = "",
    ):
        self._claims, self._budget = tuple(claims), budget
        self._data_dir, self._root, self._workers = data_dir, root, tuple(workers)
        self._deadline, self._extend = deadline or math.inf, extend
        self._circumstances = circumstances
        self._computing = tuple(computing)
        self._pretraining_data_dir = pretraining_data_dir
        self._targets = {claim.name: seeds or claim.budgets[budget].seeds for claim in self._claims}
        self._ledger = root / ledger.FILE
        self._outcomes: dict[Path, str] = {}
        self._failures: list[str] = []
        self._programs: dict[int, Program] = {}
        self._durations: dict[Program, float] = {}
        self._seconds: dict[Path, float] = {}
        self._jobs: dict[Future[Any], _Job] = {}
        self._rows = ledger.read(self._ledger)
        self._grids: dict[tuple[str, str], dict[str, Any]] = {}
        self._said: set[tuple[str, int]] = set()

    def run(self) -> list[str]:
        """Trains and measures to the end, or to the deadline.

        Returns:
            What failed for other reasons than its own numbers, in words.
        """
        try:
            while True:
                self._share_out()
                self._say_verdicts()
                if not self._jobs:
                    return self._failures
                done, _ = concurrent.futures.wait(
                    self._jobs, timeout=self._patience(), return_when="FIRST_COMPLETED"
                )
                if not done and time.time() > self._deadline + GRACE_SECONDS:
                    log("the deadline is over; what still runs is left")
                    return self._failures
                for future in done:
                    self._end(self._jobs.pop(future), future)
        finally:
            for worker in self._workers:
                worker.ask_to_stop()
            for worker in self._workers:
                worker.stop()

    def _patience(self) -> float | None:
        if self._deadline == math.inf:
            return None
        return max(1.0, self._deadline + GRACE_SECONDS - time.time() + 0.1)

    def _share_out(self) -> None:
        """Gives every free worker something to do: rows to measure first, then trials."""
        for number, worker in enumerate(self._workers):
            if any(job.worker is worker for job in self._jobs.values()):
                continue
            row, began = next(self._measurable(), None), time.monotonic()
            if row:
                folders = [trial.folder for trial in row.trials]
                name = row.arm.measure or row.claim.measure
                future: Future[Any] = worker.measure(name, folders, self._data_dir)
                self._jobs[future] = _Job(worker, began, row=row)
                continue
            left = self._deadline - time.time()
            if left <= 0:
                continue
            waiting = self._waiting()
            if not waiting and self._extend and self._extended():
                waiting = self._waiting()
            others = [held for place, held in self._programs.items() if place != number]
            trial = choose(waiting, self._programs.get(number), others, left, self._durations)
            if trial:
                trial = dataclasses.replace(trial, computing=self._computing)
                trial.folder.parent.mkdir(parents=True, exist_ok=True)
                self._programs[number] = trial.program
                future = worker.train(trial, _beside(trial, "log"), self._deadline)
                self._jobs[future] = _Job(worker, began, trial=trial)

    def _waiting(self) -> list[Trial]:
        """Trials that nobody has begun, the most important ones first.

        Arms that no rule looks at come after all others.
        """
        busy = {job.trial.folder for job in self._jobs.values() if job.trial}
        wanted: dict[Path, Trial] = {}
        beside: list[_Row] = []
        for claim in self._claims:
            for arm in claim.arms:
                if (claim.name, arm.name) not in self._grids:
                    wanted |= {pilot.folder: pilot for pilot in self._pilots(claim, arm)}
            for row in self._open(claim):
                if row.arm.name not in claim.rule.arms():
                    beside.append(row)
                    continue
                first = row.before and not self._outcome(row.before)
                group = [row.before] if row.before and first else row.trials
                wanted |= {trial.folder: trial for trial in group}
        wanted |= {trial.folder: trial for row in beside for trial in row.trials}
        return [
            trial
            for folder, trial in wanted.items()
            if folder not in busy and not self._outcome(trial)
        ]

    def _measurable(self) -> Iterator[_Row]:
        """Rows whose runs have all ended and that nobody measures."""
        busy = {
            (job.row.claim.name, job.row.arm.name, job.row.seed)
            for job in self._jobs.values()
            if job.row
        }
        for claim in self._claims:
            for row in self._open(claim):
                outcomes = [self._outcome(trial) for trial in row.trials]
                if row.before and self._outcome(row.before) != FINISHED:
                    outcomes = [self._outcome(row.before)]
                if (claim.name, row.arm.name, row.seed) in busy or not all(outcomes):
                    continue
                if DIVERGED in outcomes:
                    self._write(row, None, DIVERGED)
                elif FAILED not in outcomes:
                    yield row

    def _open(self, claim: Claim) -> Iterator[_Row]:
        """Rows of a claim that the ledger does not have, as far as their trials are known."""
        there = {
            (row["arm"], row["seed"])
            for row in self._rows
            if (row["claim"], row["budget"]) == (claim.name, self._budget)
        }
        for seed in range(self._targets[claim.name]):
            for arm in claim.arms:
                grid = self._grid(claim, arm)
                if (arm.name, seed) in there or grid is None:
                    continue
                group = trials.of_arm(
                    claim, arm, self._budget, seed, self._data_dir, self._root, grid["settings"]
                )
                before = trials.pretraining(
                    claim, arm, self._budget, seed, self._pretraining_data_dir, self._root
                )
                if before:
                    group = [trials.beginning_with(trial, before) for trial in group]
                yield _Row(claim, arm, seed, group, grid if arm.grid else None, before)

    def _pilots(self, claim: Claim, arm: Arm) -> list[Trial]:
        budget = claim.budgets[self._budget]
        settings = {**budget.overrides, **arm.overrides, **budget.pilot}
        return [
            trials.make(claim.recipe, settings | point, 0, self._data_dir, self._root)
            for point in trials.grid_points(arm)
        ]

    def _grid(self, claim: Claim, arm: Arm) -> dict[str, Any] | None:
        """The best point of an arm's grid by its pilots; None while they are not all there."""
        key = claim.name, arm.name
        if key not in self._grids:
            pilots = self._pilots(claim, arm)
            outcomes = [self._outcome(pilot) for pilot in pilots]
            if not all(outcomes) or FAILED in outcomes:
                return None
            self._grids[key] = _decided(claim, arm, pilots, outcomes)
        return self._grids[key]

    def _outcome(self, trial: Trial) -> str:
        """ "finished", "diverged" or "failed"; "" before."""
        if trial.folder not in self._outcomes:
            mark = _beside(trial, "trial.txt")
            self._outcomes[trial.folder] = mark.read_text().strip() if mark.is_file() else ""
        return self._outcomes[trial.folder]

    def _end(self, job: _Job, future: Future[Any]) -> None:
        """Notes what a worker has done."""
        seconds = time.monotonic() - job.began
        error = future.exception()
        if job.row:
            name = f"{job.row.claim.name}, {job.row.arm.name}, seed {job.row.seed}"
            if error:
                self._fail(f"{name}: {error}")
                self._outcomes[job.row.trials[0].folder] = FAILED
            else:
                self._write(job.row, future.result(), FINISHED)
            return
        assert job.trial is not None
        outcome, words = (FAILED, str(error)) if error else future.result()
        log(f"{job.trial.folder.name}: {outcome} after {seconds:.0f} s")
        if outcome == STOPPED:
            return
        self._outcomes[job.trial.folder] = outcome
        self._durations[job.trial.program] = self._seconds[job.trial.folder] = seconds
        if outcome == FAILED:
            self._fail(f"{job.trial.folder.name} ({words}); log: {_beside(job.trial, 'log')}")
        else:
            # Beside the folder, since a run that diverged at once has none.
            files.write_atomically(_beside(job.trial, "trial.txt"), f"{outcome}\n".encode())

    def _fail(self, words: str) -> None:
        self._failures.append(words)
        log(f"FAILED: {words}")

    def _write(self, row: _Row, value: float | None, outcome: str) -> None:
        line = {
            "claim": row.claim.name,
            "budget": self._budget,
            "arm": row.arm.name,
            "seed": row.seed,
            "measure": row.arm.measure or row.claim.measure,
            "value": value,
            "outcome": outcome,
            "runs": [trial.folder.name for trial in row.trials],
            # Of those that were trained now; claims share runs.
            "seconds": round(sum(self._seconds.get(trial.folder, 0.0) for trial in row.trials), 1),
            **({"grid": row.grid} if row.grid else {}),
            **self._circumstances(),
        }
        ledger.append(self._ledger, line)
        self._rows.append(line)

    def _extended(self) -> bool:
        """Gives the first inconclusive claim the seeds of its next look, if there is one."""
        for claim in self._claims:
            target = self._targets[claim.name]
            verdict = ledger.verdict_of(self._rows, claim, self._budget)
            if (
                verdict.word == "inconclusive"
                and target < MOST_SEEDS * claim.budgets[self._budget].seeds
                and not list(self._open(claim))
            ):
                self._targets[claim.name] = 2 * target
                return True
        return False

    def _say_verdicts(self) -> None:
        for claim in self._claims:
            key = claim.name, self._targets[claim.name]
            pending = any(self._grid(claim, arm) is None for arm in claim.arms)
            if key not in self._said and not pending and not any(self._open(claim)):
                self._said.add(key)
                verdict = ledger.verdict_of(self._rows, claim, self._budget)
                log(f"{claim.name}: {verdict.word}. {verdict.reason}")


def _decided(
    claim: Claim, arm: Arm, pilots: Sequence[Trial], outcomes: Sequence[str]
) -> dict[str, Any]:
    """The best point of an arm's grid, and whether it lies at the grid's edge.

    Raises:
        UserError: every pilot diverged.
    """
    points = trials.grid_points(arm)
    if not points:
        return {"settings": {}}
    errors = []
    for trial, outcome in zip(pilots, outcomes, strict=True):
        lines = measuring.epochs(trial.folder)
        fine = outcome == FINISHED and lines
        errors.append(lines[-1]["top_1_error"] if fine else math.inf)
    best = min(range(len(points)), key=lambda place: errors[place])
    if errors[best] == math.inf:
        raise UserError(f"{claim.name}: every pilot of {arm.name} diverged")
    return {
        "settings": points[best],
        "pilots": [
            {**point, "training_error": None if error == math.inf else error}
            for point, error in zip(points, errors, strict=True)
        ],
        "at_the_edge": trials.at_the_edge(arm, points[best]),
    }


def _beside(trial: Trial, name: str) -> Path:
    return trial.folder.with_name(f"{trial.folder.name}.{name}")
