"""Kills a training run again and again, and compares it with one that was never disturbed.

Example:
  python -m tests.campaign --kills=50
  python -m tests.campaign --kills=10 --workers=2

Trains a small two-column net (dropout, crops, flips, colour noise, plateau rule, an uneven last
batch) on a drawn dataset, first without disturbance, then with kill -9 at random moments, each time
followed by the same command. A third of the kills comes while a checkpoint is being written, the
others after a random step or while the program starts. At the end weights, optimizer, state and
metrics must be equal bit for bit. With --workers=2 the run is started by alexnet_tf.launch, and
the victim is one of the workers or launch itself.
Exit status: 0 equal, 1 different.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import json
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from absl import flags

from alexnet_common import command, files
from alexnet_common.errors import UserError
from alexnet_common.messages import log
from alexnet_common.tensorflow_import import import_tensorflow
from alexnet_tf.runs import checkpoint
from tests.helpers import short_runs, small_dataset

SETTINGS = short_runs.TINY | {
    "log.report": False,
    "learning_rate.patience_epochs": 1,
    "learning_rate.min_delta": 0.01,
    "log.every_steps": 2,
    # Rarer than the steps, so that most kills cost some that must be repeated.
    "checkpoint.every_steps": 3,
    "evaluation.batch_size": 4,
}
EXAMPLES, STEPS_PER_EPOCH = 86, 11
# Steps between one kill and the next, on average.
STEPS_PER_KILL = 24
START, STEP, WRITE = "while it started", "after a random step", "while a checkpoint was written"
START_SECONDS = 8.0
# No wait below takes longer unless something hangs.
PATIENCE_SECONDS = 180


class CampaignError(UserError):
    """A run did something that no kill explains."""


@dataclasses.dataclass
class Kill:
    """One kill: when it was to come, who was hit, and what it left behind."""

    moment: str
    victim: str
    newest_step: int
    half_written: int
    damaged: int


def define_flags(flag_values: flags.FlagValues) -> None:
    """Defines the command's flags."""
    flags.DEFINE_integer("kills", 50, "How often to kill.", 1, flag_values=flag_values)
    flags.DEFINE_integer("workers", 1, "Processes that train together.", 1, flag_values=flag_values)
    flags.DEFINE_integer("seed", 0, "Of the moments.", flag_values=flag_values)
    flags.DEFINE_string("output", None, "Also write the report here.", flag_values=flag_values)


def main(flag_values: flags.FlagValues, arguments: list[str]) -> int:
    """Runs the command."""
    with tempfile.TemporaryDirectory(prefix="campaign-") as folder:
        campaign = Campaign(Path(folder), flag_values.kills, flag_values.workers, flag_values.seed)
        campaign.run()
        report = campaign.report()
    print(report)
    if flag_values.output:
        files.write_atomically(flag_values.output, (report + "\n").encode())
    return 1 if campaign.differences else 0


