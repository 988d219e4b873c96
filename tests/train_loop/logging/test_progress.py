"""What the operator sees of a run: records in, lines and a bar out."""

import datetime
import io
import threading

import pytest

from alexnet_common.messages import duration
from alexnet_tf.train_loop.logging import clock
from alexnet_tf.train_loop.logging.clock import Clock
from alexnet_tf.train_loop.logging.progress import Progress, beside_the_bar
from alexnet_tf.train_loop.logging.records import Speed, Validation
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


def at_noon():
    return datetime.datetime(2026, 11, 26, 12, 5, 59)


def test_rows_in_a_file(capsys):
    watcher = Progress(1000, 90, seconds_between_rows=0, now=at_noon)
    watcher.begin_epoch(1, 1000)
    watcher.steps_done(1234)
    watcher.interval(run_records.interval())
    watcher.end_epoch(run_records.epoch(step=2000, is_best=True))
    header, within, end = capsys.readouterr().err.splitlines()
    assert header.split()[:5] == ["11-26", "12:05", "epoch", "step", "loss"]
    assert within.split() == [
        *("11-26", "12:05", "2/90", "1,234", "2.5000", "75.0%", "0.01", "1,500"),
        *("2", "h", "5", "min"),
    ]
    errors = ["2.0000", "50.00%", "12.50%"]
    assert end.split() == [
        *("11-26", "12:05", "2/90", "2,000", "2.5000", "75.0%", *errors, "0.01", "1,500"),
        *("2", "h", "5", "min*"),
    ]
    # Values stand under their names.
    for row in (within, end):
        assert row[: header.index("step") + 4].endswith(row.split()[3])


def test_the_longest_row_is_shorter_than_100_characters(capsys):
    watcher = Progress(10009, 100, seconds_between_rows=0)
    watcher.begin_epoch(99, 990891)
    watcher.end_epoch(
        run_records.epoch(
            epoch=100,
            step=1000900,
            loss=123.45678,
            top_1_error=1.0,
            learning_rate=0.000123456,
            validation=Validation(123.45678, 1.0, 1.0, 50000, 30.0),
            is_best=True,
            speed=Speed(12345.6, 0.0),
            seconds_left=86399.0,
        )
    )
    header, row = capsys.readouterr().err.splitlines()
    assert len(header) < 100 and len(row) < 100
    assert row.split()[2:] == [
        *("100/100", "1,000,900", "123.4568", "100.0%", "123.4568", "100.00%", "100.00%"),
        *("0.000123", "12,346", "23", "h", "59", "min*"),
    ]


@pytest.mark.parametrize(("columns", "fits", "speed"), [(80, 80, 0), (88, 88, 1), (160, 88, 1)])
def test_rows_fit_the_terminal(monkeypatch, columns, fits, speed):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "dumb")
    watcher = Progress(2503, 90, columns=columns)
    watcher.end_epoch(run_records.epoch(epoch=90, step=225270, is_best=True, seconds_left=86399.0))
    header, row = terminal.getvalue().splitlines()
    assert len(header) <= fits and len(row) <= fits
    assert header.count("img/s") == row.count("1,500") == speed
    assert row.endswith("23 h 59 min*")


@pytest.mark.parametrize(
    ("columns", "stamped", "left_out"),
    [
        (100, True, ()),
        (96, False, ()),
        # Of an 80 column terminal, beside the mark of a worker, "[0] ".
        (76, False, ("img/s", "step")),
        (40, False, ("img/s", "step", "val loss")),
    ],
)
def test_rows_of_workers_fit_what_is_left_of_the_terminal(
    monkeypatch, capsys, columns, stamped, left_out
):
    monkeypatch.setenv("ALEXNET_COLUMNS", str(columns))
    now = datetime.datetime(2026, 11, 26, 9, 5)
    watcher = Progress(2503, 90, now=lambda: now)
    watcher.end_epoch(run_records.epoch(epoch=90, step=225270, is_best=True, seconds_left=86399.0))
    header, row = capsys.readouterr().err.splitlines()
    assert row.startswith("11-26 09:05 ") == header.startswith("11-26 09:05 ") == stamped
    assert max(len(header), len(row)) <= max(columns, 61)
    assert [name for name in ("img/s", "step", "val loss") if name not in header] == list(left_out)
    assert ("225,270" in row) == ("step" not in left_out)


def test_only_a_new_best_has_a_mark(capsys):
    watcher = Progress(1000, 90)
    for is_best in (True, False):
        watcher.end_epoch(run_records.epoch(is_best=is_best))
    _, best, other = capsys.readouterr().err.splitlines()
    assert "*" in best and "*" not in other


