"""Measures the errors of a trained network on a split, every image exactly once.

Example:
  python -m alexnet_tf.evaluate --workdir=RUN
  python -m alexnet_tf.evaluate --workdir=RUN1,RUN2,RUN3 --output=errors.json

With 10 views (the default) the paper's test: four corners, the centre and their mirror images, and
the mean of the ten softmax outputs; the centre view alone is reported beside it. Several work
folders are evaluated one by one and as an ensemble (the mean of their probabilities). The loss is
the network's own cost of these means: softmax cross-entropy, unless a definition file of 2012 has
another one. A table goes to stderr, the same as JSON to stdout, or to --output.

For scripts, --max_top_1_error and --max_top_5_error (shares, 0..1) judge the result: of the
ensemble, or of the one run, on all its views.
Exit status: 0 done, 1 failed, 2 wrong usage, 3 an error above its limit, 130 interrupted.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from absl import flags

from alexnet_common import command, files, progress
from alexnet_common.errors import UsageError
from alexnet_common.messages import log
from alexnet_common.tensorflow_import import import_tensorflow
from alexnet_tf import recipes

# Exit status of an evaluation that went well and found an error above its limit.
ABOVE_LIMIT = 3


def define_data_flags(flag_values: flags.FlagValues) -> None:
    """Defines which runs are evaluated on what; `settings_from` reads them."""
    flags.DEFINE_list(
        "workdir",
        None,
        "Work folder of a run, or several, separated by commas.",
        flag_values=flag_values,
    )
    flags.mark_flag_as_required("workdir", flag_values=flag_values)
    recipes.define_checkpoint_flag(flag_values)
    define_split_flags(flag_values)


def define_split_flags(flag_values: flags.FlagValues) -> None:
    """Defines on which images, views and batches is evaluated."""
    flags.DEFINE_string(
        "data_dir",
        "",
        "Dataset to evaluate on; empty: the one the run was trained on. Another dataset must have "
        "the same classes. The mean that is subtracted is always the training dataset's.",
        flag_values=flag_values,
    )
    flags.DEFINE_enum("views", "10", ["1", "10"], "Views of each image.", flag_values=flag_values)
    flags.DEFINE_string("split", "validation", "Split to evaluate on.", flag_values=flag_values)
    flags.DEFINE_integer(
        "batch_size",
        0,
        "Images per step; 0: config.evaluation.batch_size, divided by the views.",
        lower_bound=0,
        flag_values=flag_values,
    )


def define_flags(flag_values: flags.FlagValues) -> None:
    """Defines the command's flags."""
    define_data_flags(flag_values)
    flags.DEFINE_string("output", "", "Write the JSON to this file.", flag_values=flag_values)
    for k in (1, 5):
        flags.DEFINE_float(
            f"max_top_{k}_error",
            None,
            f"End with status {ABOVE_LIMIT} if the top-{k} error is larger; a share, such as 0.43.",
            lower_bound=0.0,
            upper_bound=1.0,
            flag_values=flag_values,
        )


def main(flag_values: flags.FlagValues, arguments: list[str]) -> int:
    """Runs the command."""
    if arguments:
        raise UsageError(f"unexpected argument {arguments[0]!r}")
    if flag_values.output:
        files.check_writable(flag_values.output, "--output")
    # TensorFlow takes seconds to import: after the flags have been checked.
    import_tensorflow()
    from alexnet_tf.evaluation import ensemble

    report = ensemble.evaluate_runs(flag_values.workdir, settings_from(flag_values), progress_bar)
    limits = {k: flag_values[f"max_top_{k}_error"].value for k in (1, 5)}
    verdicts = ensemble.above_limits(report, limits)
    report["above_limits"] = verdicts
    log(ensemble.table_text(report))
    text = json.dumps(report, indent=2) + "\n"
    if flag_values.output:
        files.write_atomically(flag_values.output, text.encode())
    else:
        print(text, end="")
    for verdict in verdicts:
        log(f"FAILED: {verdict}")
    return ABOVE_LIMIT if verdicts else 0


def settings_from(flag_values: flags.FlagValues) -> Any:
    """`ensemble.Settings` from the flags of `define_data_flags`."""
    from alexnet_tf.evaluation import ensemble

    return ensemble.Settings(
        views=int(flag_values.views),
        split=flag_values.split,
        checkpoint=flag_values.checkpoint,
        data_dir=flag_values.data_dir,
        batch_size=flag_values.batch_size,
    )


def progress_bar(label: str, total: int) -> Callable[[int], None]:
    """What tells how an evaluation goes (`progress.bar`)."""
    return progress.bar(f"evaluating {label}", total)


def run() -> None:
    """Console entry point."""
    command.run_until_interrupted(define_flags, main, __doc__)


if __name__ == "__main__":
    run()
