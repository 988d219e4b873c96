"""Whole runs on a tiny dataset: the same bits again, after a kill, and on two replicas."""

import json
import signal

import numpy as np
import pytest

from alexnet_tf.runs import checkpoint
from tests.helpers import small_dataset
from tests.helpers.short_runs import (
    LONG,
    arguments,
    assert_same_run,
    assert_same_weights,
    call,
    kill_and_resume,
    metrics,
    newest,
    start,
)


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


def test_parts_of_a_batch_are_computed_by_xla_too(data, tmp_path):
    """XLA draws other dropout masks: equal but for them, which here drop nothing."""
    losses = []
    for name, changes in (("one", {}), ("two", {"accumulation_steps": 2, "jit_compile": True})):
        changes |= {"network__dropout_keep": 1.0, "train_steps": 2}
        assert call(arguments(data, tmp_path / name, **changes)) == 0
        losses.append(metrics(tmp_path / name)[-1]["loss"])
    assert np.isclose(*losses, rtol=1e-5)


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


def test_without_a_validation_split_training_goes_on(tmp_path):
    data = small_dataset.make(tmp_path / "data", image_size=28, train=22)
    description = json.loads((data / "dataset.json").read_text())
    del description["splits"]["validation"]
    (data / "dataset.json").write_text(json.dumps(description))
    assert call(arguments(data, tmp_path / "run")) == 0
    assert newest(tmp_path / "run").state["step"] == 9
