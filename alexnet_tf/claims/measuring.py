"""What is taken from finished runs: one number per row of the ledger."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from alexnet_tf.claims import ensemble_weights, neighbours

Measure = Callable[[Sequence[Path], str], "float | None"]
"""From the work folders behind a row and the dataset's folder to a number; None: not reached."""

THRESHOLD = 0.25
"""Training error of figure 1."""
_IMAGES_AT_ONCE = 100


def epochs(folder: Path) -> list[dict[str, Any]]:
    """The epoch lines of a run's metrics, oldest first."""
    path = folder / "metrics.jsonl"
    if not path.is_file():
        return []
    lines = (json.loads(line) for line in path.read_text().splitlines())
    return [line for line in lines if line["kind"] == "epoch"]


def _last(key: str) -> Measure:
    def measure(folders: Sequence[Path], data_dir: str) -> float | None:
        values = [
            float(lines[-1][key]) for lines in map(epochs, folders) if lines and key in lines[-1]
        ]
        return float(np.mean(values)) if len(values) == len(folders) else None

    return measure


def gap(folders: Sequence[Path], data_dir: str) -> float | None:
    """Validation error less training error after the last epoch: overfitting."""
    validation = _last("val_top_1_error")(folders, data_dir)
    training = _last("top_1_error")(folders, data_dir)
    return None if validation is None or training is None else validation - training


def mean_loss(folders: Sequence[Path], data_dir: str) -> float | None:
    """Mean training loss over a whole short run: the area under its curve, early learning."""
    values = [np.mean([line["loss"] for line in lines]) for lines in map(epochs, folders) if lines]
    return float(np.mean(values)) if len(values) == len(folders) else None


def accuracy(folders: Sequence[Path], data_dir: str) -> float | None:
    """Share of validation images whose best class is right, after the last epoch."""
    error = _last("val_top_1_error")(folders, data_dir)
    return None if error is None else 1 - error


def epochs_to_threshold(folders: Sequence[Path], data_dir: str) -> float | None:
    """Epochs until the training error of an epoch is `THRESHOLD`, interpolated between epochs.

    Returns:
        Minus the number of epochs where a run ended above it (a censored observation).
    """
    lines = epochs(folders[0])
    return epochs_until([line["top_1_error"] for line in lines], THRESHOLD) if lines else None


def epochs_until(errors: Sequence[float], threshold: float) -> float:
    """First crossing of a falling curve, in epochs; minus its length if it does not cross."""
    for number, error in enumerate(errors):
        if error <= threshold:
            before = errors[number - 1] if number else 1.0
            return number + (before - threshold) / (before - error) if before > error else number
    return -float(len(errors))


def error_of_views(views: int) -> Measure:
    """Validation error of the newest checkpoint on 1 or 10 views, of the members' mean."""

    def measure(folders: Sequence[Path], data_dir: str) -> float | None:
        report = _evaluated(folders, data_dir)
        errors = report["ensemble"] or report["runs"][0]
        return float(errors["errors"][str(views)]["top_1_error"])

    return measure


def mean_error_of_members(folders: Sequence[Path], data_dir: str) -> float | None:
    """Mean over the members of their own validation errors on 1 view."""
    report = _evaluated(folders, data_dir)
    errors = [run["errors"]["1"]["top_1_error"] for run in report["runs"]]
    return float(np.mean(errors))


def color_gap(folders: Sequence[Path], data_dir: str) -> float | None:
    """How differently the two columns' conv1 kernels are coloured.

    The absolute difference of the columns' mean chroma scores, in deviations of that difference
    when kernels are dealt to the columns at random (section 6.1, figure 3): about 0.8 on average
    where nothing is behind it.
    """
    from alexnet_tf.pictures import kernels
    from alexnet_tf.runs import checkpoint

    newest = checkpoint.load_newest(folders[0] / "checkpoints")
    if newest is None:
        return None
    scores = [kernels.color_scores(column) for column in kernels.first_kernels(newest.weights)[1]]
    if len(scores) != 2:
        return None
    together = np.concatenate(scores)
    size = len(scores[0])
    random = np.random.default_rng(0)
    dealt = []
    for _ in range(2000):
        random.shuffle(together)
        dealt.append(together[:size].mean() - together[size:].mean())
    return float(abs(scores[0].mean() - scores[1].mean()) / np.std(dealt))


def _evaluated(folders: Sequence[Path], data_dir: str) -> dict[str, Any]:
    """The report of `alexnet_tf.evaluate`, kept beside the first run.

    Of one run on 1 and on 10 views, of several on 1.
    """
    cache = folders[0] / f"evaluation-of-{len(folders)}.json"
    if cache.is_file():
        return json.loads(cache.read_text())
    from alexnet_common import files
    from alexnet_tf.evaluation import ensemble

    views = 10 if len(folders) == 1 else 1
    settings = ensemble.Settings(
        views=views, checkpoint="newest", data_dir=data_dir, batch_size=_IMAGES_AT_ONCE
    )
    report = ensemble.evaluate_runs([str(folder) for folder in folders], settings)
    files.write_atomically(cache, json.dumps(report).encode())
    return report


MEASURES: dict[str, tuple[str, Measure]] = {
    "validation_error": ("top-1 validation error after the last epoch", _last("val_top_1_error")),
    "training_error": ("top-1 training error of the last epoch", _last("top_1_error")),
    "training_loss": ("training loss of the last epoch, data term alone", _last("loss")),
    "gap": ("validation error less training error after the last epoch", gap),
    "mean_loss": ("mean training loss over the whole short run", mean_loss),
    "accuracy": ("top-1 validation accuracy after the last epoch", accuracy),
    "neighbours_by_fc7": (
        "share of the 10 nearest training images by fc7 that have a validation image's class",
        neighbours.precision_by_layer,
    ),
    "neighbours_by_pixels": (
        "share of the 10 nearest training images by pixels that have a validation image's class",
        neighbours.precision_by_pixels,
    ),
    "epochs_to_25": ("epochs to 25% training error", epochs_to_threshold),
    "error_1_view": ("top-1 validation error, 1 view", error_of_views(1)),
    "error_10_views": ("top-1 validation error, 10 views", error_of_views(10)),
    "mean_error_of_members": ("mean top-1 error of the single networks", mean_error_of_members),
    "error_fitted_here": (
        "top-1 error of the ensemble, weights fitted on the same images",
        ensemble_weights.error_fitted_here,
    ),
    "error_fitted_elsewhere": (
        "top-1 error of the ensemble, weights fitted on other images",
        ensemble_weights.error_fitted_elsewhere,
    ),
    "color_gap": ("colour difference of the columns, in random deviations", color_gap),
}
"""What a claim may measure: words and function by name."""
