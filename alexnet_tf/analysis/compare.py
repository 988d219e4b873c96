"""Several runs side by side: recipes, curves, final errors, and whether they differ by chance.

Runs are paired image by image: McNemar's exact test asks whether one of two networks is wrong on
more of the images on which they disagree than chance explains.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from alexnet_common.errors import UsageError, UserError, one_line
from alexnet_tf import recipes
from alexnet_tf.analysis import history as histories
from alexnet_tf.analysis import result_files
from alexnet_tf.analysis.history import History
from alexnet_tf.analysis.results import unique_names
from alexnet_tf.analysis.statistics import TOP, McNemar, Share, rank
from alexnet_tf.evaluation import ensemble
from alexnet_tf.runs import restore
from alexnet_tf.runs.workdir import WorkFolder

# Keys that say nothing of what is computed.
_UNCOMPARED = ("name", "data_dir", "log.", "checkpoint.")


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """One of the runs.

    Attributes:
        name: of its work folder, with a number where two are alike.
        workdir: its path.
        recipe: its name.
        config: as config.json holds it, completed with defaults.
        history: from metrics.jsonl.
    """

    name: str
    workdir: str
    recipe: str
    config: dict[str, Any]
    history: History


@dataclasses.dataclass(frozen=True, eq=False)
class Evaluated:
    """A run's checkpoint on the split that all are compared on.

    Attributes:
        checkpoint: "best" or "newest", with `epoch`.
        wrong: bool [N] by k (1, 5): the right class is not among the k best.
    """

    name: str
    checkpoint: str
    epoch: int
    wrong: dict[int, np.ndarray]

    def share(self, k: int) -> Share:
        """The top-k error."""
        return Share(int(self.wrong[k].sum()), len(self.wrong[k]))


@dataclasses.dataclass(frozen=True, eq=False)
class Comparison:
    """All of it.

    Attributes:
        runs: in the order in which they were named.
        differences: values by key, in the order of the runs, of the settings that differ.
        evaluated: the runs that have a checkpoint.
        views, split: what they were evaluated on.
        notes: what is left out, and why.
    """

    runs: list[Run]
    differences: dict[str, list[Any]]
    evaluated: list[Evaluated]
    views: int
    split: str
    notes: list[str]

    def tests(self) -> list[tuple[Evaluated, Evaluated, dict[int, McNemar]]]:
        """McNemar's test of every pair of runs, by k."""
        return [
            (first, second, {k: paired(first.wrong[k], second.wrong[k]) for k in (1, TOP)})
            for first, second in itertools.combinations(self.evaluated, 2)
        ]


def paired(first: np.ndarray, second: np.ndarray) -> McNemar:
    """The test of two networks from what they get wrong, bool [N] each."""
    return McNemar(int(np.sum(first & ~second)), int(np.sum(second & ~first)))


def compare(
    workdirs: Sequence[str],
    settings: ensemble.Settings,
    *,
    evaluate: bool = True,
    progress: ensemble.Progress | None = None,
) -> Comparison:
    """Reads the runs and evaluates those that have a checkpoint, the best one if there is one.

    Raises:
        UsageError: fewer than two runs, or one of them twice.
        UserError: a folder is not a run's.
    """
    if len(workdirs) < 2:
        raise UsageError("name at least two work folders to compare")
    ensemble.check_distinct(workdirs)
    runs = [read(*pair) for pair in zip(unique_names(_last_parts(workdirs)), workdirs, strict=True)]
    notes: list[str] = []
    evaluated: list[Evaluated] = []
    if evaluate:
        having = [run for run in runs if _has_checkpoint(run)]
        notes += [f"{run.name} has no checkpoint yet" for run in runs if run not in having]
        if having:
            try:
                evaluated = _evaluate(having, settings, progress)
            except UserError as error:
                notes.append(f"not evaluated: {one_line(error)}")
    else:
        notes.append("not evaluated")
    return Comparison(runs, _differences(runs), evaluated, settings.views, settings.split, notes)


def read(name: str, workdir: str) -> Run:
    """A run's recipe and history; raises UserError where the folder is not a run's."""
    folder = WorkFolder(workdir)
    config = folder.load_config()
    values = recipes.to_dict(config)
    return Run(name, workdir, config.name, values, histories.read(folder.metrics_file))


def _last_parts(workdirs: Sequence[str]) -> list[str]:
    return [WorkFolder(workdir).folder.resolve().name for workdir in workdirs]


def _has_checkpoint(run: Run) -> bool:
    return bool(restore.available(WorkFolder(run.workdir)))


