"""Runs that begin with weights from elsewhere: what is taken, what is said, what a resume needs."""

import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest

from alexnet_tf import recipes
from alexnet_tf.runs import checkpoint, initial_weights
from alexnet_tf.weight_io import weights
from tests.helpers import small_dataset
from tests.helpers.python_path import extended
from tests.helpers.short_runs import TINY, call, of_settings

SETTINGS = TINY | {
    "log.report": False,
    "train_epochs": 1,
    # Too little to change any number but zeros: the weights at the end are those at the start.
    "learning_rate.initial": 1e-30,
    "log.tensorboard": "false",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("initial")


@pytest.fixture(scope="module")
def data(folder):
    return small_dataset.make(folder / "data", image_size=28, train=22, validation=10)


def arguments(data, workdir, **changes):
    return of_settings(data, workdir, SETTINGS, **changes)


def weights_of(workdir, which="checkpoints"):
    return checkpoint.load_newest(workdir / which).weights


@pytest.fixture(scope="module")
def other(data, folder):
    """A run with another seed that learned nothing: what it drew is what it has."""
    assert call(arguments(data, folder / "other", seed=7)) == 0
    return folder / "other"


@pytest.fixture(scope="module")
def file(other, folder):
    path = folder / "weights.npz"
    weights.save_npz(str(path), weights_of(other))
    return path


def assert_equal(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=0, atol=1e-25, err_msg=name)


def unbroken(text):
    """The lines of the first page without their breaks and columns."""
    return " ".join(text.split())


@pytest.mark.parametrize("implementation", ["towers", "grouped"])
def test_a_run_begins_with_a_file(data, other, file, tmp_path, capsys, implementation):
    changes = {"initial_weights": file, "implementation": implementation}
    assert call(arguments(data, tmp_path / "run", **changes)) == 0
    assert_equal(weights_of(tmp_path / "run"), weights_of(other))
    text = unbroken(capsys.readouterr().err)
    assert f"begins with {file}: .npz file, by our names; 23 of 23 variables" in text
    # It names no classes, so that theirs may be others.
    line = f"classes the weights do not name theirs; taken in the order of {data}"
    assert line in text


def test_a_run_begins_with_a_work_folder(data, other, tmp_path, capsys):
    changes = {"initial_weights": other, "preprocess__mean": "channel"}
    assert call(arguments(data, tmp_path / "run", **changes)) == 0
    assert_equal(weights_of(tmp_path / "run"), weights_of(other, "best"))
    text = unbroken(capsys.readouterr().err)
    assert f"{other}: work folder, best checkpoint, step 3, by our names" in text
    assert "trained on pixels less" in text and "(image), RGB; this run subtracts" in text


def test_a_resumed_run_needs_no_file(data, file, tmp_path, capsys):
    path = tmp_path / "gone.npz"
    path.write_bytes(file.read_bytes())
    argv = arguments(data, tmp_path / "run", initial_weights=path, learning_rate__initial=0.01)
    assert call(argv) == 0
    path.unlink()
    begun = weights_of(tmp_path / "run")
    capsys.readouterr()
    assert call([*argv, "--config.train_epochs=2"]) == 0
    text = capsys.readouterr().err
    assert "resumes        after epoch 1" in text and "begins with" not in text
    assert any((weights_of(tmp_path / "run")[name] != begun[name]).any() for name in begun)
    # From scratch it is needed, and nothing is left behind that looks like a run.
    new = arguments(data, tmp_path / "new", initial_weights=path)
    assert call(new) == 1
    assert capsys.readouterr().err == f"error: {path}: No such file or directory\n"
    assert not (tmp_path / "new" / "config.json").exists()
    # Other weights are another run.
    assert call([*argv, "--config.initial_weights=x"]) == 1
    assert "initial_weights" in capsys.readouterr().err


def test_other_classes(file, tmp_path, capsys):
    data = small_dataset.make(tmp_path / "five", image_size=28, classes=5, train=10, validation=5)
    argv = arguments(data, tmp_path / "run", initial_weights=file)
    assert call(argv) == 1
    text = capsys.readouterr().err
    assert text.startswith(
        f"error: {file} (.npz file, by our names) does not fit demo: fc5/kernel0"
    )
    assert "needs shape [8, 5], and the file has shape [8, 3]" in text
    assert "--config.initial_weights_partial=true takes what fits" in text
    assert call([*argv, "--config.initial_weights_partial=true"]) == 0
    text = unbroken(capsys.readouterr().err)
    kept = "fc5/kernel0, fc5/kernel1, fc5/bias (not in the file in that shape)"
    assert f"drawn anew {kept}" in text and "20 of 23 variables" in text
    # What is drawn is what a run without the file draws.
    assert call(arguments(data, tmp_path / "drawn")) == 0
    drawn, found = weights_of(tmp_path / "drawn"), weights_of(tmp_path / "run")
    with np.load(file) as values:
        assert_equal(
            found, {n: drawn[n] if n.startswith("fc5") else values[n] for n in values.files}
        )


def test_weights_that_are_no_numbers(data, file, tmp_path, capsys):
    with np.load(file) as values:
        np.savez(tmp_path / "bad.npz", **(dict(values) | {"conv2b/bias": np.full(4, np.nan)}))
    argv = arguments(data, tmp_path / "run", initial_weights=tmp_path / "bad.npz")
    assert call(argv) == 1
    assert "bad.npz: conv2b/bias has non-finite values" in capsys.readouterr().err


def test_notes_say_what_differs_from_torchvision_and_caffe(data):
    from data_prep import dataset

    known = dataset.load(data)
    state = {"features.0.weight": np.zeros(1)}
    owt = recipes.resolve(recipes.load("alexnet_owt"))
    found = initial_weights.weight_files.WeightFile("f", "a file", "torchvision", state)
    (note,) = initial_weights._notes(found, owt, known)
    mean = ", ".join(f"{value:.2f}" for value in known.channel_mean)
    assert note == (
        "they were trained on pixels less (123.67, 116.28, 103.53) (torchvision), RGB; this run "
        f"subtracts ({mean}) (channel); --config.preprocess.mean=torchvision subtracts theirs"
    )
    exact = recipes.resolve(recipes.load("alexnet_owt"), [("preprocess.mean", "torchvision")])
    assert initial_weights._notes(found, exact, known) == []
    found = initial_weights.weight_files.WeightFile("f", "a file", "caffe", state)
    paper = recipes.resolve(recipes.load("alexnet_paper"), [("preprocess.mean", "caffe")])
    (note,) = initial_weights._notes(found, paper, known)
    assert note.startswith("they were made for another network (alexnet_caffe): dropout_form: ")
    assert "lrn_k: 1.0 -> 2.0" in note and "init" not in note


@pytest.mark.slow
def test_columns_on_two_devices_begin_with_a_file(data, other, file, tmp_path):
    place = {"placement": "two_devices", "devices": "('CPU:0','CPU:1')"}
    argv = arguments(data, tmp_path / "run", initial_weights=file, **place)
    subprocess.run([sys.executable, "-m", "alexnet_tf.train", *argv], check=True)
    assert_equal(weights_of(tmp_path / "run"), weights_of(other))


@pytest.mark.slow
@pytest.mark.parametrize("same", [True, False])
def test_workers_begin_with_the_same_weights(data, file, tmp_path, same):
    for index in (0, 1):
        (tmp_path / str(index)).mkdir()
        with np.load(file) as values:
            change = 0 if same else index * 1e-3
            arrays = {name: values[name] + np.float32(change) for name in values.files}
        np.savez(tmp_path / str(index) / "weights.npz", **arrays)
    with socket.socket() as one, socket.socket() as two:
        for each in (one, two):
            each.bind(("127.0.0.1", 0))
        workers = [f"127.0.0.1:{each.getsockname()[1]}" for each in (one, two)]
    argv = arguments(
        data, tmp_path / "run", initial_weights="weights.npz", distribution="multi_worker"
    )
    root = str(recipes.recipe_folder().parent)
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "alexnet_tf.train", *argv],
            env=os.environ
            | {
                "PYTHONPATH": extended(root),
                "TF_CONFIG": json.dumps(
                    {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}
                ),
            },
            cwd=tmp_path / str(index),
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in (0, 1)
    ]
    errors = [process.communicate(timeout=180)[1] for process in started]
    assert [process.returncode for process in started] == ([0, 0] if same else [1, 1]), errors
    if same:
        with np.load(file) as values:
            assert_equal(weights_of(tmp_path / "run"), dict(values))
    else:
        assert all("the workers do not begin with the same weights" in text for text in errors)
