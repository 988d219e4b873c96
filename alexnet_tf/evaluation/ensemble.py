"""The errors of one run or of several and their ensemble, on 1 and on 10 views.

Section 4.1 averages the softmax outputs of ten views; table 2 averages over networks as well. Both
are arithmetic means of probabilities, followed by one decision per image.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from alexnet_common.counting import counted
from alexnet_common.errors import UsageError, UserError
from alexnet_tf import recipes
from alexnet_tf.devices import distribution, failures
from alexnet_tf.evaluation import predict
from alexnet_tf.evaluation.evaluator import Errors, Evaluator, Scored, errors_of
from alexnet_tf.runs import dataset_copy, restore
from alexnet_tf.runs.workdir import WorkFolder
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
        checkpoint: "best", "newest", or "any": the best where a run has one, else the newest.
        data_dir: dataset to evaluate on; empty: the one the first run was trained on.
        batch_size: images per step; 0: the config's, divided by the number of views.
    """

    views: int = 10
    split: str = "validation"
    checkpoint: str = "best"
    data_dir: str = ""
    batch_size: int = 0


@dataclasses.dataclass(frozen=True, eq=False)
class Opened:
    """Runs that fit together, and the data to evaluate them on."""

    runs: list[restore.TrainedRun]
    data: dataset.Dataset
    settings: Settings

    @property
    def view_counts(self) -> tuple[int, ...]:
        """For how many views errors are reported."""
        return predict.view_counts(self.settings.views)

    def evaluators(self) -> list[Evaluator]:
        """One for each run, with batches of one size."""
        # Ten views are ten rows of the network's batch: divided, they need no more memory than one.
        smallest = min(run.config.evaluation.batch_size for run in self.runs)
        batch_size = self.settings.batch_size or max(1, smallest // self.settings.views)
        return [
            Evaluator(
                run.model,
                run.prepare,
                self.data,
                one_device(),
                split=self.settings.split,
                table=run.table,
                views=self.settings.views,
                batch_size=batch_size,
                threads=run.config.input.threads,
            )
            for run in self.runs
        ]


def open_runs(workdirs: Sequence[str], settings: Settings, *, averaged: bool = True) -> Opened:
    """Restores runs and finds whatever keeps them from being evaluated, before any computing.

    Args:
        workdirs: their work folders.
        settings: what to evaluate on.
        averaged: whether their outputs will be averaged, and must mean the same.

    Raises:
        UserError: a folder without a run, classes that differ, a dataset that is not there, no
            such split or no image in it.
    """
    check_distinct(workdirs)
    data: dataset.Dataset | None = None
    runs: list[restore.TrainedRun] = []
    for workdir in workdirs:
        which = settings.checkpoint
        if which == "any":
            which = next(iter(restore.available(WorkFolder(workdir))), "newest")
        run = restore.load(workdir, which, settings.data_dir)
        if data is None:
            data = _data(run, settings.data_dir)
            if not data.split(settings.split).count:
                raise UserError(f"{data.directory}: the split {settings.split} has no images")
        dataset_copy.check_classes(run.facts, data, f"the run in {workdir}")
        _check_size(run, data)
        if runs and averaged:
            _check_cost(runs[0].table, run)
        runs.append(run)
    assert data is not None
    return Opened(runs, data, settings)


def score(
    opened: Opened, evaluators: Sequence[Evaluator], progress: Progress | None = None
) -> Iterator[tuple[tuple[Scored, ...], Scored]]:
    """Every run's scores of the images of the split, and their mean, batch by batch.

    Memory holds one batch at a time, however many runs there are.

    Args:
        opened: the runs.
        evaluators: as `opened.evaluators()` made them; at the end they have their runs' errors.
        progress: told how it goes.

    Yields:
        For consecutive images the runs' scores, in the order of the runs, and the mean of their
        probabilities (of one run: the same).

    Raises:
        UserError: a record is damaged, or the device has too little memory.
    """
    views = opened.settings.views
    names = " + ".join(run.folder.name for run in opened.runs)
    label = f"{names}, {counted(views, 'view')}"
    update = progress(label, evaluators[0].examples) if progress else lambda count: None
    try:
        for parts in zip(*(evaluator.scored() for evaluator in evaluators), strict=True):
            first = parts[0]
            means = {
                count: sum(part.probabilities[count] for part in parts) / np.float32(len(parts))
                for count in opened.view_counts
            }
            yield parts, Scored(first.first, first.labels, means)
            update(len(first.labels))
    except tf.errors.ResourceExhaustedError as error:
        raise UserError("out of memory on the device; try a smaller --batch_size") from error
    except tf.errors.OpError as error:
        raise failures.explain(error, workers=1, doing="the evaluation") from error


def evaluate_runs(
    workdirs: Sequence[str], settings: Settings, progress: Progress | None = None
) -> dict[str, Any]:
    """Evaluates each run, and the mean of their probabilities where there are several.

    Returns:
        A report for JSON: `data_dir`, `split`, `count`, `num_classes`, `runs` (each with `errors`
        by number of views) and `ensemble` (the same, or None for one run).

    Raises:
        UserError: as `open_runs` and `score`.
    """
    opened = open_runs(workdirs, settings)
    evaluators = opened.evaluators()
    several = len(opened.runs) > 1
    of_mean: dict[int, Errors] = {}
    for _, mean in score(opened, evaluators, progress):
        if several:
            for views, probabilities in mean.probabilities.items():
                errors = errors_of(opened.runs[0].table, probabilities, mean.labels)
                of_mean[views] = of_mean[views] + errors if views in of_mean else errors
    return {
        "data_dir": opened.data.directory,
        "split": settings.split,
        "count": evaluators[0].examples,
        "num_classes": opened.data.num_classes,
        "runs": [
            describe(run) | {"errors": _by_views(evaluator.errors)}
            for run, evaluator in zip(opened.runs, evaluators, strict=True)
        ],
        "ensemble": {"runs": len(opened.runs), "errors": _by_views(of_mean)} if several else None,
    }


def above_limits(report: dict[str, Any], limits: Mapping[int, float | None]) -> list[str]:
    """What is above its limit in a report of `evaluate_runs`, a line each.

    Judged are the errors of the ensemble, or of the one run, averaged over all views.

    Args:
        report: as `evaluate_runs` returns it.
        limits: the largest top-k error (a share, 0..1) by k; None: no limit.
    """
    judged = report["ensemble"] or report["runs"][0]
    views, errors = list(judged["errors"].items())[-1]
    lines = []
    for k, limit in limits.items():
        error = errors[f"top_{k}_error"]
        if limit is not None and error > limit:
            lines.append(
                f"top-{k} error {error:.2%} ({errors[f'top_{k}_errors']:,} of {errors['count']:,} "
                f"images, {counted(int(views), 'view')}) is above the limit of "
                f"{100 * limit:g}%"
            )
    return lines


def table_text(report: dict[str, Any]) -> str:
    """The report as a table for people."""
    classes = report["num_classes"]
    lines = [
        f"{counted(report['count'], 'image')} of the {report['split']} split of "
        f"{report['data_dir']}, {counted(classes, 'class', 'classes')}"
    ]
    if classes != 1000:
        lines.append(f"(errors among {classes:,} classes do not compare with ImageNet's 1,000)")
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
            for cost, found in error.get("costs", {}).items():
                own = found.get("top_1_error")
                lines.append(
                    f"{'  cost ' + cost:{width}}  {'':>5}  "
                    f"{'' if own is None else format(own, '.2%'):>10}   {'':>10}  "
                    f"{found['loss']:>7.4f}"
                )
    return "\n".join(lines)


def _name(run: dict[str, Any]) -> str:
    return f"{run['workdir']} (epoch {run['epoch']}, {run['checkpoint']})"


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


def describe(run: restore.TrainedRun) -> dict[str, Any]:
    """Which run, and which of its checkpoints, for JSON."""
    return {
        "workdir": str(run.folder),
        "recipe": run.config.name,
        "network": run.table.name,
        "checkpoint": run.which,
        "epoch": run.state["epoch"],
        "step": run.state["step"],
    }


def _by_views(errors: dict[int, Errors]) -> dict[str, Any]:
    return {str(views): total.as_dict() for views, total in errors.items()}


def _check_size(run: restore.TrainedRun, data: dataset.Dataset) -> None:
    if run.facts.image_size != data.image_size:
        raise UserError(
            f"{data.directory} holds images of {data.image_size}x{data.image_size} pixels, "
            f"{run.folder} was trained on {run.facts.image_size}x{run.facts.image_size}; convert "
            f"with --image_size={run.facts.image_size}"
        )


def _check_cost(first: Table, run: restore.TrainedRun) -> None:
    """Scores of different meaning have no mean."""
    kinds = [table.cost.kind if table.cost else "logreg" for table in (first, run.table)]
    if kinds[0] != kinds[1]:
        raise UserError(
            f"{run.folder} was trained with the cost {kinds[1]}, the runs before it with "
            f"{kinds[0]}: their outputs cannot be averaged; evaluate them one by one"
        )


def check_distinct(workdirs: Sequence[str]) -> None:
    """Refuses no folder at all, an empty name, and a folder named twice; raises UsageError."""
    if not workdirs:
        raise UsageError("no work folder is named")
    if not all(map(str.strip, workdirs)):
        listed = ",".join(workdirs)
        raise UsageError(f"one of the work folders has an empty name: {listed!r}")
    seen: dict[str, str] = {}
    for workdir in workdirs:
        place = os.path.realpath(workdir)
        if place in seen:
            raise UsageError(f"the work folder {workdir} is named twice")
        seen[place] = workdir
