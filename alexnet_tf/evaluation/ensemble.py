"""The errors of one run or of several and their ensemble, on 1 and on 10 views.

Section 4.1 averages the softmax outputs of ten views; table 2 averages over networks as well. Both
are arithmetic means of probabilities, followed by one decision per image.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from alexnet_common.errors import UsageError, UserError
from alexnet_tf import config as recipes
from alexnet_tf.devices import distribution
from alexnet_tf.evaluation.evaluator import Collected, Evaluator, errors_of
from alexnet_tf.runs import dataset_copy, restore
from alexnet_tf.tables.table import Table
from data_prep import dataset

# Called with what is being evaluated and its number of images; returns what is told, batch by
# batch, how many images are done.
Progress = Callable[[str, int], Callable[[int], None]]


@dataclasses.dataclass(frozen=True)
class Settings:
    """What to evaluate on.

    Attributes:
        views: 1, or 10, which reports the centre view alone beside it.
        split: "validation" or "train".
        checkpoint: "best" or "newest".
        data_dir: dataset to evaluate on; empty: the one the first run was trained on.
        batch_size: images per step; 0: the config's, divided by the number of views.
    """

    views: int = 10
    split: str = "validation"
    checkpoint: str = "best"
    data_dir: str = ""
    batch_size: int = 0


def evaluate_runs(
    workdirs: Sequence[str], settings: Settings, progress: Progress | None = None
) -> dict[str, Any]:
    """Evaluates each run, and the mean of their probabilities where there are several.

    Returns:
        A report for JSON: `data_dir`, `split`, `count`, `num_classes`, `runs` (each with `errors`
        by number of views) and `ensemble` (the same, or None for one run).

    Raises:
        UserError: a folder without a run, classes that differ, a dataset that is not there.
    """
    _check_distinct(workdirs)
    views = (1,) if settings.views == 1 else (1, settings.views)
    sums: dict[int, np.ndarray] = {}
    labels: np.ndarray | None = None
    reports: list[dict[str, Any]] = []
    data: dataset.Dataset | None = None
    table: Table | None = None
    for workdir in workdirs:
        run = restore.load(workdir, settings.checkpoint, settings.data_dir)
        if data is None:
            data = _data(run, settings.data_dir)
        dataset_copy.check_classes(run.facts, data, f"the run in {workdir}")
        _check_size(run, data)
        table = table or run.table
        _check_cost(table, run)
        found = {}
        for count in views:
            collected = _collect(run, data, count, settings, progress)
            found[count] = collected.errors
            labels = collected.labels
            if len(workdirs) > 1:
                sums[count] = sums.get(count, 0.0) + collected.probabilities
        reports.append(_describe(run) | {"errors": _by_views(found)})
    assert data is not None and table is not None and labels is not None
    ensemble = None
    if len(workdirs) > 1:
        means = {count: total / len(workdirs) for count, total in sums.items()}
        errors = {count: errors_of(table, mean, labels) for count, mean in means.items()}
        ensemble = {"runs": len(workdirs), "errors": _by_views(errors)}
    return {
        "data_dir": data.directory,
        "split": settings.split,
        "count": len(labels),
        "num_classes": data.num_classes,
        "runs": reports,
        "ensemble": ensemble,
    }


def table_text(report: dict[str, Any]) -> str:
    """The report as a table for people."""
    classes = report["num_classes"]
    lines = [
        f"{report['count']:,} images of the {report['split']} split of {report['data_dir']}, "
        f"{classes} classes"
    ]
    if classes != 1000:
        lines.append(f"(errors among {classes} classes do not compare with ImageNet's 1000)")
    if classes <= 5:
        lines.append(f"(with {classes} classes every answer is among the best 5)")
    rows = [(_name(run), run["errors"]) for run in report["runs"]]
    if report["ensemble"]:
        rows.append((f"mean of {report['ensemble']['runs']} runs", report["ensemble"]["errors"]))
    width = max(len(name) for name, _ in rows)
    lines.append(f"{'':{width}}  views  top-1 error  top-5 error    loss")
    for name, errors in rows:
        for views, error in errors.items():
            lines.append(
                f"{name:{width}}  {views:>5}  {error['top_1_error']:>10.2%}   "
                f"{error['top_5_error']:>10.2%}  {error['loss']:>7.4f}"
            )
            name = ""
    return "\n".join(lines)


def _name(run: dict[str, Any]) -> str:
    return f"{run['workdir']} (epoch {run['epoch']}, {run['checkpoint']})"


def _collect(
    run: restore.TrainedRun,
    data: dataset.Dataset,
    views: int,
    settings: Settings,
    progress: Progress | None,
) -> Collected:
    # Ten views are ten rows of the network's batch: divided, they need no more memory than one.
    batch_size = settings.batch_size or max(1, run.config.evaluation.batch_size // views)
    evaluator = Evaluator(
        run.model,
        run.prepare,
        data,
        one_device(),
        split=settings.split,
        table=run.table,
        views=views,
        batch_size=batch_size,
        threads=run.config.input.threads,
    )
    label = f"{run.folder.name}, {views} view{'s' if views > 1 else ''}"
    return evaluator.collect(progress and progress(label, evaluator.examples))


def one_device() -> distribution.Distribution:
    """Where evaluation computes, also of a run that trained on many devices: the default."""
    return distribution.make(recipes.load("default"))


def _data(run: restore.TrainedRun, data_dir: str) -> dataset.Dataset:
    try:
        return dataset.load(data_dir or run.config.data_dir)
    except dataset.DatasetError as error:
        if data_dir:
            raise
        raise UserError(
            f"the dataset that {run.folder} was trained on is not at {run.config.data_dir} any "
            "more: pass its new place, or another dataset of the same classes, with --data_dir=DIR"
        ) from error


def _describe(run: restore.TrainedRun) -> dict[str, Any]:
    return {
        "workdir": str(run.folder),
        "recipe": run.config.name,
        "network": run.table.name,
        "checkpoint": run.which,
        "epoch": run.state["epoch"],
        "step": run.state["step"],
    }


def _by_views(errors: dict[int, Any]) -> dict[str, Any]:
    return {str(views): found.as_dict() for views, found in errors.items()}


def _check_size(run: restore.TrainedRun, data: dataset.Dataset) -> None:
    if run.facts.image_size != data.image_size:
        raise UserError(
            f"{data.directory} holds images of {data.image_size}x{data.image_size} pixels, "
            f"{run.folder} was trained on {run.facts.image_size}x{run.facts.image_size}; convert "
            f"with --image_size={run.facts.image_size}"
        )


def _check_cost(first: Table, run: restore.TrainedRun) -> None:
    """Scores of different meaning have no mean."""
    kinds = [each.cost.kind if each.cost else "logreg" for each in (first, run.table)]
    if kinds[0] != kinds[1]:
        raise UserError(
            f"{run.folder} was trained with the cost {kinds[1]}, the runs before it with "
            f"{kinds[0]}: their outputs cannot be averaged; evaluate them one by one"
        )


def _check_distinct(workdirs: Sequence[str]) -> None:
    if not workdirs:
        raise UsageError("--workdir names no folder")
    seen: dict[str, str] = {}
    for workdir in workdirs:
        place = os.path.realpath(workdir)
        if place in seen:
            raise UsageError(f"--workdir names {workdir} twice")
        seen[place] = workdir
