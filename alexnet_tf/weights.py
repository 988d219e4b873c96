"""Brings weights in and takes them out: .npz files, torchvision's and Caffe's AlexNet.

Example:
  python -m alexnet_tf.weights show   FILE
  python -m alexnet_tf.weights export --workdir=RUN --output=weights.npz
  python -m alexnet_tf.weights import --config=configs/alexnet_owt.py --config.data_dir=DATASET \\
      --config.preprocess.mean=torchvision --from=alexnet.pth --workdir=RUN

Each action has a --help of its own. docs/weights.md has the names and shapes of a .npz file.
"""

from __future__ import annotations

import difflib
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from absl import flags

from alexnet_common import command
from alexnet_common.errors import UsageError, UserError
from alexnet_common.messages import log
from alexnet_common.tensorflow_import import import_tensorflow
from alexnet_tf import config as recipes

EXPORT_DOC = """Writes a run's weights to a .npz file, one float32 array per variable.

Example:
  python -m alexnet_tf.weights export --workdir=RUN --output=weights.npz

Facts about the file are JSON on stdout.
"""
IMPORT_DOC = """Makes a work folder of weights from elsewhere, at step 0, for all other commands.

Example:
  python -m alexnet_tf.weights import --config=configs/alexnet_caffe.py \\
      --config.data_dir=DATASET --config.preprocess.mean=caffe --from=bvlc_alexnet.npy --workdir=RUN

Training goes on in it with the same --config flags. To train with weights from elsewhere only,
config.initial_weights=FILE of alexnet_tf.train does without this step.
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
        "copy of its facts.",
        flag_values=flag_values,
    )


def _export(flag_values: flags.FlagValues, arguments: list[str]) -> int:
    if arguments:
        raise UsageError(f"unexpected argument {arguments[0]!r}")
    if not flag_values.output.endswith(".npz"):
        raise UsageError(f"--output {flag_values.output} must end with .npz")
    from alexnet_tf.runs import checkpoint
    from alexnet_tf.runs.workdir import WorkFolder
    from alexnet_tf.weight_io import weights

    folder, which = WorkFolder(flag_values.workdir), flag_values.checkpoint
    config = folder.load_config()
    found = checkpoint.load_newest(folder.checkpoint_folder(which))
    if found is None:
        other = "" if which == "newest" else "; --checkpoint=newest takes the latest weights"
        raise UserError(f"{folder.folder} has no {which} checkpoint yet{other}")
    values = found.weights
    if flag_values.implementation == "grouped":
        values = _merged(folder, config, values, flag_values.data_dir)
    weights.save_npz(flag_values.output, values)
    report = {
        "output": flag_values.output,
        "network": config.network.name,
        "recipe": config.name,
        "checkpoint": which,
        "step": found.state["step"],
        "epoch": found.state["epoch"],
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
    recipes.define_flags(flag_values)
    flags.DEFINE_string(
        "from",
        None,
        "Weights: a .npz file, a work folder, a PyTorch state dict of torchvision's alexnet (for "
        "alexnet_owt), or Caffe's bvlc_alexnet as .npy or .npz (for alexnet_caffe).",
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
    config = recipes.from_flags(flag_values)
    if config.initial_weights:
        raise UsageError("--from names the weights: leave config.initial_weights out")
    if config.distribution == "multi_worker":
        raise UsageError(
            "importing takes one process: leave config.distribution out here (it may be given when "
            "the training goes on)"
        )
    if not config.data_dir:
        raise UsageError(
            "--config.data_dir is missing: the dataset whose classes and mean the network takes"
        )
    workdir = Path(flag_values.workdir)
    if workdir.exists() and (not workdir.is_dir() or any(workdir.iterdir())):
        raise UserError(f"--workdir {workdir} is there already; weights need a new one")
    import_tensorflow()
    from alexnet_tf.runs import initial_weights
    from alexnet_tf.runs.workdir import WorkFolder

    source = initial_weights.Source(
        str(flag_values["from"].value), flag_values.partial, "--partial"
    )
    # Beside it, so that a folder with its name is finished.
    unfinished = workdir.absolute().with_name(f".{workdir.absolute().name}.importing")
    with WorkFolder(unfinished) as left_over:
        # Of an import that was killed.
        left_over.claim()
        shutil.rmtree(unfinished)
    with WorkFolder(unfinished) as folder:
        try:
            lines = _fill(config, folder, source)
            os.rename(unfinished, workdir)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
    for heading, text in lines:
        log(f"{heading:14} {text}")
    log(f"work folder    {workdir}")
    notes = [f"{heading}: {text}" for heading, text in lines]
    print(json.dumps({"workdir": str(workdir), "from": source.path, "notes": notes}))
    return 0


def _fill(config: recipes.ConfigDict, folder: Any, source: Any) -> Any:
    """Writes config, facts and checkpoints of step 0; returns what there is to say."""
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
        found = initial_weights.read(path)
        report = {
            "file": path,
            "kind": found.description,
            "arrays": {
                name: {"shape": list(array.shape), "dtype": str(array.dtype)}
                for name, array in found.arrays.items()
            },
            "parameters": sum(array.size for array in found.arrays.values()),
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
        f"  {name:{width}}  {' x '.join(map(str, array['shape'])) or 'one number':22} "
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
    near = difflib.get_close_matches(arguments[0], ACTIONS, n=2)
    guess = f"did you mean {' or '.join(near)}? " if near else ""
    raise UsageError(f"no action {arguments[0]!r}; {guess}there are {listed}")


def run() -> None:
    """Console entry point."""
    sys.exit(call(sys.argv[1:]))


if __name__ == "__main__":
    run()
