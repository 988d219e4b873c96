"""Brings weights in and takes them out: .npz files, torchvision's and Caffe's AlexNet.

Example:
  python -m alexnet_tf.weights show   FILE
  python -m alexnet_tf.weights export --workdir=RUN --output=weights.npz
  python -m alexnet_tf.weights import --from=alexnet.pth --workdir=RUN

Each action has a --help of its own. docs/weights.md has the names and shapes of a .npz file.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from absl import flags

from alexnet_common import command, files
from alexnet_common.errors import UsageError, UserError
from alexnet_common.messages import log
from alexnet_common.suggestions import did_you_mean
from alexnet_common.tensorflow_import import import_tensorflow
from alexnet_tf import recipes

EXPORT_DOC = """Writes a run's weights to a .npz file, one float32 array per variable.

Example:
  python -m alexnet_tf.weights export --workdir=RUN --output=weights.npz

Facts about the file are JSON on stdout.
"""
IMPORT_DOC = """Makes a work folder of weights from elsewhere, at step 0, for all other commands.

Example:
  python -m alexnet_tf.weights import --from=alexnet-owt-7be5be79.pth --workdir=RUN
  python -m alexnet_tf.weights import --config=configs/alexnet_caffe.py \\
      --config.data_dir=DATASET --config.preprocess.mean=caffe --from=bvlc_alexnet.npy --workdir=RUN

Torchvision's and Caffe's published weights of ImageNet's 1,000 classes need no more than the file:
recipe, mean and class names come with them, and the work folder has an export of ten views for
alexnet_tf.predict --model=RUN. With --config.data_dir the dataset must have the same
classes, and training goes on in the work folder with the same --config flags. To train with
weights from elsewhere only, config.initial_weights=FILE of alexnet_tf.train does without this step.
"""
SHOW_DOC = """Says what kind of file of weights this is, with names and shapes of its arrays.

Example:
  python -m alexnet_tf.weights show alexnet.pth
