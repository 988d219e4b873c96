"""Runs of a second on a tiny dataset, begun, killed and compared."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np

from alexnet_common import command
from alexnet_tf import train
from alexnet_tf.runs import checkpoint

# Two columns with dropout, crops, flips and colour noise, for images of 28 pixels.
TINY = {
    "network.input_size": 24,
    "network.filters": "(8,8,8)",
    "network.hidden": 16,
    "batch_size": 8,
}
# 22 examples make an uneven last batch.
SETTINGS = TINY | {
    "log.report": False,
    "train_epochs": 3,
    "learning_rate.patience_epochs": 1,
    "log.every_steps": 2,
    "checkpoint.every_steps": 2,
    "evaluation.batch_size": 4,
}
# Long enough to be killed on the way.
LONG = {"train_epochs": 40, "log__every_steps": 5}


def arguments(data, workdir, **changes):
    return of_settings(data, workdir, SETTINGS, **changes)


def of_settings(data, workdir, settings, **changes):
    settings = settings | {key.replace("__", "."): value for key, value in changes.items()}
    return [
        "--config=demo",
        f"--config.data_dir={data}",
        f"--workdir={workdir}",
        *(f"--config.{key}={value}" for key, value in settings.items()),
    ]


def call(argv):
    return command.call(train.define_flags, train.main, train.__doc__, argv)


def start(argv, **environment):
    return subprocess.Popen(
        [sys.executable, "-m", "alexnet_tf.train", *argv],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def newest(workdir):
    return checkpoint.load_newest(workdir / "checkpoints")


def metrics(workdir):
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        del line["timing"]
    return lines


def assert_same_run(first, second):
    assert metrics(first) == metrics(second)
    assert newest(first).state == newest(second).state
    assert_same_weights(first, second)


def assert_same_weights(first, second):
    a, b = newest(first), newest(second)
    for part in ("weights", "optimizer"):
        one, two = getattr(a, part), getattr(b, part)
        assert one.keys() == two.keys()
        for name in one:
            assert np.array_equal(one[name], two[name]), name


def kill_and_resume(data, workdir, moments, changes):
    for moment in moments:
        process = start(arguments(data, workdir, **changes))
        _wait_for_step(process, workdir, moment)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    assert newest(workdir).state["step"] < 120
    assert call(arguments(data, workdir, **changes)) == 0


def _wait_for_step(process, workdir, step):
    deadline = time.monotonic() + 240
    while not any(found >= step for found in checkpoint.steps(workdir / "checkpoints")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)


def refused(capsys, argv, status, *words):
    found = call(argv)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert found == status
    assert len(lines) == 1
    for word in words:
        assert word in lines[0]
