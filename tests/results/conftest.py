"""One small dataset and one finished run for all tests of results."""

from __future__ import annotations

import pathlib

import pytest

from tests import small_dataset
from tests.results import finished_run

CLASSES = 7


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Seven classes; 21 validation images, which no batch of 8 divides."""
    return small_dataset.make(
        tmp_path_factory.mktemp("results") / "data",
        image_size=finished_run.IMAGE_SIZE,
        classes=CLASSES,
        train=14,
        validation=21,
    )


@pytest.fixture(scope="session")
def workdir(data_dir: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A run on it."""
    return finished_run.make(tmp_path_factory.mktemp("results") / "run", data_dir)


@pytest.fixture(scope="session")
def other_workdir(data_dir: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Another run on it, with other weights and another mean."""
    return finished_run.make(
        tmp_path_factory.mktemp("results") / "other_run", data_dir, seed=1, mean="channel"
    )


@pytest.fixture(scope="session")
def records(data_dir: pathlib.Path) -> list[tuple[bytes, int]]:
    """JPEG bytes and label (from 0) of every validation image, read by TensorFlow's own reader."""
    import tensorflow as tf

    found = []
    for path in sorted(data_dir.glob("validation-*-of-*")):
        for record in tf.data.TFRecordDataset(str(path)):
            example = tf.train.Example.FromString(record.numpy())
            feature = example.features.feature
            label = feature["image/class/label"].int64_list.value[0] - 1
            found.append((feature["image/encoded"].bytes_list.value[0], label))
    return found
