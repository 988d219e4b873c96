"""Trains what a claim needs and writes its rows; stopped and started again, it goes on."""

from __future__ import annotations

import concurrent.futures
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from alexnet_common.errors import UserError
from alexnet_common.messages import log
from alexnet_tf.claims import ledger, measuring, trials
from alexnet_tf.claims.claim import Arm, Claim
from alexnet_tf.claims.trials import Trial

DIVERGED = "diverged"
FINISHED = "finished"
# What a run leaves that ended because of its own numbers.
_DIVERGENCE_WORDS = ("became NaN or infinite", "non-finite", "diverged")
_MARK = "trial.txt"


TrainHere = Callable[[Trial, TextIO], int]


class Runner:
    """Runs trials, several at a time, each in a process of its own.

    Args:
        parallel: trials at once; cores are shared between them.
        cores: of this machine.
        train: trains one trial in this process and returns the exit status, its words going to
            the file; for trials of seconds, since TensorFlow's import takes longer than they do.
            None: a process for each trial.
    """

    def __init__(self, parallel: int = 1, cores: int | None = None, train: TrainHere | None = None):
        parallel = 1 if train else parallel
        self._train = train or self._train_in_a_process
        self._pool = concurrent.futures.ThreadPoolExecutor(parallel)
        self._threads = max(1, (cores or os.cpu_count() or 1) // parallel)
        self._processes: set[subprocess.Popen[str]] = set()
        self._lock = threading.Lock()
        self._stopping = False

    def run_all(self, wanted: Sequence[Trial]) -> dict[Path, str]:
        """Trains what is not finished yet.

        Returns:
            By work folder "finished" or "diverged".

        Raises:
            UserError: a trial failed for another reason than its numbers; its log is named.
        """
        distinct = list({trial.folder: trial for trial in wanted}.values())
        try:
            outcomes = list(self._pool.map(self._run, distinct))
        except BaseException:
            self._stop()
            raise
        return {trial.folder: out for trial, out in zip(distinct, outcomes, strict=True)}

    def _run(self, trial: Trial) -> str:
        mark = trial.folder.with_name(f"{trial.folder.name}.{_MARK}")
        if mark.is_file():
            return mark.read_text().strip()
        if self._stopping:
            raise KeyboardInterrupt
        log(f"training {trial.folder.name}")
        trial.folder.parent.mkdir(parents=True, exist_ok=True)
        log_file = trial.folder.with_name(f"{trial.folder.name}.log")
        began = time.monotonic()
        with log_file.open("a") as output:
            status = self._train(trial, output)
        if self._stopping:
            raise KeyboardInterrupt
        last = log_file.read_text().strip().splitlines()[-1:] or [""]
        if status == 0:
            outcome = FINISHED
        elif any(words in last[0] for words in _DIVERGENCE_WORDS):
            outcome = DIVERGED
        else:
            raise UserError(f"{trial.folder.name} failed ({last[0][:200]}); log: {log_file}")
        log(f"{trial.folder.name}: {outcome} after {time.monotonic() - began:.0f} s")
        # Beside the folder, since a run that diverged at once has none.
        mark.write_text(outcome + "\n")
        return outcome

    def _train_in_a_process(self, trial: Trial, output: TextIO) -> int:
        environment = {
            **os.environ,
            "TF_NUM_INTRAOP_THREADS": str(self._threads),
            "OMP_NUM_THREADS": str(self._threads),
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "alexnet_tf.train", *trial.arguments()],
            stdout=output,
            stderr=output,
            text=True,
            env=environment,
        )
        with self._lock:
            self._processes.add(process)
        status = process.wait()
        with self._lock:
            self._processes.discard(process)
        return status

    def _stop(self) -> None:
        self._stopping = True
        with self._lock:
            for process in self._processes:
                process.terminate()
        self._pool.shutdown(wait=True, cancel_futures=True)


def run_claim(
    claim: Claim,
    budget: str,
    seeds: Sequence[int],
    data_dir: str,
    root: Path,
    runner: Runner,
    circumstances: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """Trains all arms of a claim and appends the rows that the ledger does not have yet.

    Args:
        claim, budget: what to run, and how long.
        seeds: of the rows.
        data_dir: the dataset.
        root: folder of the ledger and of all runs.
        runner: trains.
        circumstances: commit, hardware, time; None: those of now.

    Returns:
        The new rows.
    """
    path = root / ledger.FILE
    there = {
        (row["arm"], row["seed"])
        for row in ledger.read(path)
        if row["claim"] == claim.name and row["budget"] == budget
    }
    chosen = {arm.name: _chosen(claim, arm, budget, data_dir, root, runner) for arm in claim.arms}
    wanted = [(arm, seed) for seed in seeds for arm in claim.arms if (arm.name, seed) not in there]
    behind = {
        (arm.name, seed): trials.of_arm(
            claim, arm, budget, seed, data_dir, root, chosen[arm.name]["settings"]
        )
        for arm, seed in wanted
    }
    outcomes = runner.run_all([trial for group in behind.values() for trial in group])
    new = []
    for arm, seed in wanted:
        group = behind[arm.name, seed]
        diverged = any(outcomes[trial.folder] == DIVERGED for trial in group)
        name = arm.measure or claim.measure
        measure = measuring.MEASURES[name][1]
        folders = [trial.folder for trial in group]
        row = {
            "claim": claim.name,
            "budget": budget,
            "arm": arm.name,
            "seed": seed,
            "measure": name,
            "value": None if diverged else measure(folders, data_dir),
            "outcome": DIVERGED if diverged else FINISHED,
            "runs": [folder.name for folder in folders],
            **({"grid": chosen[arm.name]} if arm.grid else {}),
            **(circumstances or ledger.circumstances()),
        }
        ledger.append(path, row)
        new.append(row)
    return new


def _chosen(
    claim: Claim, arm: Arm, budget: str, data_dir: str, root: Path, runner: Runner
) -> dict[str, Any]:
    """The best point of an arm's grid by its pilots, and whether it lies at the grid's edge."""
    points = trials.grid_points(arm)
    if not points:
        return {"settings": {}}
    pilot = {**claim.budgets[budget].overrides, **arm.overrides, **claim.budgets[budget].pilot}
    pilots = [trials.make(claim.recipe, pilot | point, 0, data_dir, root) for point in points]
    outcomes = runner.run_all(pilots)
    errors = []
    for trial in pilots:
        lines = measuring.epochs(trial.folder)
        fine = outcomes[trial.folder] == FINISHED and lines
        errors.append(lines[-1]["top_1_error"] if fine else float("inf"))
    best = min(range(len(points)), key=lambda place: errors[place])
    if errors[best] == float("inf"):
        raise UserError(f"{claim.name}: every pilot of {arm.name} diverged")
    return {
        "settings": points[best],
        "pilots": [
            {**point, "training_error": None if error == float("inf") else error}
            for point, error in zip(points, errors, strict=True)
        ],
        "at_the_edge": trials.at_the_edge(arm, points[best]),
    }
