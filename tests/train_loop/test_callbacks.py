"""What the operator sees: hand-made logs in, lines, files and pictures out."""

import io
import json
import math
import resource
import signal

import numpy as np
import pytest

from alexnet_tf.pictures import kernels as kernel_pictures
from alexnet_tf.train_loop.logging import callbacks, tensorboard

LOGS = {
    "epoch": 2.0,
    "step": 1234.0,
    "loss": 2.5,
    "top_1_error": 0.75,
    "top_5_error": 0.25,
    "learning_rate": 0.01,
    "images_per_second": 1500.0,
    "data_wait": 0.02,
    "seconds_left": 7500.0,
    "fresh": True,
}
VALIDATION = {
    "val_loss": 2.0,
    "val_top_1_error": 0.5,
    "val_top_5_error": 0.125,
    "val_count": 50000.0,
}


def test_metrics_hold_times_apart(tmp_path):
    for name, speed in (("a", 10.0), ("b", 20.0)):
        watcher = callbacks.MetricsFile(tmp_path / name)
        watcher.on_train_batch_end(0, LOGS | {"fresh": False})
        watcher.on_train_batch_end(1, LOGS | {"images_per_second": speed, "seconds_left": speed})
        watcher.on_epoch_end(1, LOGS | VALIDATION | {"evaluation_seconds": speed})
    lines = [
        [json.loads(line) for line in (tmp_path / name).read_text().splitlines()] for name in "ab"
    ]
    assert lines[0] != lines[1]
    for line in lines[0] + lines[1]:
        del line["timing"]
    assert lines[0] == lines[1]
    train, epoch = lines[0]
    assert train == {
        "kind": "train",
        "epoch": 2,
        "step": 1234,
        "loss": 2.5,
        "top_1_error": 0.75,
        "top_5_error": 0.25,
        "learning_rate": 0.01,
    }
    assert epoch == train | VALIDATION | {"kind": "epoch"}


def test_metrics_wait_for_room_on_the_disk(tmp_path, capsys):
    """A limit on the size of files stands for the full disk: part of a line still fits."""
    path = tmp_path / "metrics.jsonl"
    watcher = callbacks.MetricsFile(path)
    watcher.on_train_batch_end(0, LOGS | {"step": 1})
    size = path.stat().st_size
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, limits[1]))
        watcher.on_train_batch_end(1, LOGS | {"step": 2})
        watcher.on_train_batch_end(2, LOGS | {"step": 3})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.stat().st_size == size
    (warning,) = capsys.readouterr().err.splitlines()
    assert warning.startswith("WARNING: ") and "metrics.jsonl cannot be written" in warning
    watcher.on_train_batch_end(3, LOGS | {"step": 4})
    steps = [json.loads(line)["step"] for line in path.read_text().splitlines()]
    assert steps == [1, 2, 3, 4]


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
    assert callbacks.duration(seconds) == text


def test_progress_in_a_file(capsys):
    watcher = callbacks.Progress(1000, 90, seconds_between_lines=0)
    watcher.on_epoch_begin(1, {"step_in_epoch": 0})
    watcher.on_train_batch_end(232, LOGS | {"fresh": False})
    watcher.on_train_batch_end(233, LOGS)
    watcher.on_epoch_end(1, LOGS | VALIDATION | {"train_seconds": 61.0})
    one, two = capsys.readouterr().err.splitlines()
    assert one == (
        "epoch 2/90, step 234/1,000 (1,234 in all): loss 2.5000, top-1 error 75.0%, rate 0.01, "
        "1,500 img/s, 2% waiting for data, 2 h 5 min left"
    )
    assert two.startswith("epoch 2/90 done in 1 min 1 s: loss 2.5000, ")
    assert two.endswith(
        "| validation loss 2.0000, top-1 error 50.00%, top-5 error 12.50% on 50,000 images"
    )


def test_skipped_updates_are_said_drawn_and_counted_in_whole_numbers(tmp_path, capsys):
    watcher = callbacks.Progress(1000, 90, seconds_between_lines=0)
    scaled = LOGS | {"loss_scale": 16384.0, "skipped_updates": 0.0}
    watcher.on_train_batch_end(233, scaled)
    watcher.on_train_batch_end(233, scaled | {"skipped_updates": 3.0})
    one, two = capsys.readouterr().err.splitlines()
    assert "skipped" not in one
    assert "rate 0.01, 3 updates skipped (loss scale 16384), 1,500 img/s" in two
    metrics = callbacks.MetricsFile(tmp_path / "metrics.jsonl")
    metrics.on_train_batch_end(0, scaled | {"skipped_updates": 3.0})
    assert '"skipped_updates": 3' in (tmp_path / "metrics.jsonl").read_text()
    assert '"skipped_updates": 3.0' not in (tmp_path / "metrics.jsonl").read_text()
    board = tensorboard.TensorBoard(tmp_path)
    board.on_train_batch_end(0, scaled)
    board.on_train_end()
    assert {"loss_scale", "skipped_updates"} < set(events(tmp_path / "train").Tags()["tensors"])


