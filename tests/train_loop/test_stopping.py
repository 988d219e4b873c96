"""Runs that are stopped, and runs whose words nobody can hear."""

import json
import os
import signal
import subprocess
import sys

import pytest

from alexnet_tf import train
from alexnet_tf.runs import checkpoint
from alexnet_tf.train_loop.logging.watchers import Watcher
from tests.helpers.short_runs import arguments, assert_same_run, call, newest


class StopWithinEvaluation(Watcher):
    """Sends this process a signal when an evaluation begins."""

    def begin_evaluation(self, step):
        os.kill(os.getpid(), signal.SIGTERM)


def test_a_signal_within_an_evaluation_is_obeyed_at_once(data, undisturbed, tmp_path, capsys):
    workdir = tmp_path / "run"
    assert train.call(arguments(data, workdir), [StopWithinEvaluation()]) == 75
    assert "stopped by SIGTERM at step 3, within its evaluation" in capsys.readouterr().err
    assert newest(workdir).state["step"] == 3
    assert newest(workdir).state["epoch"] == 0
    assert call(arguments(data, workdir)) == 0
    assert_same_run(undisturbed, workdir)


@pytest.mark.parametrize("stopped", [False, True])
def test_a_last_checkpoint_that_is_not_written_is_no_success(
    data, undisturbed, tmp_path, capsys, monkeypatch, stopped
):
    """Neither trained to the end (0) nor saved after a signal (75): the disk is full."""
    workdir, written = tmp_path / "run", checkpoint.save

    def full(path, state):
        # Three epochs of three steps; the stop comes within the evaluation of the first.
        if state.state["step"] == (3 if stopped else 9):
            raise OSError(28, "No space left on device", str(path))
        written(path, state)

    monkeypatch.setattr(checkpoint, "save", full)
    watchers = [StopWithinEvaluation()] if stopped else []
    assert train.call(arguments(data, workdir), watchers) == 1
    captured = capsys.readouterr()
    said = captured.err.splitlines()
    assert said[-1].startswith("error: No space left on device: ") and captured.out == ""
    step = 3 if stopped else 9
    assert f"checkpoint of step {step} NOT WRITTEN" in captured.err
    assert "older ones are whole; the steps since are lost" in captured.err
    # With room again, the same command computes what was lost.
    monkeypatch.setattr(checkpoint, "save", written)
    assert call(arguments(data, workdir)) == 0
    assert_same_run(undisturbed, workdir)


def test_a_stopped_run_keeps_the_profile_that_it_was_recording(data, tmp_path, capsys):
    workdir = tmp_path / "run"
    argv = arguments(data, workdir, log__profile_steps="(2,100)")
    assert train.call(argv, [StopWithinEvaluation()]) == 75
    assert "profile of steps 2 to 3: " in capsys.readouterr().err
    assert list(workdir.glob("tensorboard/plugins/profile/*/*.pb"))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_log_that_cannot_be_written_ends_no_run_but_a_lost_result_is_an_error(
    data, undisturbed, tmp_path, stream
):
    workdir = tmp_path / "run"
    other = {"stdout": "stderr", "stderr": "stdout"}[stream]
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with open("/dev/full", "w") as full:
        process = subprocess.Popen(
            [sys.executable, "-m", "alexnet_tf.train", *arguments(data, workdir)],
            text=True,
            env=os.environ | {"TMPDIR": str(scratch)},
            **{stream: full, other: subprocess.PIPE},
        )
        said = process.communicate(timeout=120)[other == "stderr"]
    assert_same_run(undisturbed, workdir)
    assert list(scratch.iterdir()) == []
    if stream == "stderr":
        assert process.returncode == 0
        assert json.loads(said)["step"] == 9
    else:
        assert process.returncode == 1
        last = said.splitlines()[-1]
        assert last.startswith("error: ") and "No space left on device" in last
