"""compare: recipes, curves and errors of runs side by side, paired image by image."""

from __future__ import annotations

import json
import math
import shutil

import numpy as np
import pytest

from alexnet_common import command
from alexnet_tf import compare
from tests.analysis.test_history import lines, write
from tests.helpers import finished_run
from tests.helpers.evaluated import evaluate


def call(capsys, *arguments) -> tuple[int, str, str]:
    status = command.call(
        compare.define_flags, compare.main, compare.__doc__, [str(part) for part in arguments]
    )
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def wrong(workdir, k: int) -> np.ndarray:
    """Which images a run gets wrong on 10 views; equal probabilities rank by class number."""
    found = evaluate(workdir, 10)
    order = np.argsort(-found.probabilities, axis=1, kind="stable")[:, :k]
    return ~(order == found.labels[:, None]).any(axis=1)


@pytest.fixture(scope="module")
def newest_only(data_dir, tmp_path_factory):
    """A run without a best checkpoint, in a folder of the same name as another's."""
    folder = tmp_path_factory.mktemp("compare") / "run"
    made = finished_run.make(folder, data_dir, seed=5, best=False)
    write(made / "metrics.jsonl", lines([0.01, 0.001]))
    return made


def test_three_runs(workdir, other_workdir, newest_only, tmp_path, capsys):
    runs = [workdir, other_workdir, newest_only]
    status, out, err = call(capsys, *runs, f"--output_dir={tmp_path}")
    assert status == 0
    found = json.loads(out)
    assert json.loads((tmp_path / "comparison.json").read_text()) == found
    assert {path.name for path in tmp_path.iterdir()} == {
        "comparison.json",
        "curves.png",
        "curves.svg",
    }
    assert [run["name"] for run in found["runs"]] == ["run", "other_run", "run-2"]
    assert found["differences"] == {
        "preprocess.mean": ["image", "channel", "image"],
        "seed": [0, 1, 5],
    }
    assert [errors["checkpoint"] for errors in found["errors"]] == ["best", "best", "newest"]
    for errors, run in zip(found["errors"], runs, strict=True):
        for k in (1, 5):
            assert errors[f"top_{k}_error"]["number"] == wrong(run, k).sum()
    pairs = [(0, 1), (0, 2), (1, 2)]
    assert len(found["mcnemar"]) == 3
    for (first, second), test in zip(pairs, found["mcnemar"], strict=True):
        for k in (1, 5):
            one, two = wrong(runs[first], k), wrong(runs[second], k)
            b, c = int((one & ~two).sum()), int((two & ~one).sum())
            tail = sum(math.comb(b + c, i) for i in range(min(b, c) + 1)) / 2 ** (b + c)
            assert test[f"top_{k}"] == {
                "only_first_wrong": b,
                "only_second_wrong": c,
                "p_value": pytest.approx(min(1.0, 2 * tail)),
            }
    assert found["runs"][2]["best_epoch"]["epoch"] == 2
    assert "none yet" in err and "30.00% (epoch 2)" in err
    assert "preprocess.mean" in err and "McNemar" in err


def test_a_run_that_has_only_begun_is_compared_by_its_recipe(workdir, tmp_path, capsys):
    begun = tmp_path / "begun"
    begun.mkdir()
    shutil.copy(workdir / "config.json", begun)
    status, out, err = call(capsys, workdir, begun, "--views=1")
    assert status == 0
    found = json.loads(out)
    assert found["notes"] == ["begun has no checkpoint yet"] and found["mcnemar"] == []
    assert [errors["name"] for errors in found["errors"]] == ["run"]
    assert found["differences"] == {} and "(no setting differs)" in err


def test_without_evaluation(workdir, other_workdir, capsys):
    status, out, _ = call(capsys, workdir, other_workdir, "--noevaluate")
    assert status == 0 and json.loads(out)["errors"] == []


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["RUN"], 2, "at least two"),
        (["RUN", "nowhere"], 1, "does not exist"),
        (["RUN", "RUN/"], 2, "twice"),
    ],
)
def test_what_cannot_be_compared_is_one_line(arguments, status, message, workdir, capsys):
    arguments = [argument.replace("RUN", str(workdir)) for argument in arguments]
    found, out, err = call(capsys, *arguments)
    assert (found, out) == (status, "")
    assert err.startswith("error: ") and err.count("\n") == 1 and message in err
