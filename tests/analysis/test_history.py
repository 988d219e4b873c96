"""metrics.jsonl, whole, half-written and damaged; and its curves."""

from __future__ import annotations

import json

import numpy as np
import pytest

from alexnet_common.errors import UserError
from alexnet_tf.analysis import curves, history, plots
from tests.analysis.test_plots import texts


def lines(rates: list[float], per_epoch: int = 10, every: int = 4) -> list[dict]:
    """A run with one rate per epoch, whose errors fall until the third and then rise."""
    found = []
    for epoch, rate in enumerate(rates, 1):
        first = (epoch - 1) * per_epoch
        common = {"epoch": epoch, "learning_rate": rate, "loss": 3.0 / epoch, "top_1_error": 0.5}
        common["top_5_error"] = 0.1
        for step in range(first + 1, first + per_epoch + 1):
            if step % every == 0:
                speed = {"images_per_second": 100.0 + step}
                found.append({"kind": "train", "step": step, "timing": speed} | common)
        found.append(
            {
                "kind": "epoch",
                "step": first + per_epoch,
                "val_top_1_error": 0.2 + 0.1 * abs(epoch - 3),
                "val_top_5_error": 0.1,
                "val_loss": 1.0,
                "val_count": 50,
                "timing": {"train_seconds": 7.0, "evaluation_seconds": 0.5},
            }
            | common
        )
    return found


def write(path, found: list[dict], ending: str = ""):
    path.write_text("".join(json.dumps(line) + "\n" for line in found) + ending)
    return path


def test_what_a_history_tells(tmp_path):
    found = history.read(write(tmp_path / "m", lines([0.01, 0.01, 0.001, 0.0001])))
    assert [line["step"] for line in found.epochs] == [10, 20, 30, 40]
    assert found.steps_per_epoch == 10
    assert found.best is not None and found.best["epoch"] == 3
    assert found.seconds == 4 * 7.5
    # Steps 4, 8, ..., 40: ten speeds, 104 to 140; the upper of the two middle ones.
    assert found.images_per_second == 124.0
    cuts = [(cut.step, cut.epoch, cut.before, cut.after) for cut in found.rate_cuts()]
    assert cuts == [(20, 2.0, 0.01, 0.001), (30, 3.0, 0.001, 0.0001)]


def test_a_rate_that_rises_or_always_falls_has_no_cuts(tmp_path):
    warm_up = history.read(write(tmp_path / "a", lines([0.001, 0.01])))
    assert warm_up.rate_cuts() == []
    cosine = history.read(write(tmp_path / "b", lines([0.9**n for n in range(30)])))
    assert cosine.rate_cuts() == []


@pytest.mark.parametrize("ending", ['{"kind": "tr', '{"kind": "train"}', "\0\0\0"])
def test_a_line_that_is_being_written_is_left_out(tmp_path, ending):
    found = history.read(write(tmp_path / "m", lines([0.01]), ending))
    assert len(found.intervals) == 2 and len(found.epochs) == 1


def test_a_damaged_line_within_is_named(tmp_path):
    path = write(tmp_path / "m", lines([0.01]), '{"kind"\n' + json.dumps(lines([1.0])[0]))
    with pytest.raises(UserError, match="line 4 is damaged"):
        history.read(path)


def test_nothing_yet(tmp_path):
    empty = history.read(tmp_path / "missing")
    assert empty.best is None and empty.rate_cuts() == [] and empty.steps_per_epoch is None
    assert empty.images_per_second is None and empty.seconds == 0
    curves.draw({"run": empty})


def test_curves_say_epochs_rates_and_names(tmp_path):
    cut = history.read(write(tmp_path / "a", lines([0.01, 0.001, 0.001])))
    one = texts(plots.svg(curves.draw({"my run": cut})))
    assert {"Loss", "Top-1 error", "epoch", "validation", "training", " rate 0.001"} <= set(one)
    assert "my run" not in one
    begun = history.read(write(tmp_path / "b", lines([0.01])[:2]))
    two = texts(
        plots.svg(curves.draw({"<one>": cut, "two": begun, "three": history.History([], [])}))
    )
    assert {"<one>", "two", "step"} <= set(two) and "three" not in two


def test_the_legend_hides_no_curve(tmp_path):
    """Also where errors are as high at the end as they were at the beginning."""
    epochs = lines([0.01] * 12)
    for line in epochs:
        line["top_1_error"] = 0.9
        if "val_top_1_error" in line:
            line["val_top_1_error"] = 0.85
    found = history.read(write(tmp_path / "a", epochs))
    figure = curves.draw({"one": found, "two": found})
    figure.canvas.draw()
    (axes,) = [axis for axis in figure.axes if axis.get_legend()]
    box = axes.get_legend().get_window_extent()
    drawn = [line for line in axes.get_lines() if len(line.get_xdata())]
    points = np.concatenate([line.get_transform().transform(line.get_xydata()) for line in drawn])
    assert len(points) >= 4 * 12
    assert not [point for point in points if box.contains(*point)]


def test_curves_hold_the_numbers_of_the_file(tmp_path):
    found = history.read(write(tmp_path / "a", lines([0.01, 0.01, 0.001, 0.001])))
    axes = {axis.get_title(loc="left"): axis for axis in curves.draw({"run": found}).axes}
    drawn = [line.get_xydata().tolist() for line in axes["Top-1 error"].get_lines()]
    validated = [points for points in drawn if len(points) == 4 and points[0][1] < 0.5]
    assert validated == [[[1, 0.4], [2, pytest.approx(0.3)], [3, 0.2], [4, pytest.approx(0.3)]]]
    means = [[epoch, 3.0 / epoch] for epoch in range(1, 5)]
    assert means in [line.get_xydata().tolist() for line in axes["Loss"].get_lines()]