def test_a_first_step_that_takes_long_says_what_it_waits_for(monkeypatch, capsys):
    said = []
    heard = threading.Event()
    monkeypatch.setattr(clock, "_LONG_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(clock, "log", lambda line: (said.append(line), heard.set()))
    slow = clock.Clock()
    slow.start_step()
    assert heard.wait(60)
    assert said == ["still waiting for the first batch of images"]
    heard.clear()
    slow = clock.Clock()
    monkeypatch.setattr(clock, "_LONG_WAIT_SECONDS", 60)
    slow.start_step()
    slow.got_batch()
    # What the timer will say, as long as the step is not done.
    slow._say()
    assert said[1].startswith("still compiling the first step")
    slow.end_step(images=8)
    assert said[2].startswith("first step, compiled and run, in ")
    slow._notice.join(60)
    assert len(said) == 3
    # Where the step fails, the loop closes its clock.
    failed = clock.Clock()
    failed.start_step()
    failed.close()
    failed._notice.join(60)
    assert len(said) == 3
    # Workers that are not the chief are silent.
    silent = clock.Clock(quiet=True)
    silent.start_step()
    assert silent._notice is None


def test_after_a_resume_no_time_is_left_until_a_speed_is_known(capsys):
    times = Clock(quiet=True)
    times.start_step()
    times.got_batch()
    times.end_step(images=8)
    assert times.seconds_left(5000) is None and times.interval() is None
    watcher = Progress(1000, 90, seconds_between_rows=0)
    watcher.interval(run_records.interval(speed=None, seconds_left=times.seconds_left(5000)))
    header, row = capsys.readouterr().err.splitlines()
    assert row.split()[-1] == "0.01"


def test_skipped_updates_are_said_once(capsys):
    watcher = Progress(1000, 90, seconds_between_rows=0)
    for skipped in (0, 1, 3, 3):
        watcher.interval(run_records.interval(loss_scale=16384.0, skipped_updates=skipped))
    notes = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note: ")]
    assert notes == [
        "note: 1 update skipped (loss scale 16384)",
        "note: 3 updates skipped (loss scale 16384)",
    ]


def test_a_long_wait_for_data_is_said_once(capsys):
    watcher = Progress(1000, 90)
    for wait in (0.1, 0.35, 0.4):
        watcher.end_epoch(run_records.epoch(speed=Speed(100.0, wait)))
    (note,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note: ")]
    assert "35%" in note and "benchmark input" in note


def test_progress_spares_a_file(capsys):
    watcher = Progress(1000, 90, seconds_between_rows=3600)
    for _ in range(5):
        watcher.interval(run_records.interval())
    assert len(capsys.readouterr().err.splitlines()) == 2


def a_terminal(monkeypatch, is_one=True):
    terminal = io.StringIO()
    terminal.isatty = lambda: is_one
    monkeypatch.setattr("sys.stderr", terminal)
    return terminal


@pytest.mark.parametrize(
    ("room", "words"),
    [
        (80, "23 h 59 min left, loss 2.50, 1,500 img/s, top-1 60.0%"),
        (53, "23 h 59 min left, loss 2.50, 1,500 img/s"),
        (40, "23 h 59 min left, loss 2.50"),
        (5, "23 h 59 min left"),
    ],
)
def test_what_does_not_fit_beside_the_bar_is_left_out_whole(room, words):
    record = run_records.interval(
        loss=2.5, top_1_error=0.6, seconds_left=86399.0, speed=Speed(1500.0, 0.0)
    )
    assert beside_the_bar(record, room) == words


@pytest.mark.parametrize("columns", [None, 80])
def test_progress_on_a_terminal(monkeypatch, columns):
    """At 80 columns, too, the bar says how long it will take."""
    terminal = a_terminal(monkeypatch)
    watcher = Progress(10009, 90, columns=columns)
    watcher.begin_epoch(88, 88 * 10009 + 9000)
    for step in range(88 * 10009 + 9001, 88 * 10009 + 9100):
        watcher.steps_done(step)
    watcher.interval(run_records.interval(seconds_left=86399.0))
    watcher.begin_evaluation(step)
    watcher.end_epoch(run_records.epoch())
    drawn = terminal.getvalue().split("\r")
    (bar,) = [text for text in drawn if "left" in text and "epoch 89/90" in text]
    assert "9099/10009, 23 h 59 min left, loss 2.5" in bar
    assert columns is None or len(bar) <= columns
    assert any("evaluating" in text for text in drawn)
    # What is left of the bar is wiped first.
    header, row = drawn[-2], drawn[-1]
    assert header.startswith("\x1b[K") and row.startswith("\x1b[K") and "2/90" in row


@pytest.mark.parametrize("is_one", [False, True])
def test_quiet(monkeypatch, is_one):
    stream = a_terminal(monkeypatch, is_one)
    watcher = Progress(1000, 90, quiet=True, seconds_between_rows=0)
    watcher.begin_epoch(0, 0)
    watcher.interval(run_records.interval())
    watcher.steps_done(1)
    watcher.end_epoch(run_records.epoch())
    watcher.end_run()
    watcher.close()
    assert stream.getvalue() == ""
