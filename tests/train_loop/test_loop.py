"""Whole runs on a tiny dataset: the same bits again, after a kill, and on two replicas."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from alexnet_common import command
from alexnet_tf import train
from alexnet_tf.input import records
from alexnet_tf.runs import checkpoint
from tests.helpers import small_dataset

# Two columns with dropout, crops, flips and colour noise; 22 examples make an uneven last batch.
SETTINGS = {
    "log.report": False,
    "network.input_size": 24,
    "network.filters": "(8,8,8)",
    "network.hidden": 16,
    "batch_size": 8,
    "train_epochs": 3,
    "learning_rate.patience_epochs": 1,
    "log.every_steps": 2,
    "checkpoint.every_steps": 2,
    "evaluation.batch_size": 4,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("loop") / "data"
    return small_dataset.make(folder, image_size=28, train=22, validation=10)


def arguments(data, workdir, **changes):
    settings = SETTINGS | {key.replace("__", "."): value for key, value in changes.items()}
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


@pytest.fixture(scope="module")
def undisturbed(data, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("undisturbed") / "run"
    assert call(arguments(data, workdir)) == 0
    return workdir


def test_a_run_leaves_what_it_promises(undisturbed):
    names = {path.name for path in undisturbed.iterdir()}
    assert {"config.json", "metrics.jsonl", "checkpoints", "best", "tensorboard"} <= names
    lines = metrics(undisturbed)
    assert [line["step"] for line in lines if line["kind"] == "epoch"] == [3, 6, 9]
    assert [line["step"] for line in lines if line["kind"] == "train"] == [2, 4, 6, 8]
    assert all(line["val_count"] == 10 for line in lines if line["kind"] == "epoch")
    assert len(checkpoint.steps(undisturbed / "best")) == 1
    assert checkpoint.steps(undisturbed / "checkpoints")[-1] == 9


def test_tensorboard_holds_the_same_numbers(undisturbed):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(undisturbed / "tensorboard" / "train"))
    events.Reload()
    import tensorflow as tf

    found = [float(tf.make_ndarray(event.tensor_proto)) for event in events.Tensors("loss")]
    expected = [line["loss"] for line in metrics(undisturbed) if line["kind"] == "train"]
    assert np.allclose(found, expected, rtol=1e-6)


def test_a_profile_holds_the_chosen_steps(data, tmp_path):
    argv = arguments(data, tmp_path / "run", train_steps=5, log__profile_steps="(2,4)")
    assert call(argv) == 0
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    (file,) = (tmp_path / "run" / "tensorboard").glob("plugins/profile/*/*.xplane.pb")
    space = xplane_pb2.XSpace.FromString(file.read_bytes())
    found = []
    for plane in space.planes:
        names = {key: event.name for key, event in plane.event_metadata.items()}
        stats = {key: stat.name for key, stat in plane.stat_metadata.items()}
        for event in (event for line in plane.lines for event in line.events):
            values = {stats[stat.metadata_id]: stat.int64_value for stat in event.stats}
            if names[event.metadata_id] == "train":
                found.append(values["step_num"])
    assert found == [2, 3, 4]


def test_the_loss_is_the_mean_over_the_examples(undisturbed):
    """Intervals of 16 and 14 (8 + 6), 16 ... examples add up to the epochs' 22 each."""
    lines = metrics(undisturbed)
    # Epoch 1 is steps 1-3; the interval of steps 3-4 holds its last 6 examples and 8 of epoch 2.
    first, third = (line for line in lines if line["kind"] == "train" and line["step"] in (2, 6))
    epochs = [line["loss"] * 22 for line in lines if line["kind"] == "epoch"]
    fourth = next(line for line in lines if line["kind"] == "train" and line["step"] == 4)
    total = first["loss"] * 16 + fourth["loss"] * 14 + third["loss"] * 14
    assert np.isclose(total, epochs[0] + epochs[1], rtol=1e-6)


def test_the_same_seed_gives_the_same_run(data, undisturbed, tmp_path):
    assert call(arguments(data, tmp_path / "run")) == 0
    assert_same_run(undisturbed, tmp_path / "run")


def test_another_seed_gives_another_run(data, undisturbed, tmp_path):
    assert call(arguments(data, tmp_path / "run", seed=1)) == 0
    assert metrics(undisturbed) != metrics(tmp_path / "run")


def test_running_a_finished_run_again_changes_nothing(data, undisturbed, capsys):
    before = metrics(undisturbed)
    assert call(arguments(data, undisturbed)) == 0
    captured = capsys.readouterr()
    assert "finished" in captured.err
    assert json.loads(captured.out)["step"] == 9
    assert metrics(undisturbed) == before


def test_a_run_from_before_some_keys_goes_on(data, tmp_path):
    workdir = tmp_path / "run"
    assert call(arguments(data, workdir, train_steps=2)) == 0
    values = json.loads((workdir / "config.json").read_text())
    del values["input"]["crop_chunk"], values["initial_weights"], values["network"]["init_scale"]
    (workdir / "config.json").write_text(json.dumps(values))
    assert call(arguments(data, workdir, train_steps=4)) == 0
    assert newest(workdir).state["step"] == 4


