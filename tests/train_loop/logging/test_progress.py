"""What the operator sees of a run: records in, lines and a bar out."""

import io

import pytest

from alexnet_common.messages import duration
from alexnet_tf.train_loop.logging.progress import Progress
from tests.helpers import run_records


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (200, "3 min 20 s"),
        (7500, "2 h 5 min"),
        (3 * 86400 + 4 * 3600 + 59 * 60, "3 d 4 h"),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_progress_in_a_file(capsys):
    watcher = Progress(1000, 90, seconds_between_lines=0)
    watcher.begin_epoch(1, 1000)
    watcher.steps_done(1233)
    watcher.interval(run_records.interval())
    watcher.end_epoch(run_records.epoch())
    one, two = capsys.readouterr().err.splitlines()
    assert one == (
        "epoch 2/90, step 234/1,000 (1,234 in all): loss 2.5000, top-1 error 75.0%, rate 0.01, "
        "1,500 img/s, 2% waiting for data, 2 h 5 min left"
    )
    assert two.startswith("epoch 2/90 done in 1 min 1 s: loss 2.5000, ")
    assert two.endswith(
        "| validation loss 2.0000, top-1 error 50.00%, top-5 error 12.50% on 50,000 images"
    )


def test_skipped_updates_are_said(capsys):
    watcher = Progress(1000, 90, seconds_between_lines=0)
    watcher.interval(run_records.interval(loss_scale=16384.0, skipped_updates=0))
    watcher.interval(run_records.interval(loss_scale=16384.0, skipped_updates=3))
    one, two = capsys.readouterr().err.splitlines()
    assert "skipped" not in one
    assert "3 updates skipped (loss scale 16384)" in two


def test_progress_spares_a_file(capsys):
    watcher = Progress(1000, 90, seconds_between_lines=3600)
    for _ in range(5):
        watcher.interval(run_records.interval())
    assert len(capsys.readouterr().err.splitlines()) == 1


def a_terminal(monkeypatch, is_one=True):
    terminal = io.StringIO()
    terminal.isatty = lambda: is_one
    monkeypatch.setattr("sys.stderr", terminal)
    return terminal


def test_progress_on_a_terminal(monkeypatch):
    terminal = a_terminal(monkeypatch)
    watcher = Progress(1000, 90)
    watcher.begin_epoch(1, 1100)
    for step in range(1101, 1235):
        if step == 1234:
            watcher.interval(run_records.interval())
        watcher.steps_done(step)
    watcher.end_epoch(run_records.epoch())
    drawn = terminal.getvalue().split("\r")
    assert any("epoch 2/90" in text and "1000, loss 2.5000" in text for text in drawn)
    # What is left of the bar is wiped first.
    assert drawn[-1].splitlines()[-1].startswith("\x1b[Kepoch 2/90 done")


@pytest.mark.parametrize("is_one", [False, True])
def test_quiet(monkeypatch, is_one):
    stream = a_terminal(monkeypatch, is_one)
    watcher = Progress(1000, 90, quiet=True, seconds_between_lines=0)
    watcher.begin_epoch(0, 0)
    watcher.interval(run_records.interval())
    watcher.steps_done(1)
    watcher.end_epoch(run_records.epoch())
    watcher.end_run()
    watcher.close()
    assert stream.getvalue() == ""
