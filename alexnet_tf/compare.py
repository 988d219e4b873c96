"""Compares runs: what differs in their recipes, their curves, their errors, and by chance or not.

Example:
  python -m alexnet_tf.compare RUN1 RUN2
  python -m alexnet_tf.compare RUN1 RUN2 RUN3 --views=1 --output_dir=COMPARISON

The best checkpoint of each run (else its newest) is evaluated on the same images, and every pair of
runs is tested by McNemar's exact test. The comparison goes to stderr, as JSON to stdout, and with
--output_dir to a folder: comparison.json, curves.png and curves.svg. Runs that have no checkpoint
yet are compared by recipe and curves.
"""

from __future__ import annotations

import json
import os

from absl import flags

from alexnet_common import command, files
from alexnet_common.errors import UsageError
from alexnet_common.messages import log
from alexnet_common.tensorflow_import import import_tensorflow
from alexnet_tf import evaluate


def define_flags(flag_values: flags.FlagValues) -> None:
    """Defines the command's flags."""
    flags.DEFINE_string(
        "output_dir", "", "Folder for comparison.json and curves.", flag_values=flag_values
    )
    flags.DEFINE_bool("evaluate", True, "Evaluate the checkpoints.", flag_values=flag_values)
    evaluate.define_split_flags(flag_values)


def main(flag_values: flags.FlagValues, arguments: list[str]) -> int:
    """Runs the command."""
    if len(arguments) < 2:
        raise UsageError("name at least two work folders: python -m alexnet_tf.compare RUN1 RUN2")
    folder = flag_values.output_dir
    if folder:
        files.check_writable(os.path.join(folder, "comparison.json"), "--output_dir")
    import_tensorflow()
    from alexnet_tf.analysis import compare, curves, plots
    from alexnet_tf.evaluation import ensemble

    settings = ensemble.Settings(
        views=int(flag_values.views),
        split=flag_values.split,
        data_dir=flag_values.data_dir,
        batch_size=flag_values.batch_size,
    )
    comparison = compare.compare(
        arguments, settings, evaluate=flag_values.evaluate, progress=evaluate.progress_bar
    )
    log(compare.text(comparison))
    result = json.dumps(compare.as_dict(comparison), indent=2) + "\n"
    if folder:
        figure = curves.draw({run.name: run.history for run in comparison.runs})
        files.write_atomically(os.path.join(folder, "curves.png"), plots.png(figure))
        files.write_atomically(os.path.join(folder, "curves.svg"), plots.svg(figure))
        files.write_atomically(os.path.join(folder, "comparison.json"), result.encode())
    print(result, end="")
    return 0


def run() -> None:
    """Console entry point."""
    command.run_until_interrupted(define_flags, main, __doc__)


if __name__ == "__main__":
    run()
