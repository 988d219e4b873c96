"""Claims as their user runs them, at the smallest budget."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time

import pytest

from alexnet_common import command
from alexnet_tf import claim_workers, reproduce
from alexnet_tf.claims import claim as catalogue
from alexnet_tf.claims import ledger, trials
from alexnet_tf.runs import checkpoint
from tests.helpers import small_dataset


def call(*arguments: str) -> int:
    return command.call(reproduce.define_flags, reproduce.main, reproduce.__doc__, list(arguments))


@pytest.fixture(scope="module")
def cifar_like(tmp_path_factory):
    """Images of CIFAR-10's size and number of classes."""
    folder = tmp_path_factory.mktemp("claims") / "data"
    return small_dataset.make(folder, image_size=32, classes=10, train=64, validation=20)


def test_claims_are_listed(capsys):
    assert call("--list") == 0
    listed = capsys.readouterr()
    assert [name for name in catalogue.load_all() if name not in listed.out + listed.err] == []


def test_a_list_without_a_ledger_says_so(tmp_path, capsys):
    """Else `not run` beside every claim would contradict the page of the docs."""
    assert call("--list", f"--output_dir={tmp_path}") == 0
    assert f"there is no {tmp_path / 'ledger.jsonl'}" in capsys.readouterr().err
    (tmp_path / "ledger.jsonl").touch()
    assert call("--list", f"--output_dir={tmp_path}") == 0
    assert "there is no" not in capsys.readouterr().err


def test_a_misspelt_claim_is_named_before_its_data(capsys):
    assert call("relux") == 2
    assert "relu" in (said := capsys.readouterr().err) and "--data_dir" not in said


@pytest.mark.slow
def test_every_claim_runs_end_to_end_at_the_smoke_budget(cifar_like, tmp_path, capsys):
    claims = {
        name: claim
        for name, claim in catalogue.load_all().items()
        if claim.images == catalogue.CIFAR_10
    }
    arguments = [f"--data_dir={cifar_like}", f"--output_dir={tmp_path}", "--budget=smoke"]
    assert call("all", *arguments) == 0
    verdicts = json.loads(capsys.readouterr().out)
    assert set(verdicts) == set(claims)
    assert {verdict["word"] for verdict in verdicts.values()} == {"not run"}
    rows = ledger.read(tmp_path / ledger.FILE)
    assert sorted((row["claim"], row["arm"]) for row in rows) == sorted(
        (claim.name, arm.name) for claim in claims.values() for arm in claim.arms
    )
    assert all(row["value"] is not None for row in rows if row["outcome"] == "finished")
    assert (tmp_path / "ledger.html").is_file() and (tmp_path / "claims.md").is_file()
    # Again: nothing is left to do, and nothing is added.
    assert call("all", *arguments) == 0
    assert ledger.read(tmp_path / ledger.FILE) == rows


@pytest.mark.slow
def test_claims_of_other_images_run_at_the_smoke_budget(cifar_like, tmp_path, capsys):
    data = small_dataset.make(tmp_path / "data", image_size=64, classes=10, train=32, validation=8)
    arguments = [f"--output_dir={tmp_path}", "--budget=smoke"]
    assert call("tiny_imagenet", *arguments, f"--data_dir={data}") == 0
    arguments.append(f"--data_dir={cifar_like}")
    assert call("pretraining", *arguments) == 2
    assert "--pretraining_data_dir is missing" in capsys.readouterr().err
    assert call("pretraining", *arguments, f"--pretraining_data_dir={cifar_like}") == 0
    rows = ledger.read(tmp_path / ledger.FILE)
    assert [row["arm"] for row in rows] == ["paper", "scratch", "pretrained"]
    assert all(0 <= row["value"] <= 1 for row in rows)
    log = next(tmp_path.glob("runs/*-after-*.log")).with_suffix("")
    assert json.loads((log / "config.json").read_text())["initial_weights"]


@pytest.mark.slow
def test_a_run_that_diverges_and_one_that_fails_are_told_apart(cifar_like, tmp_path):
    settings = {"limit_train_examples": 64, "train_epochs": 3, "batch_size": 8}

    def outcome(data, **more):
        trial = trials.make("cifar10_alexnet", settings | more, 0, str(data), tmp_path)
        return claim_workers.train(trial, tmp_path / "log", math.inf)

    assert outcome(cifar_like, **{"learning_rate.initial": 1e6})[0] == "diverged"
    word, why = outcome(tmp_path / "nothing")
    assert word == "failed" and "nothing" in why
    assert "nothing" in (tmp_path / "log").read_text()


@pytest.mark.slow
def test_interrupted_it_saves_its_runs_and_goes_on_when_started_again(cifar_like, tmp_path):
    words = [sys.executable, "-m", "alexnet_tf.reproduce", "overlap", "--budget=laptop"]
    words += [f"--data_dir={cifar_like}", f"--output_dir={tmp_path}", "--seeds=1", "--parallel=2"]

    def epochs():
        files = tmp_path.glob("runs/*/metrics.jsonl")
        return sum(len(file.read_text().splitlines()) for file in files)

    def start():
        process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, start_new_session=True)
        before = epochs()
        while epochs() <= before:
            assert process.poll() is None
            time.sleep(0.1)
        return process

    # Without their parent the workers save their runs and end.
    process = start()
    process.terminate()
    process.wait()
    with pytest.raises(ProcessLookupError):
        for _ in range(600):
            os.killpg(process.pid, 0)
            time.sleep(0.1)
    # Ctrl-C reaches all processes of a terminal.
    process = start()
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert ledger.read(tmp_path / ledger.FILE) == []
    ended = subprocess.run(words, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    rows = ledger.read(tmp_path / ledger.FILE)
    assert sorted(row["arm"] for row in rows) == ["overlapping", "side_by_side"]
    assert json.loads(ended.stdout)["overlap"]["word"] == "inconclusive"


@pytest.mark.slow
def test_at_the_deadline_runs_are_saved_and_no_row_is_written(cifar_like, tmp_path):
    settings = {"limit_train_examples": 64, "train_epochs": 1000, "batch_size": 8}
    trial = trials.make("cifar10_alexnet", settings, 0, str(cifar_like), tmp_path)
    assert claim_workers.train(trial, tmp_path / "log", time.time() + 5)[0] == "stopped"
    assert checkpoint.steps(trial.folder / "checkpoints")


def test_wrong_usage_is_one_line(tmp_path, capsys):
    assert call("dropuot", "--data_dir=x") == 2
    assert "did you mean dropout" in capsys.readouterr().err
    assert call("dropout") == 2
    assert "--data_dir is missing" in capsys.readouterr().err
    assert call("dropout", f"--data_dir={tmp_path}") == 1
    assert str(tmp_path) in capsys.readouterr().err