class Campaign:
    """One undisturbed and one disturbed run in `folder`."""

    def __init__(self, folder: Path, kills: int, workers: int, seed: int):
        self._folder, self._workers, self._seed = folder, workers, seed
        self._random = random.Random(seed)
        self._wanted = kills
        epochs = -(-STEPS_PER_KILL * kills // STEPS_PER_EPOCH) + 1
        self._settings = SETTINGS | {"train_epochs": epochs}
        self._steps = epochs * STEPS_PER_EPOCH
        self._undisturbed, self._workdir = folder / "undisturbed", folder / "disturbed"
        self.kills: list[Kill] = []
        self.differences: list[str] = []
        self._compared = ""
        self._seconds = (0.0, 0.0)

    def run(self) -> None:
        """Both runs and the comparison.

        Raises:
            CampaignError: a run failed that nobody killed.
        """
        import_tensorflow()
        small_dataset.make(
            self._folder / "data", image_size=28, classes=7, train=EXAMPLES, validation=10
        )
        began = time.monotonic()
        with self._started(self._undisturbed) as process:
            self._let_it_finish(process)
        middle = time.monotonic()
        log(f"undisturbed: {self._steps} steps in {middle - began:.0f} s")
        for moment, target in self._plan():
            self._one_kill(moment, target)
        with self._started(self._workdir) as process:
            self._let_it_finish(process)
        self._seconds = (middle - began, time.monotonic() - middle)
        self.differences = self._compare()

    def _plan(self) -> list[tuple[str, int]]:
        """(moment, step to wait for first), in the order of the steps."""
        # A kill comes a few steps after the one waited for; the rest is room for that.
        targets = sorted(self._random.sample(range(1, int(0.85 * self._steps)), self._wanted))
        moments = [WRITE] * (self._wanted // 3) + [START] * (self._wanted // 10)
        moments += [STEP] * (self._wanted - len(moments))
        self._random.shuffle(moments)
        return list(zip(moments, targets, strict=True))

    def _one_kill(self, moment: str, target: int) -> None:
        before, stale = self._newest(), self._half_written()
        with self._started(self._workdir) as process:
            if moment == START:
                time.sleep(self._random.uniform(0, START_SECONDS))
            else:
                # Each start gets one checkpoint further at least, as in life.
                self._wait(process, lambda: self._newest() >= max(target, before + 1))
                if moment == WRITE:
                    self._wait(process, lambda: bool(self._half_written() - stale))
                    time.sleep(self._random.uniform(0, 0.002))
                else:
                    time.sleep(self._random.uniform(0, 0.05))
            pids = [process.pid, *_children(process.pid)]
            victim = self._random.randrange(len(pids))
            if process.poll() is not None:
                raise CampaignError(f"the run ended before kill {len(self.kills) + 1}")
            with contextlib.suppress(ProcessLookupError):
                os.kill(pids[victim], signal.SIGKILL)
            began = time.monotonic()
            process.wait(PATIENCE_SECONDS)
            while not all(_gone(pid) for pid in pids):
                if time.monotonic() - began > PATIENCE_SECONDS:
                    raise CampaignError("a worker outlived the others")
                time.sleep(0.01)
        self.kills.append(self._look_around(moment, victim, stale))
        found = self.kills[-1]
        log(
            f"kill {len(self.kills)}/{self._wanted} {moment}: newest checkpoint "
            f"{found.newest_step}/{self._steps}"
            f"{', half-written file left' if found.half_written else ''}"
        )

    def _look_around(self, moment: str, victim: int, stale: set[str]) -> Kill:
        damaged = 0
        for folder in (self._workdir / "checkpoints", self._workdir / "best"):
            for step in checkpoint.steps(folder):
                try:
                    checkpoint.load(checkpoint.path_of(folder, step))
                except checkpoint.DamagedCheckpoint:
                    damaged += 1
        half_written = len(self._half_written() - stale)
        # The first process is launch, where there is one.
        name = "launch" if victim == 0 else f"worker {victim - 1}"
        return Kill(moment, name, self._newest(), half_written, damaged)

    def _newest(self) -> int:
        return max(checkpoint.steps(self._workdir / "checkpoints"), default=0)

    def _half_written(self) -> set[str]:
        return {path.name for path in self._workdir.glob("*/.step-*.tmp*")}

    def _wait(self, process: subprocess.Popen[str], condition: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            if process.poll() is not None or time.monotonic() > end:
                raise CampaignError(f"the run ended or hangs:\n{self._log()}")
            time.sleep(0.0002)

    def _let_it_finish(self, process: subprocess.Popen[str]) -> None:
        if process.wait(600):
            raise CampaignError(f"the run failed:\n{self._log()}")

    def _log(self) -> str:
        return (self._folder / "log").read_text()[-3000:]

    @contextlib.contextmanager
    def _started(self, workdir: Path) -> Iterator[subprocess.Popen[str]]:
        argv = ["alexnet_tf.train"]
        if self._workers > 1:
            argv = ["alexnet_tf.launch", f"--workers={self._workers}", "--"]
        argv += ["--config=demo", f"--config.data_dir={self._folder / 'data'}"]
        argv += [f"--workdir={workdir}"]
        argv += [f"--config.{key}={value}" for key, value in self._settings.items()]
        with (self._folder / "log").open("w") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", *argv], stdout=log, stderr=log, text=True
            )
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def _compare(self) -> list[str]:
        found = []
        runs = (self._undisturbed, self._workdir)
        arrays = values = 0
        for folder in ("checkpoints", "best"):
            one, two = (checkpoint.load_newest(run / folder) for run in runs)
            if one is None or two is None:
                found.append(f"{folder}: there is none")
                continue
            if one.state != two.state:
                found.append(f"{folder}: state {one.state} and {two.state}")
            for part in ("weights", "optimizer"):
                first, second = getattr(one, part), getattr(two, part)
                for name in sorted({*first, *second}):
                    arrays += 1
                    values += first[name].size if name in first else 0
                    if name not in first or name not in second:
                        found.append(f"{folder}: only one run has {name}")
                    elif first[name].tobytes() != second[name].tobytes():
                        size = np.abs(first[name] - second[name]).max()
                        found.append(f"{folder}: {name} differs by up to {size:g}")
        one_metrics, two_metrics = (metrics(run / "metrics.jsonl") for run in runs)
        if one_metrics != two_metrics:
            found.append("metrics.jsonl differs")
        self._compared = (
            f"{arrays} arrays with {values:,} values in the newest and the best checkpoint, their "
            f"states, and {len(one_metrics)} lines of metrics.jsonl without the times"
        )
        return found

    def report(self) -> str:
        """The outcome as Markdown."""
        import tensorflow as tf

        how = f"{self._workers} workers" if self._workers > 1 else "one process"
        lines = [
            f"`python -m tests.campaign --kills={self._wanted} --workers={self._workers} "
            f"--seed={self._seed}`, TensorFlow {tf.__version__}, Python "
            f"{platform.python_version()}, {os.cpu_count()} CPUs:",
            "",
            f"- {self._steps} steps, {how}; undisturbed {self._seconds[0]:.0f} s, killed "
            f"{len(self.kills)} times {self._seconds[1]:.0f} s",
        ]
        for moment, count in sorted(collections.Counter(k.moment for k in self.kills).items()):
            lines.append(f"- {count} kills {moment}")
        if self._workers > 1:
            for victim, count in sorted(collections.Counter(k.victim for k in self.kills).items()):
                lines.append(f"- {count} times the victim was {victim}")
        half = sum(kill.half_written > 0 for kill in self.kills)
        damaged = sum(kill.damaged for kill in self.kills)
        lines += [
            f"- {half} kills left a half-written file under its temporary name",
            f"- {damaged} damaged checkpoints were found after the kills",
            f"- compared: {self._compared}",
            "- result: " + ("**equal bit for bit**" if not self.differences else "**DIFFERENT**"),
        ]
        return "\n".join(lines + [f"  - {text}" for text in self.differences])


def metrics(path: Path) -> list[dict]:
    """The lines of a run's metrics without the measured times."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        del line["timing"]
    return lines


def _children(pid: int) -> list[int]:
    try:
        return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


if __name__ == "__main__":
    command.run(define_flags, main, __doc__)
