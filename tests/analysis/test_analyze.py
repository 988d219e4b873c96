"""analyze as a user runs it: every number equals one computed from the saved probabilities."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from PIL import Image

from alexnet_common import command
from alexnet_tf import analyze
from tests.helpers import finished_run, small_dataset
from tests.helpers.evaluated import evaluate

metrics = pytest.importorskip("sklearn.metrics")


def call(capsys, *arguments) -> tuple[int, str, str]:
    status = command.call(
        analyze.define_flags, analyze.main, analyze.__doc__, [str(part) for part in arguments]
    )
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.fixture(scope="module")
def analyzed(workdir, other_workdir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("analyzed")
    argv = [f"--workdir={workdir},{other_workdir}", f"--output_dir={folder}", "--mistakes=5"]
    assert command.call(analyze.define_flags, analyze.main, analyze.__doc__, argv) == 0
    return folder


@pytest.fixture(scope="module", params=["run", "other_run", "ensemble"])
def result(request, analyzed, workdir, other_workdir):
    """A result's folder, and the probabilities and labels that the evaluator finds."""
    one, other = evaluate(workdir, 10), evaluate(other_workdir, 10)
    probabilities = {
        "run": one.probabilities,
        "other_run": other.probabilities,
        "ensemble": (one.probabilities + other.probabilities) / 2,
    }[request.param]
    return analyzed / request.param, probabilities, one.labels


def rows(path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text())))


def test_saved_probabilities_equal_the_evaluators(result):
    folder, probabilities, labels = result
    saved = np.load(folder / "predictions.npz")
    np.testing.assert_allclose(saved["probabilities"], probabilities, atol=1e-6)
    np.testing.assert_array_equal(saved["labels"], labels)
    assert saved["names"].tolist() == [f"validation/{number}" for number in range(21)]


def test_predictions_follow_from_the_probabilities(result):
    folder, _, labels = result
    probabilities = np.load(folder / "predictions.npz")["probabilities"]
    found = rows(folder / "predictions.csv")
    assert len(found) == 21
    for number, row in enumerate(found):
        order = sorted(range(7), key=lambda c: (-probabilities[number, c], c))
        assert int(row["example"]) == number and row["file_name"] == f"validation/{number}"
        assert int(row["label"]) == labels[number]
        assert row["class"] == f"class_{labels[number]}"
        assert int(row["place"]) == order.index(labels[number]) + 1
        assert np.float32(row["probability"]) == probabilities[number, labels[number]]
        assert [int(row[f"label_{k}"]) for k in range(1, 6)] == order[:5]
        assert [row[f"class_{k}"] for k in range(1, 6)] == [f"class_{c}" for c in order[:5]]
        for k in range(1, 6):
            assert np.float32(row[f"probability_{k}"]) == probabilities[number, order[k - 1]]


def test_tables_equal_scikit_learn(result):
    folder, _, labels = result
    guesses = np.load(folder / "predictions.npz")["probabilities"].argmax(axis=1)
    names = [f"class_{number}" for number in range(7)]
    head, *body = csv.reader(io.StringIO((folder / "confusion.csv").read_text()))
    assert head == ["class", *names] and [row[0] for row in body] == names
    confusion = metrics.confusion_matrix(labels, guesses, labels=range(7))
    np.testing.assert_array_equal([[int(cell) for cell in row[1:]] for row in body], confusion)
    report = metrics.classification_report(
        labels, guesses, labels=range(7), output_dict=True, zero_division=0
    )
    for number, row in enumerate(rows(folder / "per_class.csv")):
        expected = report[str(number)]
        assert int(row["count"]) == expected["support"] == 3
        assert 1 - float(row["top_1_error"]) == pytest.approx(expected["recall"])
        # Of a class that no image is taken for there is no precision.
        assert float(row["precision"] or 0) == pytest.approx(expected["precision"])
    pairs = [(int(row["number"]), row["class"], row["taken_for"])
             for row in rows(folder / "most_confused.csv")]  # fmt: skip
    wrong = [(confusion[i, j], names[i], names[j])
             for i in range(7) for j in range(7) if i != j and confusion[i, j]]  # fmt: skip
    assert sorted(pairs) == sorted(wrong)
    assert [number for number, _, _ in pairs] == sorted((n for n, _, _ in wrong), reverse=True)


