"""What is not finite: what stops a run, what is left out, and what checkpoints hold."""

import shutil

import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.model import costs
from alexnet_tf.optim import loss_scale
from alexnet_tf.runs import checkpoint
from alexnet_tf.train_loop import divergence
from tests.helpers.short_runs import (
    LONG,
    arguments,
    assert_same_run,
    assert_same_weights,
    call,
    kill_and_resume,
    metrics,
    newest,
    refused,
    start,
)


def test_the_verdict_on_an_update():
    """Numbers in, a verdict out."""
    inf, nan = float("inf"), float("nan")
    assert divergence.of_update(2.3, 0.5) == divergence.FINE
    for loss in (inf, nan):
        assert divergence.of_update(loss, 0.5, may_skip=True).diverged == "loss"
    for norm in (inf, nan):
        assert divergence.of_update(2.3, norm).diverged == "gradient"
        left_out = divergence.of_update(2.3, norm, may_skip=True, skipped_before=48)
        assert left_out.skipped and not left_out.diverged
        # The 50th in a row is one too many.
        ended = divergence.of_update(2.3, norm, may_skip=True, skipped_before=49)
        assert ended.diverged == "gradient" and ended.skipped_before == 49


def test_the_verdict_on_the_weights():
    assert divergence.of_norms({"parameter_norm": 1.0, "update_norm": 2.0}) == divergence.FINE
    verdict = divergence.of_norms({"parameter_norm": 1.0, "update_norm": float("nan")})
    assert verdict.diverged == "update norm"


def assert_finite_checkpoints(workdir):
    for step in checkpoint.steps(workdir / "checkpoints"):
        found = checkpoint.load(checkpoint.path_of(workdir / "checkpoints", step))
        for array in (*found.weights.values(), *found.optimizer.values()):
            assert np.all(np.isfinite(array))


@pytest.mark.parametrize("rate", [1e4, 3e38])
def test_divergence_stops_the_run_and_names_the_steps(data, tmp_path, capsys, rate):
    argv = arguments(data, tmp_path / "run", learning_rate__initial=rate)
    refused(capsys, argv, 1, "became NaN or infinite", "step", "checkpoint", "another --workdir")
    assert_finite_checkpoints(tmp_path / "run")


@pytest.fixture
def spoil(monkeypatch):
    """Lets chosen steps, counted from 1, have an infinite gradient and the loss that they have."""
    real, numbers = costs.per_example, []

    def install(*chosen):
        number = tf.Variable(0)
        numbers.append(number)  # For as long as the compiled step.

        def per_example(*arguments):
            factor = tf.where(tf.reduce_any(number.assign_add(1) == list(chosen)), np.inf, 1.0)

            @tf.custom_gradient
            def spoilt(losses):
                return tf.identity(losses), lambda upstream: factor * upstream

            return spoilt(real(*arguments))

        monkeypatch.setattr(costs, "per_example", per_example)

    return install


@pytest.mark.parametrize("steps_per_call", [1, 2])
def test_a_gradient_that_is_not_finite_stops_the_run_before_its_checkpoint(
    data, undisturbed, tmp_path, capsys, spoil, steps_per_call
):
    """The loss of step 4 is finite; a checkpoint is due after it, and only that of step 3 is."""
    workdir = tmp_path / "run"
    spoil(4)
    # Logs at step 6 only: it is the checkpoint that looks.
    argv = arguments(data, workdir, log__every_steps=6, steps_per_call=steps_per_call)
    refused(
        capsys,
        argv,
        1,
        "the gradient became NaN or infinite at step 4, found in steps 4 to 4",
        str(workdir / "checkpoints"),
        "config.learning_rate.initial",
    )
    assert checkpoint.steps(workdir / "checkpoints") == [2, 3]
    assert_finite_checkpoints(workdir)
    # Nothing else is wrong: from there the run ends as one that was never disturbed.
    spoil()
    assert call(arguments(data, workdir)) == 0
    assert_same_weights(undisturbed, workdir)


def test_the_window_of_steps_is_named(data, tmp_path, capsys, spoil):
    spoil(3)
    argv = arguments(
        data, tmp_path / "run", checkpoint__every_steps=0, log__every_steps=10, batch_size=2
    )
    refused(capsys, argv, 1, "at step 3, found in steps 1 to 10")


