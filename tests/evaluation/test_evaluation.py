"""Errors: counted exactly, views cut and averaged as the paper says, ties ranked by class."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from alexnet_common.errors import UsageError
from alexnet_tf.evaluation import ensemble, evaluator
from alexnet_tf.runs import restore
from alexnet_tf.tables import rows, table
from tests.helpers.evaluated import evaluate

SIZE, CROP = 38, 32
OUTPUTS = rows.FullyConnected(
    name="fc", inputs=("data",), outputs=7, kernels=(rows.Weights(init_stddev=1),)
)
SOFTMAX = table.Table("net", (OUTPUTS,), CROP, 7)


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


@pytest.fixture(scope="module")
def run(workdir):
    return restore.load(str(workdir))


@pytest.fixture(scope="module")
def images(records):
    return np.stack([np.asarray(Image.open(io.BytesIO(data))) for data, _ in records])


@pytest.fixture(scope="module")
def labels(records):
    return np.array([label for _, label in records])


def by_hand(run, data_dir, images, views):
    """Probabilities from NumPy slices of the images and the bare network."""
    mean = np.load(data_dir / "mean_image.npy")[3:35, 3:35]
    offsets = [(0, 0), (0, 6), (3, 3), (6, 0), (6, 6)] if views == 10 else [(3, 3)]
    total = np.zeros((len(images), run.facts.num_classes))
    for y, x in offsets:
        crops = images[:, y : y + CROP, x : x + CROP].astype(np.float32)
        for crop in [crops, crops[:, :, ::-1]] if views == 10 else [crops]:
            logits = run.model(crop - mean, training=False)
            total += softmax(np.asarray(logits, np.float64))
    return total / views


def ranks(probabilities, labels):
    order = np.argsort(-probabilities, axis=1, kind="stable")
    return np.argmax(order == labels[:, None], axis=1)


@pytest.mark.parametrize("views", [1, 10])
def test_probabilities_and_errors_equal_numpy(run, workdir, data_dir, images, labels, views):
    expected = by_hand(run, data_dir, images, views)
    collected = evaluate(workdir, views)
    np.testing.assert_array_equal(collected.labels, labels)
    np.testing.assert_allclose(collected.probabilities, expected, atol=2e-5)
    rank = ranks(expected, labels)
    assert collected.errors.count == len(labels) == 21
    assert collected.errors.top_1_errors == (rank >= 1).sum()
    assert collected.errors.top_5_errors == (rank >= 5).sum()
    chosen = expected[np.arange(21), labels]
    assert collected.errors.loss == pytest.approx(-np.log(chosen).mean(), rel=1e-4)


def test_the_views_disagree_so_that_averaging_matters(run, data_dir, images):
    one, ten = (by_hand(run, data_dir, images, views) for views in (1, 10))
    assert np.abs(one - ten).max() > 0.01


@pytest.mark.parametrize("batch_size", [1, 4, 21, 64])
def test_every_image_counts_once_whatever_the_batch(workdir, batch_size):
    settings = ensemble.Settings(views=1, batch_size=batch_size)
    report = ensemble.evaluate_runs([str(workdir)], settings)
    whole = ensemble.evaluate_runs([str(workdir)], ensemble.Settings(views=1))
    errors, expected = (r["runs"][0]["errors"]["1"] for r in (report, whole))
    assert errors["count"] == 21
    assert errors["top_1_errors"] == expected["top_1_errors"]
    assert errors["top_5_errors"] == expected["top_5_errors"]
    assert errors["loss"] == pytest.approx(expected["loss"], rel=1e-5)


def test_scores_are_told_with_the_place_of_their_first_image(workdir, labels):
    settings = ensemble.Settings(views=1, batch_size=8, checkpoint="any")
    (found,) = ensemble.open_runs([str(workdir)], settings).evaluators()
    parts = list(found.scored())
    assert [part.first for part in parts] == [0, 8, 16]
    assert np.concatenate([part.labels for part in parts]).tolist() == labels.tolist()
    assert [part.probabilities[1].shape for part in parts] == [(8, 7), (8, 7), (5, 7)]


def test_ties_rank_by_class_number_and_what_is_no_number_is_wrong():
    # Classes 0, 1 and 2 tie for the first place, 3 to 6 for the last.
    scores = np.array([[0.3, 0.3, 0.3, 0.025, 0.025, 0.025, 0.025]] * 7, np.float32)
    errors = evaluator.errors_of(SOFTMAX, scores, np.arange(7, dtype=np.int32))
    assert (errors.top_1_errors, errors.top_5_errors) == (6, 2)
    undefined = np.full((1, 7), np.nan, np.float32)
    errors = evaluator.errors_of(SOFTMAX, undefined, np.zeros(1, np.int32))
    assert (errors.top_1_errors, errors.top_5_errors, errors.count) == (1, 1, 1)


def test_errors_of_counts_exactly_beyond_one_part():
    labels = np.arange(10_001, dtype=np.int32) % 2
    scores = np.tile(np.float32([0.75, 0.25]), (10_001, 1))
    errors = evaluator.errors_of(SOFTMAX, scores, labels)
    assert (errors.top_1_errors, errors.count) == (5_000, 10_001)
    assert errors.loss == pytest.approx(
        (5_001 * -np.log(0.75) + 5_000 * -np.log(0.25)) / 10_001, rel=1e-5
    )


def test_an_ensemble_is_the_mean_of_probabilities(
    workdir, other_workdir, data_dir, run, images, labels
):
    report = ensemble.evaluate_runs([str(workdir), str(other_workdir)], ensemble.Settings())
    other = restore.load(str(other_workdir))
    # The second run subtracts three numbers, not an image.
    pixels = images.astype(np.float32) - other.facts.channel_mean.astype(np.float32)
    total = np.zeros((21, 7))
    for y, x in [(0, 0), (0, 6), (3, 3), (6, 0), (6, 6)]:
        crops = pixels[:, y : y + CROP, x : x + CROP]
        for crop in (crops, crops[:, :, ::-1]):
            total += softmax(np.asarray(other.model(crop, training=False), np.float64))
    mean = (by_hand(run, data_dir, images, 10) + total / 10) / 2
    errors = report["ensemble"]["errors"]["10"]
    rank = ranks(mean, labels)
    assert errors["top_1_errors"] == (rank >= 1).sum()
    assert errors["loss"] == pytest.approx(-np.log(mean[np.arange(21), labels]).mean(), rel=1e-4)
    assert [run["step"] for run in report["runs"]] == [30, 30]
    assert report["num_classes"] == 7


def test_a_run_is_not_averaged_with_itself(workdir):
    with pytest.raises(UsageError, match="twice"):
        ensemble.evaluate_runs([str(workdir), str(workdir) + "/"], ensemble.Settings())


def test_a_work_folder_without_a_name_is_refused():
    """`--workdir=A,` would otherwise speak of the folder `.`, which nobody named."""
    ensemble.check_distinct(["a", "b"])
    with pytest.raises(UsageError, match="one of the work folders has an empty name: 'a,'"):
        ensemble.check_distinct(["a", ""])