def test_summary(result, workdir):
    folder, _, labels = result
    summary = json.loads((folder / "summary.json").read_text())
    probabilities = np.load(folder / "predictions.npz")["probabilities"]
    wrong = probabilities.argmax(axis=1) != labels
    top_1 = summary["errors"]["10"]["top_1_error"]
    assert (top_1["number"], top_1["share"]) == (wrong.sum(), pytest.approx(wrong.mean()))
    assert top_1["low"] < top_1["share"] < top_1["high"]
    assert summary["count"] == 21 and summary["views"] == 10
    assert summary["published"] is None and "7 classes" in summary["not_comparable"]
    assert len(summary["runs"]) == (2 if folder.name == "ensemble" else 1)
    if folder.name == "run":
        for views in (1, 10):
            expected = evaluate(workdir, views).errors
            errors = summary["errors"][str(views)]
            assert errors["top_1_error"]["number"] == expected.top_1_errors
            assert errors["top_5_error"]["number"] == expected.top_5_errors
            assert errors["loss"] == pytest.approx(expected.loss, rel=1e-6)


def test_pictures_can_be_opened(result):
    folder, _, _ = result
    names = ["calibration", "confusion", "mistakes", "worst_classes"]
    assert sorted(path.stem for path in folder.glob("*.png")) == names
    for path in folder.glob("*.png"):
        pixels = np.asarray(Image.open(path).convert("L"))
        assert min(pixels.shape) > 100 and pixels.std() > 5


def test_parquet_holds_the_same_and_all_probabilities(workdir, tmp_path, capsys):
    parquet = pytest.importorskip("pyarrow.parquet")
    arguments = [f"--workdir={workdir}", "--format=both", "--views=1"]
    status, out, err = call(capsys, *arguments, f"--output_dir={tmp_path}")
    assert status == 0
    table = parquet.read_table(tmp_path / "predictions.parquet").to_pylist()
    expected = rows(tmp_path / "predictions.csv")
    for row, same in zip(table, expected, strict=True):
        for column in ("example", "file_name", "class", "label_3"):
            assert str(row[column]) == same[column]
    saved = np.load(tmp_path / "predictions.npz")["probabilities"]
    np.testing.assert_array_equal(np.float32([row["probabilities"] for row in table]), saved)
    for row in table:
        assert np.float32(row["probability"]) == saved[row["example"], row["label"]]
    assert "labels in it count from 0" in err
    assert json.loads(out) == {"run": json.loads((tmp_path / "summary.json").read_text())}


def test_without_probabilities(workdir, tmp_path, capsys):
    arguments = [f"--workdir={workdir}", "--views=1", "--noprobabilities"]
    assert call(capsys, *arguments, f"--output_dir={tmp_path}")[0] == 0
    assert (tmp_path / "predictions.csv").exists()
    assert not (tmp_path / "predictions.npz").exists()


def test_names_that_mean_something_elsewhere(tmp_path, capsys):
    """Quotes, markup, formulas, other scripts: kept in tables, harmless in figures."""
    names = ['a "b", c', "<b>&", "$x_1$", "犬", "-1+2", "\\frac"]
    data = small_dataset.make(tmp_path / "data", image_size=36, classes=6, validation=13)
    document = json.loads((data / "dataset.json").read_text())
    document["class_names"] = names
    (data / "dataset.json").write_text(json.dumps(document))
    run = finished_run.make(tmp_path / "run", data)
    folder = tmp_path / "out"
    assert call(capsys, f"--workdir={run}", f"--output_dir={folder}")[0] == 0
    assert [row["class"] for row in rows(folder / "per_class.csv")] == names


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--workdir=nowhere", "--output_dir=OUT"], 1, "does not exist"),
        (["--workdir=RUN", "--output_dir=OUT", "--split=test"], 1, "no split 'test'"),
        (["--workdir=RUN"], 2, "output_dir"),
        (["--workdir=RUN", "--output_dir=FILE"], 1, "--output_dir"),
        (["--workdir=RUN", "--output_dir=OUT", "--format=xls"], 2, "format"),
    ],
)
def test_errors_are_one_line(arguments, status, message, workdir, tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    places = {"RUN": workdir, "OUT": tmp_path / "out", "FILE": tmp_path / "file"}
    for name, place in places.items():
        arguments = [argument.replace(name, str(place)) for argument in arguments]
    found, out, err = call(capsys, *arguments)
    assert (found, out) == (status, "")
    assert err.startswith("error: ") and err.count("\n") == 1 and message in err
