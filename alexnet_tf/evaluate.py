"""Measures the errors of a trained network on a split, every image exactly once.

Example:
  python -m alexnet_tf.evaluate --workdir=RUN
  python -m alexnet_tf.evaluate --workdir=RUN1,RUN2,RUN3 --output=errors.json

With 10 views (the default) the paper's test: four corners, the centre and their mirror images, and
the mean of the ten softmax outputs; the centre view alone is reported beside it. Several work
folders are evaluated one by one and as an ensemble (the mean of their probabilities). The loss is
the network's own cost of these means: softmax cross-entropy, unless a definition file of 2012 has
another one. A table goes to stderr, the same as JSON to stdout, or to --output.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

from absl import flags

from alexnet_common import command, files
from alexnet_common.errors import UsageError
from alexnet_common.messages import log
from alexnet_common.tensorflow_import import import_tensorflow
from alexnet_tf import config as recipes


def define_flags(flag_values: flags.FlagValues) -> None:
    """Defines the command's flags."""
    flags.DEFINE_list(
        "workdir",
        None,
        "Work folder of a run, or several, separated by commas.",
        flag_values=flag_values,
    )
    flags.mark_flag_as_required("workdir", flag_values=flag_values)
    flags.DEFINE_string(
        "data_dir",
        "",
        "Dataset to evaluate on; empty: the one the run was trained on. Another dataset must have "
        "the same classes. The mean that is subtracted is always the training dataset's.",
        flag_values=flag_values,
    )
    flags.DEFINE_enum("views", "10", ["1", "10"], "Views of each image.", flag_values=flag_values)
    flags.DEFINE_string("split", "validation", "Split to evaluate on.", flag_values=flag_values)
    recipes.define_checkpoint_flag(flag_values)
    flags.DEFINE_integer(
        "batch_size",
        0,
        "Images per step; 0: config.evaluation.batch_size, divided by the views.",
        lower_bound=0,
        flag_values=flag_values,
    )
    flags.DEFINE_string("output", "", "Write the JSON to this file.", flag_values=flag_values)


def main(flag_values: flags.FlagValues, arguments: list[str]) -> int:
    """Runs the command."""
    if arguments:
        raise UsageError(f"unexpected argument {arguments[0]!r}")
    # TensorFlow takes seconds to import: after the flags are known to be right.
    import_tensorflow()
    from alexnet_tf.evaluation import ensemble

    settings = ensemble.Settings(
        views=int(flag_values.views),
        split=flag_values.split,
        checkpoint=flag_values.checkpoint,
        data_dir=flag_values.data_dir,
        batch_size=flag_values.batch_size,
    )
    report = ensemble.evaluate_runs(flag_values.workdir, settings, _progress)
    log(ensemble.table_text(report))
    text = json.dumps(report, indent=2) + "\n"
    if flag_values.output:
        files.write_atomically(flag_values.output, text.encode())
    else:
        print(text, end="")
    return 0


def _progress(label: str, total: int) -> Callable[[int], None]:
    """A bar on a terminal, one line otherwise."""
    from tqdm import tqdm

    if not sys.stderr.isatty():
        log(f"evaluating {label}: {total:,} images")
        return lambda count: None
    bar = tqdm(total=total, desc=label, unit="img", leave=False, dynamic_ncols=True)

    def update(count: int) -> None:
        bar.update(count)
        if bar.n >= total:
            bar.close()

    return update


def run() -> None:
    """Console entry point."""
    command.run(define_flags, main, __doc__)


if __name__ == "__main__":
    run()