"""


def _define_export(flag_values: flags.FlagValues) -> None:
    flags.DEFINE_string("workdir", None, "Work folder of the run.", flag_values=flag_values)
    flags.DEFINE_string("output", None, "The .npz file to write.", flag_values=flag_values)
    flags.mark_flags_as_required(["workdir", "output"], flag_values=flag_values)
    recipes.define_checkpoint_flag(flag_values)
    flags.DEFINE_enum(
        "implementation",
        "towers",
        ["towers", "grouped"],
        "Names and shapes of the columns (conv2a, conv2b) or of merged columns (conv2, as Caffe's "
        "groups).",
        flag_values=flag_values,
    )
    flags.DEFINE_string(
        "data_dir",
        "",
        "For grouped: where the training dataset lies, if it was moved and the work folder has no "
        "copy of its dataset.json.",
        flag_values=flag_values,
    )


def _export(flag_values: flags.FlagValues, arguments: list[str]) -> int:
    if arguments:
        raise UsageError(f"unexpected argument {arguments[0]!r}")
    if not flag_values.output.endswith(".npz"):
        raise UsageError(f"--output {flag_values.output} must end with .npz")
    files.check_writable(flag_values.output, "--output")
    from alexnet_tf.runs.workdir import WorkFolder
    from alexnet_tf.weight_io import weights

    folder, which = WorkFolder(flag_values.workdir), flag_values.checkpoint
    config = folder.load_config()
    loaded = folder.load_checkpoint(which)
    values = loaded.weights
    if flag_values.implementation == "grouped":
        values = _merged(folder, config, values, flag_values.data_dir)
    weights.save_npz(flag_values.output, values)
    report = {
        "output": flag_values.output,
        "network": config.network.name,
        "recipe": config.name,
        "checkpoint": which,
        "step": loaded.state["step"],
        "epoch": loaded.state["epoch"],
        "implementation": flag_values.implementation,
        "variables": len(values),
        "parameters": sum(value.size for value in values.values()),
    }
    log(
        f"exported {report['variables']} variables, {report['parameters']:,} numbers, of step "
        f"{report['step']:,} ({which}) to {flag_values.output}"
    )
    print(json.dumps(report))
    return 0


def _merged(folder: Any, config: recipes.ConfigDict, values: Any, data_dir: str) -> Any:
    import_tensorflow()
    from alexnet_tf.model import grouped
    from alexnet_tf.runs import definition_copy, restore
    from alexnet_tf.tables import table

    classes = restore.training_facts(folder, config, data_dir).num_classes
    network = definition_copy.kept(folder.folder, config.network)
    return grouped.merge(table.from_config(network, classes)).to_grouped(values)


def _define_import(flag_values: flags.FlagValues) -> None:
    recipes.define_flags(flag_values, required=False)
    flags.DEFINE_string(
        "from",
        None,
        "Weights: a PyTorch state dict of torchvision's alexnet, Caffe's bvlc_alexnet as .npy or "
        ".npz, a .npz file of ours, or a work folder.",
        flag_values=flag_values,
    )
    flags.DEFINE_string("workdir", None, "Work folder to make.", flag_values=flag_values)
    flags.mark_flags_as_required(["from", "workdir"], flag_values=flag_values)
    flags.DEFINE_bool(
        "partial",
        False,
        "Take what fits in name and shape and draw the rest: for other classes, say.",
        flag_values=flag_values,
    )


def _import(flag_values: flags.FlagValues, arguments: list[str]) -> int:
    if arguments:
        raise UsageError(f"unexpected {arguments[0]!r}; settings are --config.KEY=VALUE")
    if flag_values.config_override and not flag_values.config:
        raise UsageError("--config.KEY=VALUE changes a recipe: name it with --config")
    config = recipes.from_flags(flag_values) if flag_values.config else None
    if config is not None:
        _check_import(config)
    path = str(flag_values["from"].value)
    without_dataset = config is None or not config.data_dir
    if without_dataset and flag_values.partial:
        raise UsageError("--partial needs --config.data_dir: the dataset that is trained on then")
    if without_dataset and os.path.isdir(path):
        raise UsageError(
            "--config.data_dir is missing: the dataset whose classes and mean the network takes"
        )
    workdir = Path(flag_values.workdir)
    if workdir.exists() and (not workdir.is_dir() or any(workdir.iterdir())):
        raise UserError(f"--workdir {workdir} is there already; weights need a new one")
    import_tensorflow()
    from alexnet_tf.runs import initial_weights, published_run
    from alexnet_tf.serving import saved_model

    def fill(folder: Any) -> Any:
        if without_dataset:
            run, text = published_run.import_file(path, config, folder)
            saved_model.export(run, str(folder.folder / "export"))
            return [("begins with", f"{path}: {text}"), ("export", f"{workdir / 'export'}")]
        assert config is not None
        return _fill(config, folder, initial_weights.Source(path, flag_values.partial, "--partial"))

    lines = _make_whole(workdir, fill)
    for heading, text in lines:
        log(f"{heading:14} {text}")
    log(f"work folder    {workdir}")
    notes = [f"{heading}: {text}" for heading, text in lines]
    print(json.dumps({"workdir": str(workdir), "from": path, "notes": notes}))
    return 0


def _check_import(config: recipes.ConfigDict) -> None:
    if config.initial_weights:
        raise UsageError("--from names the weights: leave config.initial_weights out")
    if config.distribution == "multi_worker":
        raise UsageError(
            "importing takes one process: leave config.distribution out here (it may be given when "
            "the training goes on)"
        )


def _make_whole(workdir: Path, fill: Callable[[Any], Any]) -> Any:
    """Makes the folder `workdir`, whole or not at all; returns what `fill(folder)` returns."""
    from alexnet_tf.runs.workdir import WorkFolder

    # Beside it, so that a folder with its name is finished.
    unfinished = workdir.absolute().with_name(f".{workdir.absolute().name}.importing")
    with WorkFolder(unfinished) as left_over:
        # Of an import that was killed.
        left_over.claim()
        shutil.rmtree(unfinished)
    with WorkFolder(unfinished) as folder:
        try:
            result = fill(folder)
            os.rename(unfinished, workdir)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
    return result


def _fill(config: recipes.ConfigDict, folder: Any, source: Any) -> Any:
    """Writes config, dataset copy and checkpoints of step 0; returns what there is to say."""
    from alexnet_tf.runs import checkpoint
    from alexnet_tf.train_loop.saving import Saver
    from alexnet_tf.train_loop.setup import set_up

    run = set_up(config, folder, source)
    state = Saver(run).state()
    for where in (folder.best, folder.checkpoints):
        checkpoint.save(checkpoint.path_of(where, 0), state)
    assert run.beginning is not None
    return run.beginning.lines


def _define_show(flag_values: flags.FlagValues) -> None:
    flags.DEFINE_bool("json", False, "Print JSON instead of text.", flag_values=flag_values)


def _show(flag_values: flags.FlagValues, arguments: list[str]) -> int:
    if not arguments:
        raise UsageError("no file named: python -m alexnet_tf.weights show FILE")
    from alexnet_tf.runs import initial_weights

    reports = []
    for path in arguments:
        file = initial_weights.read(path)
        report = {
            "file": path,
            "kind": file.description,
            "arrays": {
                name: {"shape": list(array.shape), "dtype": str(array.dtype)}
                for name, array in file.arrays.items()
            },
            "parameters": sum(array.size for array in file.arrays.values()),
        }
        reports.append(report)
        if not flag_values.json:
            print(_text(report), flush=True)
    if flag_values.json:
        print(json.dumps(reports, indent=2))
    return 0


def _text(report: dict[str, Any]) -> str:
    arrays = report["arrays"]
    width = max(map(len, arrays))
    lines = [f"{report['file']}: {report['kind']}"]
    lines += [
        f"  {name:{width}}  {' x '.join(map(str, array['shape'])) or 'one value':22} "
        f"{array['dtype']}"
        for name, array in arrays.items()
    ]
    return "\n".join([*lines, f"  {len(arrays)} arrays, {report['parameters']:,} numbers"])


ACTIONS = {
    "export": (_define_export, _export, EXPORT_DOC),
    "import": (_define_import, _import, IMPORT_DOC),
    "show": (_define_show, _show, SHOW_DOC),
}


def call(argv: list[str]) -> int:
    """Runs the action that `argv[0]` names with the flags behind it; returns the exit status."""
    if argv and argv[0] in ACTIONS:
        return command.call(*ACTIONS[argv[0]], argv[1:])
    return command.call(define_flags, main, __doc__, argv)


def define_flags(flag_values: flags.FlagValues) -> None:
    """Each action has flags of its own."""


def main(flag_values: flags.FlagValues, arguments: list[str]) -> int:
    """Reached only where no action was named."""
    listed = ", ".join(ACTIONS)
    if not arguments:
        raise UsageError(
            f"no action named; there are {listed}: python -m alexnet_tf.weights ACTION"
        )
    near = did_you_mean(arguments[0], ACTIONS, 2)
    raise UsageError(f"no action {arguments[0]!r}{near or f'; there are {listed}'}")


def run() -> None:
    """Console entry point."""
    sys.exit(call(sys.argv[1:]))


if __name__ == "__main__":
    run()
