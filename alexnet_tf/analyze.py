"""Shows what a trained network gets right and wrong on a split, image by image.

Example:
  python -m alexnet_tf.analyze --workdir=RUN --output_dir=ANALYSIS
  python -m alexnet_tf.analyze --workdir=RUN1,RUN2 --output_dir=ANALYSIS --format=both

Writes to --output_dir: summary.json (errors with 95% intervals, calibration), per_class.csv,
confusion.csv, most_confused.csv, their figures (PNG), the surest mistakes as a contact sheet
(mistakes.png), the predictions of every image (predictions.csv or predictions.parquet: file name,
label, place and probability of the right class, the five best classes) and all probabilities
(predictions.npz). Labels count from 0, in the order of the dataset's class_names.
Of several runs each has a folder of its own there, and the mean of their probabilities has
"ensemble". A table goes to stderr, the summaries as JSON to stdout.
"""

from __future__ import annotations

import json

from absl import flags

from alexnet_common import command, files
from alexnet_common.errors import UsageError
from alexnet_common.messages import log
from alexnet_common.tensorflow_import import import_tensorflow
from alexnet_tf import evaluate


def define_flags(flag_values: flags.FlagValues) -> None:
    """Defines the command's flags."""
    evaluate.define_data_flags(flag_values)
    flags.DEFINE_string(
        "output_dir", None, "Folder for the results. Made if needed.", flag_values=flag_values
    )
    flags.mark_flag_as_required("output_dir", flag_values=flag_values)
    flags.DEFINE_enum(
        "format",
        "csv",
        ["csv", "parquet", "both"],
        "Files of predictions; Parquet needs the extra `columns`.",
        flag_values=flag_values,
    )
    flags.DEFINE_bool(
        "probabilities",
        True,
        "Also write predictions.npz with all probabilities: 4 bytes per image and class.",
        flag_values=flag_values,
    )
    flags.DEFINE_integer(
        "mistakes", 24, "Images of the contact sheet.", lower_bound=1, flag_values=flag_values
    )


def main(flag_values: flags.FlagValues, arguments: list[str]) -> int:
    """Runs the command."""
    if arguments:
        raise UsageError(f"unexpected argument {arguments[0]!r}")
    folder = flag_values.output_dir
    files.check_writable(files.join(folder, "summary.json"), "--output_dir")
    import_tensorflow()
    from alexnet_tf.analysis import predictions, result_files, results
    from alexnet_tf.evaluation import ensemble

    predictions.check(flag_values.format)
    settings = evaluate.settings_from(flag_values)
    opened = ensemble.open_runs(flag_values.workdir, settings)
    outputs = results.Outputs(folder, flag_values.format, flag_values.probabilities)
    analyzed = results.analyze(
        opened,
        mistakes=flag_values.mistakes,
        outputs=outputs,
        progress=evaluate.progress_bar,
    )
    summaries = []
    for result in analyzed:
        own = results.folder_of(folder, result.name, len(analyzed) > 1)
        result_files.write(own, opened, result)
        summaries.append(results.summary(opened, result))
    log(result_files.text(summaries, [result.name for result in analyzed]))
    log(f"written to {folder}; labels in it count from 0")
    names = [result.name for result in analyzed]
    print(json.dumps(dict(zip(names, summaries, strict=True)), indent=2))
    return 0


def run() -> None:
    """Console entry point."""
    command.run_until_interrupted(define_flags, main, __doc__)


if __name__ == "__main__":
    run()