def test_gradient_norms_are_logged_like_those_of_updates(undisturbed):
    lines = metrics(undisturbed)
    assert {line["kind"] for line in lines} == {"train", "epoch"}
    for line in lines:
        assert ("gradient_norm" in line) == ("update_norm" in line) == (line["kind"] == "train")


def test_the_gradient_norm_is_that_of_the_last_step(data, tmp_path):
    """By the weights: without momentum and decay an update is rate times gradient."""
    plain = {"optimizer__momentum": 0, "network__weight_decay": 0}
    every = {"log__every_steps": 1, "checkpoint__every_steps": 1, "train_steps": 2}
    workdir = tmp_path / "run"
    assert call(arguments(data, workdir, **plain, **every)) == 0
    before, after = (
        checkpoint.load(checkpoint.path_of(workdir / "checkpoints", step)).weights
        for step in (1, 2)
    )
    moved = np.sqrt(sum(((after[name] - before[name]) ** 2).sum() for name in after))
    line = [line for line in metrics(workdir) if line["kind"] == "train"][-1]
    assert line["step"] == 2
    assert np.isclose(line["gradient_norm"], moved / 0.005, rtol=1e-4)


def test_a_checkpoint_from_before_gradient_norms_goes_on(data, undisturbed, tmp_path):
    workdir = tmp_path / "run"
    assert call(arguments(data, workdir, train_steps=6)) == 0
    path = checkpoint.path_of(workdir / "checkpoints", 6)
    found = checkpoint.load(path)
    for key in ("gradient_norm", "skipped_updates", "skipped_in_a_row"):
        del found.state[key]
    checkpoint.save(path, found)
    assert call(arguments(data, workdir)) == 0
    assert_same_run(undisturbed, workdir)


# Where a loss scale begins at which gradients of these nets are beyond float16.
TOO_LARGE = 2.0**30


@pytest.mark.parametrize(
    "changes",
    [{}, {"steps_per_call": 2, "accumulation_steps": 2, "optimizer__clip_global_norm": 1}],
    ids=["plain", "several_steps_accumulated_clipped"],
)
def test_float16_leaves_out_updates_until_the_gradient_is_finite(
    data, tmp_path, monkeypatch, capsys, changes
):
    monkeypatch.setattr(loss_scale, "FIRST", TOO_LARGE)
    monkeypatch.setattr(loss_scale, "GROWTH_STEPS", 10**6)
    workdir = tmp_path / "run"
    argv = arguments(
        data, workdir, precision="mixed_float16", train_epochs=10, checkpoint__keep=100, **changes
    )
    assert call(argv) == 0
    before, *rest = (
        checkpoint.load(checkpoint.path_of(workdir / "checkpoints", step)) for step in (2, 4, 30)
    )
    # Nothing has moved while updates were left out; each of them halved the factor.
    for early in (before, rest[0]):
        step = early.state["step"]
        assert early.state["skipped_updates"] == early.state["skipped_in_a_row"] == step
        assert early.state["loss_scale"] == {"factor": TOO_LARGE / 2**step, "finite_steps": 0}
        assert early.optimizer["iterations"] == 0
        for name, weight in early.weights.items():
            assert np.array_equal(weight, before.weights[name])
            assert not early.optimizer[f"slot0/{name}"].any()
    last = rest[1]
    skipped = last.state["skipped_updates"]
    assert 4 < skipped < 25 and last.state["skipped_in_a_row"] == 0
    assert last.optimizer["iterations"] == 30 - skipped
    assert last.state["loss_scale"]["factor"] == TOO_LARGE / 2**skipped
    assert all((last.weights[name] != before.weights[name]).any() for name in last.weights)
    # What the operator sees: no norm until there is one.
    lines = metrics(workdir)
    assert "gradient_norm" not in lines[0] and lines[0]["skipped_updates"] == 2
    assert lines[-1]["skipped_updates"] == skipped
    assert lines[-1]["loss_scale"] == TOO_LARGE / 2**skipped
    assert f"{skipped} updates skipped (loss scale " in capsys.readouterr().err