def _differences(runs: Sequence[Run]) -> dict[str, list[Any]]:
    """Settings whose values are not the same in all runs."""
    first = runs[0].config
    keys: dict[str, None] = {}
    for run in runs[1:]:
        for one in recipes.differences(first, run.config):
            if not one.key.startswith(_UNCOMPARED):
                keys[one.key] = None
    return {key: [_value(run.config, key) for run in runs] for key in sorted(keys)}


def _value(config: dict[str, Any], key: str) -> Any:
    """The value of "section.key"; None where a run's network has no such option."""
    value: Any = config
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _evaluate(
    runs: Sequence[Run], settings: ensemble.Settings, progress: ensemble.Progress | None
) -> list[Evaluated]:
    chosen = dataclasses.replace(settings, checkpoint="any")
    opened = ensemble.open_runs([run.workdir for run in runs], chosen, averaged=False)
    wrong: list[dict[int, list[np.ndarray]]] = [{1: [], TOP: []} for _ in runs]
    for parts, _ in ensemble.score(opened, opened.evaluators(), progress):
        for part, by_k in zip(parts, wrong, strict=True):
            place = rank(part.probabilities[settings.views], part.labels).place
            for k, pieces in by_k.items():
                pieces.append(place > k)
    return [
        Evaluated(
            run.name,
            restored.which,
            restored.state["epoch"],
            {k: np.concatenate(pieces) for k, pieces in by_k.items()},
        )
        for run, restored, by_k in zip(runs, opened.runs, wrong, strict=True)
    ]


def as_dict(comparison: Comparison) -> dict[str, Any]:
    """For JSON. Errors are shares (0..1); `only_first` and `only_second` count images."""
    return {
        "split": comparison.split,
        "views": comparison.views,
        "runs": [
            {
                "name": run.name,
                "workdir": run.workdir,
                "recipe": run.recipe,
                "epochs": len(run.history.epochs),
                "best_epoch": run.history.best,
            }
            for run in comparison.runs
        ],
        "differences": comparison.differences,
        "errors": [
            {
                "name": one.name,
                "checkpoint": one.checkpoint,
                "epoch": one.epoch,
                "count": len(one.wrong[1]),
                "top_1_error": one.share(1).as_dict(),
                "top_5_error": one.share(TOP).as_dict(),
            }
            for one in comparison.evaluated
        ],
        "mcnemar": [
            {"first": first.name, "second": second.name}
            | {
                f"top_{k}": {
                    "only_first_wrong": test.only_first,
                    "only_second_wrong": test.only_second,
                    "p_value": test.p_value,
                }
                for k, test in tests.items()
            }
            for first, second, tests in comparison.tests()
        ],
        "notes": comparison.notes,
    }


def text(comparison: Comparison) -> str:
    """The comparison for people."""
    lines = ["Recipes"]
    head = ["", *(run.name for run in comparison.runs)]
    rows = [head, ["recipe", *(run.recipe for run in comparison.runs)]]
    for key, values in comparison.differences.items():
        rows.append([key, *(_brief(value) for value in values)])
    if not comparison.differences:
        rows.append(["(no setting differs)", *("" for _ in comparison.runs)])
    rows.append(["best epoch, 1 view", *(_best(run.history) for run in comparison.runs)])
    lines += result_files.aligned(rows)
    if comparison.evaluated:
        views = f"{comparison.views} view{'s' if comparison.views > 1 else ''}"
        count = len(comparison.evaluated[0].wrong[1])
        lines += ["", f"Errors on the {count:,} images of the {comparison.split} split, {views}"]
        rows = [["", "checkpoint", "top-1 error (95% interval)", "top-5 error (95% interval)"]]
        for one in comparison.evaluated:
            shares = [one.share(k).text for k in (1, TOP)]
            rows.append([one.name, f"{one.checkpoint}, epoch {one.epoch}", *shares])
        lines += result_files.aligned(rows)
    tests = comparison.tests()
    if tests:
        lines += ["", "Pairs (McNemar's exact test, two-sided; not corrected for several pairs)"]
        for first, second, by_k in tests:
            lines += [_sentence(first.name, second.name, k, test) for k, test in by_k.items()]
    return "\n".join(lines + [f"note: {note}" for note in comparison.notes])


def _sentence(first: str, second: str, k: int, test: McNemar) -> str:
    return (
        f"top-{k}: only {first} is wrong on {test.only_first:,}, only {second} on "
        f"{test.only_second:,} images: p = {test.p_value:.2g}"
    )


def _best(history: History) -> str:
    best = history.best
    return f"{best['val_top_1_error']:.2%} (epoch {best['epoch']})" if best else "none yet"


def _brief(value: Any) -> str:
    words = "-" if value is None else json.dumps(value)
    return words if len(words) <= 40 else words[:39] + "…"
