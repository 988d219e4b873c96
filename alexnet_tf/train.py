"""Trains a network on a dataset folder. Running the same command again resumes.

Example:
  python -m alexnet_tf.train --config=configs/alexnet_paper.py \\
      --config.data_dir=DATASET --workdir=RUN

Change any setting with --config.section.key=value (docs/settings.md lists them). --print_config
shows them all, --print_network the network; --check tries it out before days are spent on it.
Exit status: 0 trained to the end, 1 failed, 2 wrong usage, 75 stopped by a signal and saved.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from absl import flags

from alexnet_common import command, folders, signals
from alexnet_common.errors import FAILED, UsageError
from alexnet_common.messages import log
from alexnet_common.tensorflow_import import import_tensorflow
from alexnet_tf import recipes

if TYPE_CHECKING:
    from alexnet_tf.train_loop.logging.watchers import Watcher


def define_flags(flag_values: flags.FlagValues) -> None:
    """Defines the command's flags."""
    recipes.define_flags(flag_values)
    flags.DEFINE_string(
        "workdir",
        None,
        "Folder of the run: config, metrics, checkpoints. Made if needed.",
        flag_values=flag_values,
    )
    flags.DEFINE_bool(
        "check",
        False,
        "Check the run before days of training, and stop: counts, the signal that reaches each "
        "layer, and 60 updates at the recipe's own rate and batch.",
        flag_values=flag_values,
    )
    flags.DEFINE_bool(
        "quiet", False, "Say nothing but notes, warnings and errors.", flag_values=flag_values
    )
    flags.DEFINE_bool(
        "lock",
        True,
        "Refuse a work folder that another process trains in; --nolock for file systems without "
        "locks.",
        flag_values=flag_values,
    )
    flags.DEFINE_bool(
        "print_network",
        False,
        "Print the network's layers with shapes, parameters and neurons, and stop.",
        flag_values=flag_values,
    )
    flags.DEFINE_bool(
        "print_config",
        False,
        "Print every setting as this command would have it, as JSON, and stop.",
        flag_values=flag_values,
    )


def main(
    flag_values: flags.FlagValues, arguments: list[str], watchers: Sequence[Watcher] = ()
) -> int:
    """Runs the command; `watchers` are told of the run beside those that its config asks for."""
    if arguments:
        raise UsageError(f"unexpected {arguments[0]!r}; settings are --config.KEY=VALUE")
    config = recipes.from_flags(flag_values)
    if flag_values.print_config:
        print(json.dumps(recipes.to_dict(config), indent=2, sort_keys=True))
        return 0
    if flag_values.print_network:
        print(network_text(config))
        return 0
    if not flag_values.workdir and not flag_values.check:
        raise UsageError("--workdir is missing: the folder where the run is kept")
    if not config.data_dir and not config.synthetic_data:
        raise UsageError(
            "--config.data_dir is missing: a folder made by python -m data_prep.build_tfrecords"
        )
    # TensorFlow takes seconds to import: after the checks that need none of it.
    import_tensorflow()
    from alexnet_tf.analysis import report
    from alexnet_tf.runs import environment, workdir
    from alexnet_tf.train_loop import loop, preflight
    from alexnet_tf.train_loop.first_page import first_page, where
    from alexnet_tf.train_loop.setup import set_up

    if flag_values.check:
        with folders.scratch_folder() as scratch, workdir.WorkFolder(scratch) as folder:
            text, passed = preflight.check(set_up(config, folder))
        print(text)
        return 0 if passed else FAILED
    with workdir.WorkFolder(flag_values.workdir, flag_values.lock) as folder:
        training = set_up(config, folder)
        chief = training.distribution.is_chief
        if not flag_values.quiet:
            log(first_page(training) if chief else f"computes on    {where(training)}")
        if chief and training.position.step < training.last_step:
            devices = training.distribution.description
            environment.keep(folder.folder, devices, training.position.step)
        new = training.position.step == 0 and not config.synthetic_data
        if chief and new:
            preflight.before_training(training)
        try:
            logs = loop.Loop(training, flag_values.quiet, watchers).train()
        except loop.Stopped as stopped:
            log(f"{stopped}; the same command resumes")
            return signals.EXIT_STATUS
    if chief:
        print(json.dumps(logs, default=float))
        if config.log.report:
            report.after_training(
                training.folder.folder,
                evaluate=training.distribution.workers == 1,
                quiet=flag_values.quiet,
            )
    return 0


def network_text(config: recipes.ConfigDict) -> str:
    """The network's table with shapes and counts, for the dataset's classes where it is known."""
    import_tensorflow()
    from alexnet_tf.tables import summary, table
    from data_prep import dataset

    classes = dataset.load(config.data_dir).num_classes if config.data_dir else config.num_classes
    return summary.text(table.from_config(config.network, classes))


def call(argv: list[str], watchers: Sequence[Watcher] = ()) -> int:
    """Runs the command with `argv` and returns its exit status; `watchers`: see `main`."""
    return command.call(define_flags, functools.partial(main, watchers=watchers), __doc__, argv)


def run() -> None:
    """Console entry point."""
    # Until training begins there is nothing to save: a worker that waits for others ends at once.
    with signals.ends_on_interrupt():
        status = call(sys.argv[1:])
    signals.leave(status)


if __name__ == "__main__":
    run()
