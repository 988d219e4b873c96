"""Makes report.html of a run: one page with its curves, kernels, mistakes, recipe and data.

Example:
  python -m alexnet_tf.report --workdir=RUN
  python -m alexnet_tf.report --workdir=RUN --noevaluate --output=so_far.html

The page is one file that needs no network: it can be mailed, printed, read on a phone. A run that
still trains, or has only begun, has a report too. The best checkpoint (else the newest) is
evaluated on the validation split for it, unless --noevaluate. Training ends with this report,
unless --config.log.report=false.
"""

from __future__ import annotations

import os

from absl import flags

from alexnet_common import command, files
from alexnet_common.errors import UsageError
from alexnet_common.tensorflow_import import import_tensorflow
from alexnet_tf import evaluate


def define_flags(flag_values: flags.FlagValues) -> None:
    """Defines the command's flags."""
    flags.DEFINE_string("workdir", None, "Work folder of the run.", flag_values=flag_values)
    flags.mark_flag_as_required("workdir", flag_values=flag_values)
    flags.DEFINE_string(
        "output", "", "The file; empty: report.html in the work folder.", flag_values=flag_values
    )
    flags.DEFINE_bool(
        "evaluate",
        True,
        "Evaluate the best checkpoint: classes, calibration and mistakes.",
        flag_values=flag_values,
    )
    evaluate.define_split_flags(flag_values)


def main(flag_values: flags.FlagValues, arguments: list[str]) -> int:
    """Runs the command."""
    if arguments:
        raise UsageError(f"unexpected argument {arguments[0]!r}")
    workdir, output = flag_values.workdir, flag_values.output
    # A work folder that is not there is not made.
    if output or os.path.isdir(workdir):
        path = output or os.path.join(workdir, "report.html")
        files.check_writable(path, "--output" if output else "--workdir")
    import_tensorflow()
    from alexnet_tf.analysis import report

    settings = report.Settings(
        evaluate=flag_values.evaluate,
        views=int(flag_values.views),
        split=flag_values.split,
        data_dir=flag_values.data_dir,
        batch_size=flag_values.batch_size,
    )
    print(report.write(workdir, settings, output, evaluate.progress_bar))
    return 0


def run() -> None:
    """Console entry point."""
    command.run_until_interrupted(define_flags, main, __doc__)


if __name__ == "__main__":
    run()
