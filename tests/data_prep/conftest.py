"""Fixtures of the data tests: a stand-in for ILSVRC, and conversion within the test's process."""

import pathlib
from collections.abc import Callable
from typing import Any

import pytest

from alexnet_common import command
from data_prep import build_tfrecords
from data_prep.shards import workers
from tests.helpers import imagenet_standin


@pytest.fixture(scope="session")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> imagenet_standin.StandIn:
    """20 classes, nested tars and the same images as folders; read only."""
    return imagenet_standin.build(tmp_path_factory.mktemp("stand_in"))


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> imagenet_standin.StandIn:
    """Three classes of three images: enough where the number of images plays no part."""
    folder = tmp_path_factory.mktemp("small")
    return imagenet_standin.build(folder, classes=3, train=3, validation=4)


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs what workers would do here, one after the other: starting them takes seconds."""

    def run(
        function: Callable[[Any, Callable[[int], None]], Any],
        tasks: list[Any],
        num_workers: int,
        num_images: int,
        title: str,
        check: Callable[[Any], None] = lambda result: None,
    ) -> list[Any]:
        results = []
        for task in tasks:
            results.append(function(task, lambda count: None))
            check(results[-1])
        return results

    monkeypatch.setattr(workers, "run", run)


Convert = Callable[..., int]


@pytest.fixture
def convert() -> Convert:
    """Runs build_tfrecords with flags given by name and returns its exit status."""

    def call(**named: object) -> int:
        arguments = [f"--{name}={value}" for name, value in named.items()]
        return command.call(
            build_tfrecords.define_flags, build_tfrecords.main, build_tfrecords.__doc__, arguments
        )

    return call


def dataset_files(folder: pathlib.Path) -> dict[str, bytes]:
    """Everything that a reader of a dataset folder sees."""
    return {
        path.name: path.read_bytes()
        for path in sorted(folder.iterdir())
        if path.is_file() and not path.name.startswith(".")
    }