def test_float16_stops_where_no_loss_scale_helps(data, tmp_path, capsys, spoil):
    """Every gradient from step 5 on is infinite: 15 halvings to 1, and then no more."""
    workdir = tmp_path / "run"
    spoil(*range(5, 200))
    argv = arguments(
        data,
        workdir,
        precision="mixed_float16",
        train_epochs=40,
        log__every_steps=60,
        checkpoint__keep=100,
    )
    refused(
        capsys,
        argv,
        1,
        "at step 54",
        "as in the 49 steps before",
        "loss scales down to 1",
        "config.precision=mixed_bfloat16",
    )
    good, last = (
        checkpoint.load(checkpoint.path_of(workdir / "checkpoints", step)) for step in (4, 52)
    )
    assert last.state["loss_scale"]["factor"] == 1
    assert all(np.array_equal(good.weights[name], last.weights[name]) for name in good.weights)


def test_a_fixed_loss_scale_stops_where_it_is_too_large(data, tmp_path, capsys):
    argv = arguments(data, tmp_path / "run", precision="mixed_float16", loss_scale=TOO_LARGE)
    refused(capsys, argv, 1, "the gradient became NaN or infinite at step 1", "no checkpoint yet")
    assert not checkpoint.steps(tmp_path / "run" / "checkpoints")
    # The same run goes on with another one.
    again = arguments(data, tmp_path / "run", precision="mixed_float16", loss_scale=1024)
    assert call(again) == 0
    assert newest(tmp_path / "run").state["loss_scale"] == {}
    more = arguments(data, tmp_path / "run", precision="mixed_float16", train_epochs=4)
    assert call(more) == 0
    assert newest(tmp_path / "run").state["loss_scale"]["finite_steps"] == 3


def test_a_loss_scale_that_is_none_is_refused(data, tmp_path, capsys):
    argv = arguments(data, tmp_path / "run", precision="mixed_float16", loss_scale=-2)
    refused(capsys, argv, 2, "config.loss_scale must be 0 (dynamic)", "-2")


@pytest.mark.slow
@pytest.mark.addons
def test_float16_on_two_replicas_scales_as_on_one(data, tmp_path):
    """From a first step on, whose checkpoint is given a factor that is too large by 2^9 or so.

    A replica's part of a gradient is smaller than the whole, and may be finite where the whole is
    not. With this seed no step lies at that border; with some others one does.
    """
    changes = {"precision": "mixed_float16", "train_epochs": 8, "seed": 3}
    assert call(arguments(data, tmp_path / "first", **changes, train_steps=1)) == 0
    path = checkpoint.path_of(tmp_path / "first" / "checkpoints", 1)
    first = checkpoint.load(path)
    first.state["loss_scale"] = {"factor": TOO_LARGE, "finite_steps": 0}
    checkpoint.save(path, first)
    found = []
    for name, place in (
        ("one", {}),
        ("two", {"distribution": "mirrored", "devices": "('CPU:0','CPU:1')"}),
    ):
        shutil.copytree(tmp_path / "first", tmp_path / name)
        process = start(arguments(data, tmp_path / name, **changes, **place))
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors[-2000:]
        found.append(newest(tmp_path / name))
    one, two = found
    assert one.state["skipped_updates"] > 4
    assert one.state["loss_scale"] == two.state["loss_scale"]
    assert one.state["skipped_updates"] == two.state["skipped_updates"]
    assert one.optimizer["iterations"] == two.optimizer["iterations"]
    for name in one.weights:
        assert np.allclose(one.weights[name], two.weights[name], rtol=0, atol=3e-3), name


@pytest.mark.slow
def test_killed_equals_never_killed_in_float16(data, tmp_path):
    """With the loss scale and its count of finite steps."""
    changes = LONG | {"precision": "mixed_float16"}
    assert call(arguments(data, tmp_path / "whole", **changes)) == 0
    assert newest(tmp_path / "whole").state["loss_scale"]["finite_steps"] == 120
    kill_and_resume(data, tmp_path / "run", (31,), changes)
    assert_same_run(tmp_path / "whole", tmp_path / "run")
