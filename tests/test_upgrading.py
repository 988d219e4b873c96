"""What earlier versions wrote is read, evaluated, resumed and asked: docs/upgrading.md."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from alexnet_common import command
from alexnet_tf import evaluate, predict
from alexnet_tf.input import images
from data_prep import dataset

VERSIONS = sorted(path.name for path in (pathlib.Path(__file__).parent / "data").iterdir())


@pytest.fixture(params=VERSIONS)
def written(
    request: pytest.FixtureRequest,
    repository: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> pathlib.Path:
    """A copy of what that version wrote, as the working directory: its paths are relative."""
    folder = tmp_path / request.param
    shutil.copytree(repository / "tests" / "data" / request.param, folder)
    monkeypatch.chdir(folder)
    return folder


def call(module: Any, *arguments: str) -> None:
    assert command.call(module.define_flags, module.main, module.__doc__, list(arguments)) == 0


def examples(shard: pathlib.Path) -> list[Any]:
    """The records by TensorFlow's own reader."""
    records = tf.data.TFRecordDataset(str(shard))
    return [tf.train.Example.FromString(record.numpy()).features.feature for record in records]


@pytest.mark.parametrize("store", ["jpeg", "uint8", "centered"])
def test_datasets(written: pathlib.Path, store: str) -> None:
    folder = written / f"dataset_{store}"
    data = dataset.load(folder)
    assert data.class_names == ("ash", "birch", "cedar")
    features = examples(folder / "train-00000-of-00001")
    assert len(features) == 9
    pixels, labels = images.Images(data, "train").batch(tf.range(9, dtype=tf.int64), 9)
    stored = [feature["image/class/label"].int64_list.value[0] for feature in features]
    assert labels.numpy().tolist() == [label - 1 for label in stored]
    for number, feature in enumerate(features):
        if store == "jpeg":
            content = feature["image/encoded"].bytes_list.value[0]
            expected = tf.io.decode_jpeg(content, dct_method="INTEGER_ACCURATE").numpy()
        else:
            kind = np.uint8 if store == "uint8" else np.float16
            raw = feature["image/raw"].bytes_list.value[0]
            expected = np.frombuffer(raw, kind).reshape(8, 8, 3)
        if store == "centered":
            expected = expected + np.load(folder / "mean_image.npy")
        np.testing.assert_array_equal(pixels[number].numpy(), expected)


def test_runs_are_evaluated_as_that_version_did(written: pathlib.Path) -> None:
    call(evaluate, "--workdir=run", "--views=10", "--output=now.json")
    then, now = (
        json.loads((written / name).read_text()) for name in ("evaluation.json", "now.json")
    )
    for views, errors in then["runs"][0]["errors"].items():
        assert now["runs"][0]["errors"][views] == pytest.approx(errors, rel=1e-4)


@pytest.mark.slow
def test_runs_go_on_as_that_version_would_have(
    written: pathlib.Path, repository: pathlib.Path
) -> None:
    arguments = [
        "--config=cuda_convnet",
        "--config.layers=tiny.cfg",
        "--config.num_classes=3",
        "--config.data_dir=dataset_jpeg",
        "--config.network.input_size=6",
        "--config.batch_size=3",
        "--config.learning_rate.initial=1e-5",
        "--config.evaluation.batch_size=3",
        "--config.log.tensorboard=false",
        "--config.log.report=false",
        "--config.train_epochs=3",
        "--workdir=run",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "alexnet_tf.train", *arguments],
        env={**os.environ, "PYTHONPATH": str(repository)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    with (
        np.load("after_step_9.npz") as then,
        np.load("run/checkpoints/step-000000009.npz") as now,
    ):
        arrays = [name for name in then.files if name != "state"]
        assert len(arrays) >= 4 and set(arrays) <= set(now.files)
        for name in arrays:
            # Other processors round otherwise.
            np.testing.assert_allclose(now[name], then[name], rtol=1e-4, atol=1e-6)


def test_exports_answer_as_they_did(
    written: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if tf.__version__.startswith("2.15"):
        pytest.skip("an export is read by the TensorFlow that wrote it, or a newer one")
    with tarfile.open("export.tar.xz") as archive:
        archive.extractall(filter="data")
    names = [f"images/validation/{name}/0.png" for name in ("ash", "birch", "cedar")]
    call(predict, "--model=export", *names)
    assert capsys.readouterr().out == (written / "predictions.txt").read_text()
