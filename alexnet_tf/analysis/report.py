"""A run as one self-contained page: report.html, which needs no network and no script.

It is made from the work folder (metrics.jsonl, config.json, checkpoints, the dataset's copy) and,
where the dataset is there, an evaluation of the best checkpoint. Of a run that trains right now, or
has only begun, it shows what there is.
"""

from __future__ import annotations

import dataclasses
import json
import os
import time
from pathlib import Path
from typing import Any

import jinja2

from alexnet_common import files, signals
from alexnet_common.errors import UserError, one_line
from alexnet_common.messages import log
from alexnet_tf import recipes
from alexnet_tf.analysis import history as histories
from alexnet_tf.analysis import report_sections as sections
from alexnet_tf.analysis import results
from alexnet_tf.evaluation import ensemble
from alexnet_tf.recipes import ConfigDict
from alexnet_tf.runs import checkpoint, dataset_copy, definition_copy, environment, restore
from alexnet_tf.runs.workdir import WorkFolder
from alexnet_tf.tables import table
from data_prep import dataset

FILE = "report.html"
MISTAKES = 24


@dataclasses.dataclass(frozen=True)
class Settings:
    """What goes into a report.

    Attributes:
        evaluate: evaluate the best checkpoint (the newest, where there is no best one).
        views: 1 or 10.
        split: what is evaluated.
        data_dir: where the dataset lies, if not where the run was trained on it.
        batch_size: images per step of the evaluation; 0: the config's, divided by the views.
    """

    evaluate: bool = True
    views: int = 10
    split: str = "validation"
    data_dir: str = ""
    batch_size: int = 0


def write(
    workdir: str,
    settings: Settings,
    output: str = "",
    progress: ensemble.Progress | None = None,
) -> str:
    """Makes the report of a run and writes it; returns its path.

    Args:
        workdir: the run's work folder.
        settings: what goes into it.
        output: the file; empty: report.html in the work folder.
        progress: told how the evaluation goes.

    Raises:
        UserError: the folder is not a run's, or what is in it is damaged.
        OSError: the file cannot be written.
    """
    path = output or os.path.join(workdir, FILE)
    files.write_atomically(path, make(workdir, settings, progress).encode())
    return path


def after_training(workdir: Path, *, evaluate: bool = True, quiet: bool = False) -> None:
    """Makes the report of a run that has just ended; what goes wrong with it is a warning.

    One that is younger than the run's newest checkpoint is left as it is. A signal ends the process
    with status 0: the training is finished.

    Args:
        workdir: the run's work folder.
        evaluate: evaluate the best checkpoint. Not after training on several workers: the others
            leave at once, and TensorFlow may end a process that goes on computing without them.
        quiet: say nothing but warnings.
    """
    folder = WorkFolder(workdir)
    again = f"python -m alexnet_tf.report --workdir={workdir}"
    unmade = f"the run is finished and saved; later: {again}"
    try:
        if _is_current(folder):
            return
        if not quiet:
            log("making the report (--config.log.report=false leaves it out)")
        with signals.ends_well_on_signals(f"no report; {unmade}"):
            path = write(str(workdir), Settings(evaluate=evaluate))
        if not quiet:
            log(f"{'report':<14} {path}")
        if not quiet and not evaluate:
            log(f"note: without classes and mistakes; with them: {again}")
    except Exception as error:
        log(f"WARNING: no report: {one_line(error)}; {unmade}")


def _is_current(folder: WorkFolder) -> bool:
    report = folder.folder / FILE
    steps = checkpoint.steps(folder.checkpoints)
    if not steps or not report.exists():
        return False
    newest = checkpoint.path_of(folder.checkpoints, steps[-1])
    return report.stat().st_mtime >= newest.stat().st_mtime


def make(workdir: str, settings: Settings, progress: ensemble.Progress | None = None) -> str:
    """The report of a run as HTML.

    Raises:
        UserError: the folder is not a run's, or what is in it is damaged.
    """
    folder = WorkFolder(workdir)
    config = folder.load_config()
    opened, result, note = _evaluate(folder, config, settings, progress)
    values = _values(folder, config, opened, result)
    values["notes"] = [note] if note else []
    values["workdir"] = workdir
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment_ = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined
    )
    return environment_.get_template(FILE).render(values)


