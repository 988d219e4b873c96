"""One pass over a split: what runs, and the mean of their probabilities, get right and wrong."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from alexnet_common.errors import UserError
from alexnet_tf.analysis import predictions, published
from alexnet_tf.analysis.statistics import CONFIDENCE, Share, Tally, rank
from alexnet_tf.evaluation import ensemble
from alexnet_tf.inference import images, writers

# Pairs of classes in a summary.
CONFUSED_PAIRS = 20


@dataclasses.dataclass(frozen=True, eq=False)
class Result:
    """What one run, or the mean of several, makes of a split.

    Attributes:
        name: of its folder: the work folder's name, or "ensemble".
        runs: which they are, for JSON (`ensemble.describe`).
        tallies: by number of views.
        losses: mean cost, by number of views; None for a mean of several runs.
    """

    name: str
    runs: list[dict[str, Any]]
    tallies: dict[int, Tally]
    losses: dict[int, float] | None

    @property
    def views(self) -> int:
        """The largest number of views: what classes, mistakes and predictions are about."""
        return max(self.tallies)

    @property
    def tally(self) -> Tally:
        """On all views."""
        return self.tallies[self.views]


@dataclasses.dataclass(frozen=True)
class Outputs:
    """Which files to write while the images pass by.

    Attributes:
        folder: where; a folder inside it for each result where there are several.
        table: "csv", "parquet" or "both".
        probabilities: also predictions.npz, with all of them.
    """

    folder: str
    table: str = "csv"
    probabilities: bool = True


def analyze(
    opened: ensemble.Opened,
    *,
    mistakes: int = 24,
    outputs: Outputs | None = None,
    progress: ensemble.Progress | None = None,
) -> list[Result]:
    """Runs over the split once.

    Args:
        opened: the runs and their data.
        mistakes: how many of the surest mistakes are kept.
        outputs: files of predictions to write; None: none.
        progress: told how it goes.

    Returns:
        A result for each run and, where there are several, one of their mean.

    Raises:
        UserError: a record is damaged, or a probability is not finite.
        OSError: a file cannot be written.
    """
    evaluators = opened.evaluators()
    names = unique_names([run.folder.name for run in opened.runs])
    described = [ensemble.describe(run) for run in opened.runs]
    several = len(names) > 1
    groups = [[one] for one in described] + ([described] if several else [])
    names += ["ensemble"] if several else []
    tallies = [
        {views: Tally(opened.data.num_classes, mistakes) for views in opened.view_counts}
        for _ in names
    ]
    split = opened.settings.split
    name_of = images.names_of_split(opened.data, split) if outputs else None
    with contextlib.ExitStack() as stack:
        sinks = [
            stack.enter_context(_sink(opened, folder_of(outputs.folder, name, several), outputs))
            if outputs
            else None
            for name in names
        ]
        for parts, mean in ensemble.score(opened, evaluators, progress):
            numbers = np.arange(mean.first, mean.first + len(mean.labels))
            files = name_of(numbers) if name_of else []
            scored = [*parts, mean] if several else parts
            for part, tally, sink in zip(scored, tallies, sinks, strict=True):
                for views, probabilities in part.probabilities.items():
                    _check_finite(probabilities, mean.first)
                    ranked = rank(probabilities, part.labels)
                    tally[views].add(part.first, part.labels, ranked)
                    if sink and views == max(opened.view_counts):
                        sink(part.first, files, part.labels, ranked, probabilities)
    losses = [{v: e.loss for v, e in evaluator.errors.items()} for evaluator in evaluators]
    return [
        Result(name, runs, tally, loss)
        for name, runs, tally, loss in zip(
            names, groups, tallies, [*losses, None][: len(names)], strict=True
        )
    ]


def folder_of(folder: str, name: str, several: bool) -> str:
    """Where the files of a result lie."""
    return os.path.join(folder, name) if several else folder


def unique_names(names: Sequence[str]) -> list[str]:
    """Names told apart by a number where they are alike: "run", "run-2"; "ensemble" is taken."""
    unique: list[str] = []
    for name in names:
        candidate, number = name, 1
        while candidate in unique or candidate == "ensemble":
            number += 1
            candidate = f"{name}-{number}"
        unique.append(candidate)
    return unique


@contextlib.contextmanager
def _sink(opened: ensemble.Opened, folder: str, outputs: Outputs) -> Iterator[Callable[..., None]]:
    """Writes predictions of one result, batch by batch."""
    data = opened.data
    names: list[str] = []
    all_labels: list[int] = []
    with contextlib.ExitStack() as stack:
        tables = stack.enter_context(
            predictions.open_writers(folder, outputs.table, data.class_names)
        )
        arrays = None
        if outputs.probabilities:
            facts = {
                "runs": [ensemble.describe(run) for run in opened.runs],
                "data_dir": data.directory,
                "split": opened.settings.split,
                "views": opened.settings.views,
                "class_names": list(data.class_names),
            }
            arrays = stack.enter_context(
                writers.open_writer(
                    os.path.join(folder, "predictions.npz"),
                    {"probabilities": (data.num_classes,)},
                    names,
                    all_labels,
                    facts,
                )
            )

        def add(first, files, labels, ranked, probabilities) -> None:
            for table in tables:
                table.add(first, files, labels, ranked, probabilities)
            if arrays is not None:
                names.extend(files)
                all_labels.extend(int(label) for label in labels)
                arrays.append({"probabilities": probabilities})

        yield add


def _check_finite(probabilities: np.ndarray, first: int) -> None:
    wrong = np.flatnonzero(~np.isfinite(probabilities).all(axis=1))
    if len(wrong):
        raise UserError(
            f"the network's output is non-finite for example {first + int(wrong[0])} of the split: "
            "there is nothing to analyze; take another checkpoint"
        )


def summary(opened: ensemble.Opened, result: Result) -> dict[str, Any]:
    """A result in numbers, for JSON. Errors are shares (0..1) with 95% intervals."""
    data, tally = opened.data, result.tally
    reason = published.incomparable(data, opened.settings.split)
    return {
        "runs": result.runs,
        "data_dir": data.directory,
        "split": opened.settings.split,
        "count": tally.count,
        "num_classes": data.num_classes,
        "views": result.views,
        "label_numbering": f"labels count from 0, as here and in predictions; the dataset's "
        f"records count from {data.label_offset}",
        "interval": f"Wilson, {CONFIDENCE:.0%}",
        "errors": {
            str(views): {
                "top_1_error": of_views.top_1.as_dict(),
                "top_5_error": of_views.top_5.as_dict(),
                "loss": result.losses[views] if result.losses else None,
            }
            for views, of_views in result.tallies.items()
        },
        "expected_calibration_error": tally.calibration_error if is_softmax(opened) else None,
        "most_confused": [
            {
                "class": data.class_names[pair.label],
                "taken_for": data.class_names[pair.guess],
                "number": pair.number,
                "of": pair.count,
            }
            for pair in tally.most_confused(CONFUSED_PAIRS)
        ],
        "published": None
        if reason
        else [
            dataclasses.asdict(row)
            for views in result.tallies
            for row in published.beside(len(result.runs), views)
        ],
        "not_comparable": reason or None,
    }


def per_class(opened: ensemble.Opened, result: Result) -> list[dict[str, Any]]:
    """A row for each class, in their order; `None` where the split has no image of it."""
    data, tally = opened.data, result.tally
    counts, taken = tally.class_counts, tally.confusion.sum(axis=0)
    rows = []
    for label, name in enumerate(data.class_names):
        count, right = int(counts[label]), int(tally.confusion[label, label])
        row: dict[str, Any] = {
            "label": label,
            "class": name,
            "title": data.class_titles[label],
            "count": count,
            "top_1_error": None,
            "low": None,
            "high": None,
            "top_5_error": None,
            "precision": right / int(taken[label]) if taken[label] else None,
            "mean_probability": None,
            "most_taken_for": None,
        }
        if count:
            error = Share(count - right, count)
            low, high = error.interval
            wrong = tally.confusion[label].copy()
            wrong[label] = 0
            row |= {
                "top_1_error": error.value,
                "low": low,
                "high": high,
                "top_5_error": int(tally.top_5_errors[label]) / count,
                "mean_probability": float(tally.probability_sums[label]) / count,
                "most_taken_for": data.class_names[int(wrong.argmax())] if wrong.any() else None,
            }
        rows.append(row)
    return rows


def is_softmax(opened: ensemble.Opened) -> bool:
    """Whether scores are probabilities that add up to 1, which calibration is about."""
    cost = opened.runs[0].table.cost
    return cost is None or cost.kind == "logreg"