def test_an_epoch_that_train_steps_cut_short_goes_on(data, tmp_path):
    constant = {"learning_rate__schedule": "constant"}
    assert call(arguments(data, tmp_path / "whole", **constant)) == 0
    for steps, reached in ((4, 4), (5, 5), (0, 9)):
        assert call(arguments(data, tmp_path / "cut", train_steps=steps, **constant)) == 0
        assert newest(tmp_path / "cut").state["step"] == reached
    assert_same_weights(tmp_path / "whole", tmp_path / "cut")
    epochs = [line for line in metrics(tmp_path / "cut") if line["kind"] == "epoch"]
    assert [(line["epoch"], line["step"]) for line in epochs] == [
        (1, 3),
        (2, 4),
        (2, 5),
        (2, 6),
        (3, 9),
    ]


# Long enough to be killed on the way.
LONG = {"train_epochs": 40, "log__every_steps": 5}


@pytest.fixture(scope="module")
def undisturbed_long(data, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("undisturbed_long") / "run"
    assert call(arguments(data, workdir, **LONG)) == 0
    return workdir


@pytest.mark.parametrize("moments", [(4, 31), (60,)])
def test_killed_equals_never_killed(data, undisturbed_long, tmp_path, moments):
    """kill -9 somewhere after given checkpoints, then the same command."""
    kill_and_resume(data, tmp_path / "run", moments, LONG)
    assert_same_run(undisturbed_long, tmp_path / "run")


def kill_and_resume(data, workdir, moments, changes):
    for moment in moments:
        process = start(arguments(data, workdir, **changes))
        _wait_for_step(process, workdir, moment)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    assert newest(workdir).state["step"] < 120
    assert call(arguments(data, workdir, **changes)) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_saves_and_stops(data, undisturbed_long, tmp_path, number):
    workdir = tmp_path / "run"
    process = start(arguments(data, workdir, **LONG, checkpoint__every_steps=0))
    while "first step" not in (line := process.stderr.readline()):
        assert line
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 75, errors
    assert "the same command resumes" in errors
    assert 1 <= newest(workdir).state["step"] < 120
    assert call(arguments(data, workdir, **LONG)) == 0
    assert_same_run(undisturbed_long, workdir)


def _wait_for_step(process, workdir, step):
    deadline = time.monotonic() + 60
    while not any(found >= step for found in checkpoint.steps(workdir / "checkpoints")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)


def test_two_replicas_equal_one(data, undisturbed, tmp_path):
    """In a process of its own, since the CPU must be split before TensorFlow starts."""
    workdir = tmp_path / "run"
    process = start(arguments(data, workdir, distribution="mirrored", devices="('CPU:0','CPU:1')"))
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    one, two = newest(undisturbed), newest(workdir)
    for name in one.weights:
        assert np.allclose(one.weights[name], two.weights[name], rtol=0, atol=1e-6), name
    for first, second in zip(metrics(undisturbed), metrics(workdir), strict=True):
        assert first["step"] == second["step"]
        assert np.isclose(first["loss"], second["loss"], rtol=1e-5)


def refused(capsys, argv, status, *words):
    found = call(argv)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert found == status
    assert len(lines) == 1
    for word in words:
        assert word in lines[0]


def test_a_misspelt_key_is_named_with_near_misses(data, tmp_path, capsys):
    argv = [*arguments(data, tmp_path / "run"), "--config.batchsize=4"]
    refused(capsys, argv, 2, "batchsize", "did you mean batch_size?")
    assert not (tmp_path / "run").exists()


def test_another_config_in_the_same_folder_is_refused(data, undisturbed, capsys):
    argv = [*arguments(data, undisturbed), "--config.optimizer.momentum=0.5"]
    refused(capsys, argv, 1, "optimizer.momentum: 0.9 -> 0.5")


def test_a_start_that_is_refused_leaves_the_run_as_it_was(data, undisturbed, tmp_path, capsys):
    """Or evaluation would take the other dataset."""
    before = (undisturbed / "config.json").read_bytes()
    other = small_dataset.make(tmp_path / "other", image_size=28, train=22, seed=1)
    refused(capsys, arguments(other, undisturbed), 1, "not the dataset")
    assert (undisturbed / "config.json").read_bytes() == before


def test_a_folder_that_holds_something_else_is_refused(data, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("x")
    refused(capsys, arguments(data, tmp_path / "run"), 1, "not empty")


def test_a_folder_that_is_no_dataset_is_refused(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    refused(capsys, arguments(tmp_path / "empty", tmp_path / "run"), 1, "dataset.json")
    assert not (tmp_path / "run").exists()


def test_a_dataset_folder_that_is_not_there_is_named_with_its_flag(tmp_path, capsys):
    words = (f"--config.data_dir={tmp_path / 'none'}", "no such folder", "build_tfrecords")
    refused(capsys, arguments(tmp_path / "none", tmp_path / "run"), 1, *words)
    assert not (tmp_path / "run").exists()


def test_a_run_that_diverged_at_once_may_begin_again_in_its_folder(
    data, undisturbed, tmp_path, capsys
):
    workdir = tmp_path / "run"
    argv = arguments(data, workdir, learning_rate__initial=3e38)
    refused(capsys, argv, 1, "became NaN or infinite", "no checkpoint yet")
    assert call(arguments(data, workdir)) == 0
    assert_same_run(undisturbed, workdir)


def test_missing_flags_are_named(data, capsys):
    refused(capsys, ["--workdir=x"], 2, "--config")
    refused(capsys, ["--config=demo", "--workdir=x"], 2, "--config.data_dir")
    refused(capsys, [f"--config.data_dir={data}", "--config=demo"], 2, "--workdir")


def test_a_second_process_in_the_same_folder_is_refused(data, tmp_path, capsys):
    from alexnet_tf.runs.workdir import WorkFolder

    with WorkFolder(tmp_path / "run") as first:
        first.claim()
        refused(capsys, arguments(data, tmp_path / "run"), 1, "another process is training")


def test_mirrored_without_a_gpu_says_what_to_do(data, tmp_path, capsys):
    argv = arguments(data, tmp_path / "run", distribution="mirrored")
    refused(capsys, argv, 1, "found no GPU", "and-cuda", "CPU:0")


def test_parts_that_do_not_divide_a_batch_are_refused(data, tmp_path, capsys):
    argv = arguments(data, tmp_path / "run", accumulation_steps=3)
    refused(capsys, argv, 2, "accumulation_steps=3", "8 examples")


def test_parts_of_a_batch_are_computed_by_xla_too(data, tmp_path):
    """XLA draws other dropout masks: equal but for them, which here drop nothing."""
    losses = []
    for name, changes in (("one", {}), ("two", {"accumulation_steps": 2, "jit_compile": True})):
        changes |= {"network__dropout_keep": 1.0, "train_steps": 2}
        assert call(arguments(data, tmp_path / name, **changes)) == 0
        losses.append(metrics(tmp_path / name)[-1]["loss"])
    assert np.isclose(*losses, rtol=1e-5)


def test_a_device_that_is_not_there_is_refused(data, tmp_path, capsys):
    argv = arguments(data, tmp_path / "run", devices="('GPU:7',)")
    refused(capsys, argv, 1, "no GPU:7", "CPU:0")


def test_a_schedule_for_every_step_refuses_several_in_a_call(data, tmp_path, capsys):
    argv = arguments(data, tmp_path / "run", steps_per_call=4, learning_rate__schedule="cosine")
    refused(capsys, argv, 2, "cosine", "every step")


@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_shard_that_is_gone_stops_the_run_with_its_name(tmp_path, monkeypatch, capsys, split):
    data = small_dataset.make(tmp_path / "data", image_size=28, train=22)
    begin = records.RecordReader.__init__

    def begin_and_lose(self, data, name):
        begin(self, data, name)
        if name == split:
            (tmp_path / "data" / f"{split}-00001-of-00002").unlink(missing_ok=True)

    monkeypatch.setattr(records.RecordReader, "__init__", begin_and_lose)
    words = f"read: No such file or directory: '{data}/{split}-00001-of-00002'; the same"
    refused(capsys, arguments(data, tmp_path / "run"), 1, words)


def test_an_epoch_cut_short_does_not_count_for_the_plateau(data, undisturbed, tmp_path):
    """Three steps per epoch; cut after the first and the second of the second epoch."""
    for steps in (4, 5, 9):
        assert call(arguments(data, tmp_path / "run", train_steps=steps)) == 0
    assert newest(tmp_path / "run").state == newest(undisturbed).state


def test_quiet_is_quiet_about_the_rate_too(data, tmp_path, capsys):
    changes = {"learning_rate__patience_epochs": 1, "learning_rate__min_delta": 0.9}
    argv = arguments(data, tmp_path / "run", train_epochs=2, **changes)
    assert call([*argv, "--quiet"]) == 0
    assert metrics(tmp_path / "run")[-1]["kind"] == "epoch"
    assert newest(tmp_path / "run").state["learning_rate_rule"]["drops"] == 1
    assert not capsys.readouterr().err


def test_a_damaged_record_stops_the_run_with_its_place(tmp_path, capsys):
    data = small_dataset.make(tmp_path / "data", image_size=28, train=22)
    path = data / "train-00001-of-00002"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    refused(capsys, arguments(data, tmp_path / "run"), 1, "train-00001-of-00002", "damaged")


def test_without_a_validation_split_training_goes_on(tmp_path):
    data = small_dataset.make(tmp_path / "data", image_size=28, train=22)
    description = json.loads((data / "dataset.json").read_text())
    del description["splits"]["validation"]
    (data / "dataset.json").write_text(json.dumps(description))
    assert call(arguments(data, tmp_path / "run")) == 0
    assert newest(tmp_path / "run").state["step"] == 9


def test_a_checkpoint_that_cannot_be_written_is_a_warning_at_first(
    data, tmp_path, capsys, monkeypatch
):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    refused(capsys, arguments(data, tmp_path / "run"), 1, "No space left on device")
    assert not list((tmp_path / "run" / "checkpoints").iterdir())
