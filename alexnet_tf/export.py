"""Exports a trained network as a SavedModel that takes image files and returns class names.

Examples:
  python -m alexnet_tf.export --workdir=RUN --output_dir=MODEL
  python -m alexnet_tf.export --workdir=RUN --output_dir=MODELS/photos --version=1
  python -m alexnet_tf.export --workdir=RUN --output_dir=MODEL --formats=keras,litert,onnx

The model does its own decoding, resizing, cropping and mean subtraction, and is loaded with nothing
but TensorFlow:

  model = tf.saved_model.load("MODEL").signatures["serving_default"]
  photo = tf.constant([open("photo.jpg", "rb").read()])
  model(image_bytes=photo)["top_5_names"]

A former export in --output_dir is replaced; anything else there is an error. What was exported
stands in MODEL/export.json, which is also printed. python -m alexnet_tf.serve and TensorFlow
Serving serve it; the latter wants --version.
"""

from __future__ import annotations

import json

from absl import flags

from alexnet_common import command
from alexnet_common.counting import counted
from alexnet_common.errors import UsageError
from alexnet_common.messages import log
from alexnet_common.tensorflow_import import import_tensorflow
from alexnet_tf import recipes

FORMATS = ("keras", "litert", "onnx")


def define_flags(flag_values: flags.FlagValues) -> None:
    """Defines the command's flags."""
    flags.DEFINE_string("workdir", None, "Work folder of the run.", flag_values=flag_values)
    flags.DEFINE_string("output_dir", None, "Folder of the SavedModel.", flag_values=flag_values)
    flags.mark_flags_as_required(["workdir", "output_dir"], flag_values=flag_values)
    flags.DEFINE_integer(
        "version",
        None,
        "Write to OUTPUT_DIR/VERSION, the layout of TensorFlow Serving; it serves the highest.",
        lower_bound=1,
        flag_values=flag_values,
    )
    flags.DEFINE_enum(
        "views",
        "10",
        ["1", "10"],
        "Views of each image whose probabilities are averaged: 10 as the paper tests, or 1, the "
        "centre, at a tenth of the cost.",
        flag_values=flag_values,
    )
    flags.DEFINE_list(
        "formats",
        [],
        "Files to write beside the SavedModel: keras (model.keras), litert (model.tflite), onnx "
        "(model.onnx), separated by commas.",
        flag_values=flag_values,
    )
    recipes.define_checkpoint_flag(flag_values)
    flags.DEFINE_string(
        "data_dir",
        "",
        "Where the training dataset lies, if it was moved and the work folder has no copy of its "
        "mean image.",
        flag_values=flag_values,
    )


def main(flag_values: flags.FlagValues, arguments: list[str]) -> int:
    """Runs the command."""
    if arguments:
        raise UsageError(f"unexpected argument {arguments[0]!r}")
    formats = list(dict.fromkeys(flag_values.formats))
    for name in formats:
        if name not in FORMATS:
            raise UsageError(f"--formats: no format {name!r}; there are {', '.join(FORMATS)}")
    # TensorFlow takes seconds to import: after the flags are known to be right.
    import_tensorflow()
    from alexnet_tf.runs import restore
    from alexnet_tf.serving import other_formats, saved_model

    # What would fail at the end is found at the beginning.
    target = saved_model.target_folder(flag_values.output_dir, flag_values.version)
    saved_model.check_replaceable(target)
    for name in formats:
        other_formats.check(name)
    run = restore.load(flag_values.workdir, flag_values.checkpoint, flag_values.data_dir)
    facts = saved_model.export(
        run,
        flag_values.output_dir,
        int(flag_values.views),
        version=flag_values.version,
        formats=formats,
    )
    also = "".join(f", {other_formats.FILES[name]}" for name in formats)
    log(
        f"exported {facts['network']} of epoch {facts['epoch']} ({facts['checkpoint']}), "
        f"{counted(facts['classes'], 'class', 'classes')}, {counted(facts['views'], 'view')}"
        f"{also}, to {target}"
    )
    print(json.dumps(facts, ensure_ascii=False))
    return 0


def run() -> None:
    """Console entry point."""
    command.run_until_interrupted(define_flags, main, __doc__)


if __name__ == "__main__":
    run()
