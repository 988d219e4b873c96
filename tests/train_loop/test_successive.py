"""Runs one after another in one process: each computes what it computes alone."""

from __future__ import annotations

import json

import numpy as np
import pytest

from alexnet_tf import recipes
from alexnet_tf.runs.workdir import WorkFolder
from alexnet_tf.train_loop import loop
from alexnet_tf.train_loop.setup import set_up
from alexnet_tf.train_loop.successive import Successive
from tests.helpers import small_dataset

SETTINGS = {
    "network.name": "demo",
    "network.input_size": "24",
    "network.filters": "(4, 8, 8)",
    "network.hidden": "8",
    "network.conv1_size": "5",
    "network.conv1_stride": "1",
    "batch_size": "16",
    "train_epochs": "2",
    "learning_rate.schedule": "diary",
    "learning_rate.diary": "((1, 'conv1*', 0.0), (1, 'color_noise', 0.0))",
    "log.tensorboard": "false",
}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("successive") / "data"
    return small_dataset.make(folder, image_size=32, classes=3, train=48, validation=9)


def recipe(images, seed, **more):
    settings = SETTINGS | {"data_dir": str(images), "seed": str(seed)} | more
    return recipes.resolve(recipes.load("default"), list(settings.items()))


def alone(config, folder):
    with WorkFolder(folder) as work:
        loop.Loop(set_up(config, work), quiet=True).train()


def outcome(folder):
    """Metrics without times, and the last checkpoint's arrays.

    A sum of losses is added up by several threads: its last bit differs from run to run.
    """
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        line.pop("timing")
        line["loss"] = round(line["loss"], 5)
    newest = WorkFolder(folder).load_checkpoint("newest")
    return lines, newest.weights | newest.optimizer


def test_seeds_share_a_network_and_compute_what_they_compute_alone(images, tmp_path):
    trainer = Successive()
    for seed in (3, 4):
        with WorkFolder(tmp_path / f"shared{seed}") as work:
            trainer.train(recipe(images, seed), work)
        assert trainer._loop is not None
    model = trainer._loop.run.model
    alone(recipe(images, 4), tmp_path / "alone4")
    lines, arrays = outcome(tmp_path / "shared4")
    lines_alone, arrays_alone = outcome(tmp_path / "alone4")
    assert lines == lines_alone
    assert arrays.keys() == arrays_alone.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, arrays_alone[name], err_msg=name)
    assert json.loads((tmp_path / "shared4" / "config.json").read_text()) == json.loads(
        (tmp_path / "alone4" / "config.json").read_text()
    )
    assert outcome(tmp_path / "shared3")[0] != lines
    # Other rates and another length are no reason to compile again.
    other = {"learning_rate.schedule": "polynomial", "train_epochs": "3"}
    with WorkFolder(tmp_path / "shared5") as work:
        trainer.train(recipe(images, 5, **other), work)
    assert trainer._loop.run.model is model
    alone(recipe(images, 5, **other), tmp_path / "alone5")
    assert outcome(tmp_path / "shared5")[0] == outcome(tmp_path / "alone5")[0]


def test_other_settings_get_a_network_of_their_own_and_share_the_images(images, tmp_path):
    trainer = Successive()
    with WorkFolder(tmp_path / "a") as work:
        trainer.train(recipe(images, 1, **{"input.cache": "device"}), work)
    first = trainer._loop.run
    other = recipe(images, 1, **{"input.cache": "device", "network.lrn": "false"})
    with WorkFolder(tmp_path / "b") as work:
        trainer.train(other, work)
    second = trainer._loop.run
    assert second.model is not first.model
    assert second.prepare.resident is first.prepare.resident
    alone(
        recipe(images, 1, **{"input.cache": "device", "network.lrn": "false"}), tmp_path / "alone"
    )
    # On a CPU a set on the device may change last bits (docs/reliability.md).
    lines = zip(outcome(tmp_path / "b")[0], outcome(tmp_path / "alone")[0], strict=True)
    for line, other in lines:
        assert line.pop("kind") == other.pop("kind")
        assert line == pytest.approx(other, rel=1e-4)


def test_a_run_with_a_checkpoint_goes_on_from_there(images, tmp_path):
    alone(recipe(images, 2, train_epochs="1"), tmp_path / "run")
    trainer = Successive()
    with WorkFolder(tmp_path / "other") as work:
        trainer.train(recipe(images, 1), work)
    with WorkFolder(tmp_path / "run") as work:
        trainer.train(recipe(images, 2), work)
    alone(recipe(images, 2), tmp_path / "whole")
    assert outcome(tmp_path / "run")[0] == outcome(tmp_path / "whole")[0]