def test_progress_spares_a_file(capsys):
    watcher = callbacks.Progress(1000, 90, seconds_between_lines=3600)
    for batch in range(5):
        watcher.on_train_batch_end(batch, LOGS)
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_progress_on_a_terminal(monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr("sys.stderr", terminal)
    watcher = callbacks.Progress(1000, 90)
    watcher.on_epoch_begin(1, {"step_in_epoch": 100.0})
    for batch in range(100, 234):
        watcher.on_train_batch_end(batch, LOGS | {"fresh": batch == 233})
    watcher.on_epoch_end(1, LOGS)
    drawn = terminal.getvalue().split("\r")
    assert any("epoch 2/90" in text and " 234/1000, loss 2.5000" in text for text in drawn)
    # What is left of the bar is wiped first.
    assert drawn[-1].splitlines()[-1].startswith("\x1b[Kepoch 2/90 done: loss 2.5000")


@pytest.mark.parametrize("terminal", [False, True])
def test_quiet(monkeypatch, terminal):
    stream = io.StringIO()
    stream.isatty = lambda: terminal
    monkeypatch.setattr("sys.stderr", stream)
    watcher = callbacks.Progress(1000, 90, quiet=True, seconds_between_lines=0)
    watcher.on_epoch_begin(0, {})
    watcher.on_train_batch_end(0, LOGS)
    watcher.on_epoch_end(0, LOGS | VALIDATION)
    watcher.on_train_end()
    assert stream.getvalue() == ""


def test_a_stuck_loss_is_reported_once(capsys):
    watcher = callbacks.StuckLoss(1000, steps=100)
    for step in range(20, 400, 20):
        watcher.on_train_batch_end(0, LOGS | {"step": step, "loss": math.log(1000) + 0.01})
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("WARNING: the loss has been 6.92 = ln(classes) for 100 steps")


def test_a_loss_that_moves_is_no_reason_to_warn(capsys):
    watcher = callbacks.StuckLoss(1000, steps=100)
    for step in range(20, 400, 20):
        loss = math.log(1000) - (0.03 if step % 80 == 0 else 0)
        watcher.on_train_batch_end(0, LOGS | {"step": step, "loss": loss})
    assert capsys.readouterr().err == ""


def test_the_summary_is_of_the_whole_run(tmp_path, capsys):
    path = tmp_path / "metrics.jsonl"
    watcher = callbacks.MetricsFile(path)
    for epoch, error in ((1, 0.6), (2, 0.4), (3, 0.5)):
        watcher.on_train_batch_end(0, LOGS)
        logs = LOGS | VALIDATION | {"epoch": epoch, "step": 10 * epoch, "val_top_1_error": error}
        watcher.on_epoch_end(epoch - 1, logs)
    callbacks.Summary(path, "40.7% top-1 error").on_train_end()
    last, best, expected = capsys.readouterr().err.splitlines()
    assert (
        last.split()
        == (
            "last epoch 3, step 30: top-1 error 50.00%, top-5 error 12.50% on 50,000 validation "
            "images, 1 view"
        ).split()
    )
    assert best.startswith("best ") and "epoch 2, step 20: top-1 error 40.00%" in best
    assert expected.split(maxsplit=1) == ["expected", "40.7% top-1 error"]
    callbacks.Summary(path, "x", quiet=True).on_train_end()
    callbacks.Summary(tmp_path / "none").on_train_end()
    assert capsys.readouterr().err == ""


@pytest.fixture(scope="module")
def model():
    from alexnet_tf import config as recipes
    from alexnet_tf.model import build
    from alexnet_tf.tables import table

    settings = {"network.input_size": "24", "network.filters": "(8,8,8)", "network.hidden": "16"}
    config = recipes.resolve(recipes.load("demo"), list(settings.items()))
    return build.build(table.from_config(config.network, 3))


def events(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    found.Reload()
    return found


def watch_two_epochs(watcher, model):
    watcher.set_model(model)
    watcher.on_train_begin()
    for epoch in range(2):
        watcher.on_epoch_begin(epoch, {"step_in_epoch": 0})
        watcher.on_train_batch_end(4, LOGS | {"step": 10 * epoch + 5, "gradient_norm": 7.0})
        watcher.on_epoch_end(epoch, LOGS | VALIDATION | {"step": 10 * epoch + 10})
    watcher.on_train_end()


def test_tensorboard_files(tmp_path, model):
    import tensorflow as tf

    from alexnet_tf.model import build

    watch_two_epochs(tensorboard.TensorBoard(tmp_path, histograms_every_epochs=2), model)
    train, validation = events(tmp_path / "train"), events(tmp_path / "validation")
    scalars = {"loss", "top_1_error", "top_5_error"}
    assert set(validation.Tags()["tensors"]) == scalars
    weights = {f"weights/{name}" for name in build.named_variables(model)}
    more = {"learning_rate", "gradient_norm", "kernels/conv1"}
    more |= {"timing/images_per_second", "timing/data_wait"}
    assert set(train.Tags()["tensors"]) == scalars | more | weights
    steps = {tag: [event.step for event in train.Tensors(tag)] for tag in scalars | more | weights}
    assert steps["loss"] == steps["gradient_norm"] == [5, 15]
    assert steps["kernels/conv1"] == [0, 10, 20]
    assert steps["weights/conv1a/kernel"] == [20]
    assert float(tf.make_ndarray(validation.Tensors("loss")[0].tensor_proto)) == 2.0

    width, height, *pictures = tf.make_ndarray(train.Tensors("kernels/conv1")[0].tensor_proto)
    picture = tf.io.decode_png(pictures[0]).numpy()
    assert picture.shape == (int(height), int(width), 3)
    kernels = [build.named_variables(model)[f"conv1{column}/kernel"].numpy() for column in "ab"]
    # The smallest and the largest weight of both columns are the only full black and full white
    # inside kernels; borders are white.
    assert (picture == 0).any()
    expected = kernel_pictures.draw(kernels)
    assert np.array_equal(picture, expected)


def test_no_histograms_unless_asked(tmp_path, model):
    watch_two_epochs(tensorboard.TensorBoard(tmp_path), model)
    tags = events(tmp_path / "train").Tags()["tensors"]
    assert not [tag for tag in tags if tag.startswith("weights/")]


def test_the_profiler_records_the_chosen_steps(tmp_path, model, monkeypatch):
    import tensorflow as tf

    calls = []
    monkeypatch.setattr(tf.profiler.experimental, "start", lambda folder: calls.append("start"))
    monkeypatch.setattr(tf.profiler.experimental, "stop", lambda: calls.append("stop"))

    def updates(steps, begin, end):
        """What is called between updates begin + 1 ... end of a run with 5 steps per epoch."""
        watcher = tensorboard.Profile(tmp_path, steps, 5)
        watcher.set_model(model)
        calls.clear()
        watcher.on_epoch_begin(begin // 5, {"step_in_epoch": begin % 5})
        for step in range(begin, end):
            if step % 5 == 0 and step > begin:
                watcher.on_epoch_begin(step // 5, {"step_in_epoch": 0})
            calls.append(step + 1)
            watcher.on_train_batch_end(step % 5, {})
        watcher.on_train_end()
        return list(calls)

    assert updates((2, 3), 0, 4) == [1, "start", 2, 3, "stop", 4]
    assert updates((6, 6), 3, 8) == [4, 5, "start", 6, "stop", 7, 8]
    assert updates((1, 2), 0, 3) == ["start", 1, 2, "stop", 3]
    # A run that is resumed among the chosen steps, after them, or that ends among them.
    assert updates((2, 4), 2, 6) == ["start", 3, 4, "stop", 5, 6]
    assert updates((1, 2), 2, 4) == [3, 4]
    assert updates((2, 9), 0, 3) == [1, "start", 2, 3, "stop"]
    assert updates((), 0, 2) == [1, 2]


@pytest.mark.parametrize("quiet", [False, True])
def test_where_the_profile_lies_is_said_unless_quiet(tmp_path, model, monkeypatch, capsys, quiet):
    import tensorflow as tf

    for name in ("start", "stop"):
        monkeypatch.setattr(tf.profiler.experimental, name, lambda *_: None)
    watcher = tensorboard.Profile(tmp_path, (1, 1), 5, quiet=quiet)
    watcher.set_model(model)
    watcher.on_epoch_begin(0, {"step_in_epoch": 0})
    watcher.on_train_batch_end(0, {})
    said = capsys.readouterr().err
    assert said == ("" if quiet else f"profile of steps 1 to 1: {tmp_path}/plugins/profile\n")


@pytest.mark.slow
def test_the_profile_is_written(tmp_path, model):
    watcher = tensorboard.Profile(tmp_path, (1, 2), 5)
    watcher.set_model(model)
    watcher.on_epoch_begin(0, {"step_in_epoch": 0})
    for batch in range(3):
        model(np.zeros((1, 24, 24, 3), np.float32))
        watcher.on_train_batch_end(batch, {})
    assert list(tmp_path.glob("plugins/profile/*/*.xplane.pb"))