def _values(
    folder: WorkFolder,
    config: ConfigDict,
    opened: ensemble.Opened | None,
    result: results.Result | None,
) -> dict[str, Any]:
    """What the template shows."""
    written = folder.metrics_file
    history = histories.read(written)
    words, _ = sections.state(
        config, history, written.stat().st_mtime if written.exists() else None
    )
    facts = _facts(folder, config)
    network = _network(folder, config, facts)
    layers, layers_words = sections.layers(network)
    reached, reached_notes = sections.reached(history, opened, result)
    kernels = sections.kernels(_weights(folder))
    analysis = sections.analysis(opened, result) if opened and result else None
    contents = [("results", "Results"), ("curves", "Curves")]
    contents += [("kernels", "Kernels")] if kernels else []
    contents += [("classes", "Classes"), ("mistakes", "Mistakes")] if analysis else []
    contents += [("network", "Network"), ("recipe", "Recipe"), ("data", "Data")]
    contents += [("environment", "Environment")]
    synthetic = bool(config.synthetic_data)
    return {
        "name": folder.folder.resolve().name,
        "recipe": f"recipe {config.name}, seed {config.seed}",
        "network": f"network {network.name}",
        "dataset_name": "synthetic data" if synthetic else Path(config.data_dir).name,
        "state": words,
        "contents": contents,
        "cards": sections.cards(history, result),
        "expected": config.log.expected,
        "reached": reached,
        "reached_notes": reached_notes,
        "kernels": kernels,
        "analysis": analysis,
        "small_images": bool(facts and facts.image_size < 96),
        "layers": layers,
        "layers_words": layers_words,
        "differences": sections.recipe(config),
        "config": json.dumps(recipes.to_dict(config), indent=2, sort_keys=True),
        "data": sections.data(facts, config.data_dir) if facts else None,
        "no_data": "Synthetic data: random pixels."
        if synthetic
        else "The dataset is not there, and the work folder has no copy of its description yet.",
        "mean_image": sections.mean_image(facts) if facts else "",
        "environment": sections.environment(environment.read(folder.folder)),
        "made": sections.moment(time.time()),
    } | sections.curves_and_epochs(history)


def _evaluate(
    folder: WorkFolder,
    config: ConfigDict,
    settings: Settings,
    progress: ensemble.Progress | None,
) -> tuple[ensemble.Opened | None, results.Result | None, str]:
    """The evaluated checkpoint, or why there is none."""
    if not settings.evaluate:
        return None, None, "Not evaluated: classes and mistakes are left out."
    if config.get("synthetic_data"):
        return None, None, "Trained on synthetic data: there is nothing to evaluate."
    if not restore.available(folder):
        return None, None, "There is no checkpoint yet: kernels, classes and mistakes come later."
    try:
        opened = ensemble.open_runs(
            [str(folder.folder)],
            ensemble.Settings(
                views=settings.views,
                split=settings.split,
                checkpoint="any",
                data_dir=settings.data_dir,
                batch_size=settings.batch_size,
            ),
        )
        (result,) = results.analyze(opened, mistakes=MISTAKES, progress=progress)
    except UserError as error:
        return None, None, f"Not evaluated: {one_line(error)}."
    return opened, result, ""


def _facts(folder: WorkFolder, config: ConfigDict) -> dataset.Dataset | None:
    """The training dataset's description: the work folder's copy, or the dataset itself."""
    kept = dataset_copy.read(folder.folder)
    if kept is not None or config.get("synthetic_data"):
        return kept
    try:
        return dataset.describe(config.data_dir)
    except dataset.DatasetError:
        return None


def _network(folder: WorkFolder, config: ConfigDict, facts: dataset.Dataset | None) -> table.Table:
    network = definition_copy.kept(folder.folder, config.network)
    return table.from_config(network, facts.num_classes if facts else config.num_classes)


def _weights(folder: WorkFolder) -> dict[str, Any]:
    """The weights of the best checkpoint, else of the newest; none where there is none yet."""
    for which in restore.available(folder):
        newest = checkpoint.load_newest(folder.checkpoint_folder(which))
        if newest is not None:
            return newest.weights
    return {}
