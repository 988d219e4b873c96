"""A run from its work folder, and the facts of its training dataset."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from alexnet_common.errors import UserError
from alexnet_tf.evaluation import ensemble
from alexnet_tf.runs import dataset_copy, restore
from data_prep import dataset
from tests.helpers import finished_run, small_dataset


@pytest.fixture
def moved(tmp_path):
    """A run whose training dataset was moved, and where to."""
    old, new = tmp_path / "old_place", tmp_path / "new_place"
    small_dataset.make(old, image_size=32)
    run = finished_run.make(tmp_path / "run", old)
    shutil.copytree(old, new)
    return run, old, new


def change_classes(folder, names):
    """A dataset that differs in the names of its classes only."""
    path = folder / "dataset.json"
    document = json.loads(path.read_text())
    document["class_names"] = names
    path.write_text(json.dumps(document))


def test_weights_of_the_checkpoint(workdir):
    run = restore.load(str(workdir))
    saved = np.load(workdir / "best" / "step-000000030.npz")
    from alexnet_tf.model import build

    for name, variable in build.named_variables(run.model).items():
        np.testing.assert_array_equal(np.asarray(variable), saved[f"weights/{name}"])
    assert (run.crop, run.state["step"], run.which) == (32, 30, "best")


def test_a_copy_in_the_work_folder_outlives_the_dataset(moved):
    run, old, new = moved
    before = restore.load(str(run))
    dataset_copy.keep(run, dataset.load(old))
    shutil.rmtree(old)
    after = restore.load(str(run))
    np.testing.assert_array_equal(after.prepare.mean, before.prepare.mean)
    assert after.facts.class_names == before.facts.class_names
    # Keeping them again, from the dataset's new place, is what a resumed run does.
    dataset_copy.keep(run, dataset.load(new))


def test_facts_of_another_dataset_are_refused(moved, tmp_path):
    run, old, _ = moved
    dataset_copy.keep(run, dataset.load(old))
    other = small_dataset.make(tmp_path / "other", image_size=32, seed=5)
    with pytest.raises(UserError, match="mean image differs"):
        dataset_copy.keep(run, dataset.load(other))
    fewer = small_dataset.make(tmp_path / "fewer", image_size=32, classes=2)
    with pytest.raises(UserError, match="has 2 classes, .* has 3"):
        dataset_copy.keep(run, dataset.load(fewer))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"shards": 1}, "other records in train and validation"),
        ({"validation": 8}, "other records in validation"),
        ({}, ""),
    ],
)
def test_other_records_with_the_same_mean_are_warned_of(moved, tmp_path, capsys, change, words):
    run, old, _ = moved
    dataset_copy.keep(run, dataset.load(old))
    other = small_dataset.make(tmp_path / "other", **({"image_size": 32} | change))
    dataset_copy.keep(run, dataset.load(other))
    said = capsys.readouterr().err
    assert f"{words} (images" in said if words else not said


def test_damaged_facts_are_named(moved):
    run, old, _ = moved
    dataset_copy.keep(run, dataset.load(old))
    (run / "dataset" / "dataset.json").write_text("{")
    with pytest.raises(dataset.DatasetError, match="dataset.json: damaged"):
        restore.load(str(run))


def test_a_dataset_that_is_gone_asks_for_its_new_place(moved):
    run, old, new = moved
    shutil.rmtree(old)
    with pytest.raises(UserError, match=f"not at {old} any more.*--data_dir"):
        restore.load(str(run))
    with pytest.raises(UserError, match="--data_dir"):
        ensemble.evaluate_runs([str(run)], ensemble.Settings(views=1))
    report = ensemble.evaluate_runs([str(run)], ensemble.Settings(views=1, data_dir=str(new)))
    assert report["count"] == 10


def test_the_mean_is_the_training_datasets_also_on_another_dataset(moved, tmp_path):
    run, old, _ = moved
    other = small_dataset.make(tmp_path / "other", image_size=32, seed=5)
    assert not np.array_equal(dataset.load(other).mean_image(), dataset.load(old).mean_image())
    settings = ensemble.Settings(views=1, data_dir=str(other))
    errors = ensemble.evaluate_runs([str(run)], settings)["runs"][0]["errors"]["1"]
    restored = restore.load(str(run), data_dir=str(other))
    np.testing.assert_array_equal(restored.prepare.mean, np.load(old / "mean_image.npy"))
    # The same images in a dataset whose mean image is the training one's: the same errors.
    shutil.copy(old / "mean_image.npy", other / "mean_image.npy")
    document = json.loads((other / "dataset.json").read_text())
    sha256 = json.loads((old / "dataset.json").read_text())["statistics"]["mean_image"]["sha256"]
    document["statistics"]["mean_image"]["sha256"] = sha256
    (other / "dataset.json").write_text(json.dumps(document))
    assert errors == ensemble.evaluate_runs([str(run)], settings)["runs"][0]["errors"]["1"]


def test_other_classes_are_refused_by_name(moved):
    run, _, new = moved
    change_classes(new, ["class_0", "cat", "class_2"])
    with pytest.raises(UserError, match="class 1 is 'cat', .* it is 'class_1'"):
        ensemble.evaluate_runs([str(run)], ensemble.Settings(data_dir=str(new)))


def test_images_of_another_size_are_refused(moved, tmp_path):
    run, _, _ = moved
    larger = small_dataset.make(tmp_path / "larger", image_size=40)
    with pytest.raises(UserError, match="40x40 pixels.*--image_size=32"):
        ensemble.evaluate_runs([str(run)], ensemble.Settings(data_dir=str(larger)))


def test_runs_with_other_classes_make_no_ensemble(moved, tmp_path):
    run, _, _ = moved
    data = small_dataset.make(tmp_path / "data", image_size=32, classes=4)
    other = finished_run.make(tmp_path / "other_run", data)
    with pytest.raises(UserError, match="3 classes, the run in .*other_run has 4"):
        ensemble.evaluate_runs([str(run), str(other)], ensemble.Settings(views=1))


def test_missing_checkpoints(tmp_path):
    data = small_dataset.make(tmp_path / "data", image_size=32)
    run = finished_run.make(tmp_path / "run", data, best=False)
    with pytest.raises(UserError, match="no best checkpoint.*--checkpoint=newest"):
        restore.load(str(run))
    assert restore.load(str(run), "newest").which == "newest"
    none = finished_run.make(tmp_path / "none", data, best=False, newest=False)
    for which in restore.CHECKPOINTS:
        with pytest.raises(UserError, match="train first"):
            restore.load(str(none), which)


def test_without_a_validation_split_the_latest_weights_are_taken(tmp_path, capsys):
    data = small_dataset.make(tmp_path / "data", image_size=32)
    document = json.loads((data / "dataset.json").read_text())
    del document["splits"]["validation"]
    (data / "dataset.json").write_text(json.dumps(document))
    run = finished_run.make(tmp_path / "run", data, best=False)
    assert restore.load(str(run)).which == "newest"
    assert "no validation split, so the latest weights are taken" in capsys.readouterr().err
