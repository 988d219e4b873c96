"""metrics.jsonl, the warning of a stuck loss and the summary: records in, lines out."""

import dataclasses
import json
import math
import re
import resource
import signal

import pytest

from alexnet_tf.train_loop.logging import metrics_file
from alexnet_tf.train_loop.logging.metrics_file import MetricsFile
from alexnet_tf.train_loop.logging.records import Speed
from alexnet_tf.train_loop.logging.stuck_loss import StuckLoss
from alexnet_tf.train_loop.logging.summary import Summary
from tests.helpers import run_records
from tests.helpers.run_records import VALIDATION


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_metrics_hold_times_apart(tmp_path):
    for name, speed in (("a", 10.0), ("b", 20.0)):
        watcher, measured = MetricsFile(tmp_path / name), Speed(speed, 0.1)
        validation = dataclasses.replace(VALIDATION, seconds=speed)
        watcher.interval(run_records.interval(speed=measured, seconds_left=speed))
        watcher.steps_done(1235)
        watcher.end_epoch(
            run_records.epoch(speed=measured, validation=validation, train_seconds=speed)
        )
    lines = [lines_of(tmp_path / name) for name in "ab"]
    assert lines[0] != lines[1]
    for line in lines[0] + lines[1]:
        del line["timing"]
    assert lines[0] == lines[1]
    train, epoch = lines[0]
    means = {
        "epoch": 2,
        "step": 1234,
        "loss": 2.5,
        "top_1_error": 0.75,
        "top_5_error": 0.25,
        "learning_rate": 0.01,
    }
    assert train == means | {"kind": "train", "parameter_norm": 3.5}
    errors = {
        "val_loss": 2.0,
        "val_top_1_error": 0.5,
        "val_top_5_error": 0.125,
        "val_count": 50000,
    }
    assert epoch == means | errors | {"kind": "epoch"}


def test_names_and_order_in_a_line_stay_as_they_were(tmp_path):
    """Other programs read this file, some of them by its columns."""
    watcher = MetricsFile(tmp_path / "metrics.jsonl")
    watcher.interval(run_records.interval(gradient_norm=7.0, loss_scale=2.0, skipped_updates=3))
    watcher.end_epoch(run_records.epoch())
    train, epoch = lines_of(tmp_path / "metrics.jsonl")
    assert list(train) == [
        "kind",
        "epoch",
        "gradient_norm",
        "learning_rate",
        "loss",
        "loss_scale",
        "parameter_norm",
        "skipped_updates",
        "step",
        "top_1_error",
        "top_5_error",
        "timing",
    ]
    assert train["timing"] == {"images_per_second": 1500.0, "data_wait": 0.02}
    assert epoch["timing"] == {
        "images_per_second": 1500.0,
        "data_wait": 0.02,
        "train_seconds": 61.0,
        "evaluation_seconds": 30.0,
        "peak_memory": 3 << 30,
    }
    assert '"skipped_updates": 3,' in (tmp_path / "metrics.jsonl").read_text()


def test_metrics_wait_for_room_on_the_disk(tmp_path, capsys):
    """A limit on the size of files stands for the full disk: part of a line still fits."""
    path = tmp_path / "metrics.jsonl"
    watcher = MetricsFile(path)
    watcher.interval(run_records.interval(step=1))
    size = path.stat().st_size
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, limits[1]))
        watcher.interval(run_records.interval(step=2))
        watcher.interval(run_records.interval(step=3))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.stat().st_size == size
    (warning,) = capsys.readouterr().err.splitlines()
    assert warning.startswith("WARNING: ") and "metrics.jsonl cannot be written" in warning
    watcher.interval(run_records.interval(step=4))
    steps = [json.loads(line)["step"] for line in path.read_text().splitlines()]
    assert steps == [1, 2, 3, 4]


@pytest.mark.parametrize("room", [True, False])
def test_metrics_that_still_wait_at_the_end_are_written_or_missed(
    tmp_path, capsys, monkeypatch, room
):
    path = tmp_path / "metrics.jsonl"
    watcher = MetricsFile(path)
    watcher.interval(run_records.interval(step=1))

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(metrics_file, "_append", full)
        watcher.interval(run_records.interval(step=2))
        watcher.interval(run_records.interval(step=3))
        if not room:
            watcher.close()
    watcher.close()
    steps = [json.loads(line)["step"] for line in path.read_text().splitlines()]
    assert steps == ([1, 2, 3] if room else [1])
    said = capsys.readouterr().err.splitlines()
    assert len(said) == (1 if room else 2)
    assert room or f"the last 2 lines of {path} NOT WRITTEN: No space left on device" in said[1]


def test_a_stuck_loss_is_reported_once(capsys):
    watcher = StuckLoss(1000, steps=100)
    for step in range(20, 400, 20):
        watcher.interval(run_records.interval(step=step, loss=math.log(1000) + 0.01))
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("WARNING: the loss has been 6.92 = ln(classes) for 100 steps")


def test_a_loss_that_moves_is_no_reason_to_warn(capsys):
    watcher = StuckLoss(1000, steps=100)
    for step in range(20, 400, 20):
        loss = math.log(1000) - (0.03 if step % 80 == 0 else 0)
        watcher.interval(run_records.interval(step=step, loss=loss))
    assert capsys.readouterr().err == ""


def test_the_summary_is_of_the_whole_run(tmp_path, capsys):
    path = tmp_path / "metrics.jsonl"
    watcher = MetricsFile(path)
    for epoch, error in ((1, 0.6), (2, 0.4), (3, 0.5)):
        watcher.interval(run_records.interval())
        validation = dataclasses.replace(VALIDATION, top_1_error=error)
        watcher.end_epoch(run_records.epoch(epoch=epoch, step=10 * epoch, validation=validation))
    Summary(path, "40.7% top-1 error").end_run()
    # Continued lines are indented.
    last, best, expected = re.split(r"\n(?! )", capsys.readouterr().err.strip())
    assert "epoch 3, step 30" in last and "50.00%" in last and "12.50%" in last
    assert best.startswith("best ") and "epoch 2, step 20" in best and "40.00%" in best
    assert expected.split(maxsplit=1) == ["expected", "40.7% top-1 error"]
    # Where the last is the best, it is said once.
    watcher.end_epoch(
        run_records.epoch(
            epoch=4,
            step=40,
            top_1_error=0.3,
            validation=dataclasses.replace(VALIDATION, top_1_error=0.25),
        )
    )
    Summary(path).end_run()
    text = capsys.readouterr().err
    assert text.startswith("last and best  epoch 4, step 40:") and text.count("epoch") == 1
    Summary(path, "x", quiet=True).end_run()
    Summary(tmp_path / "none").end_run()
    assert capsys.readouterr().err == ""
