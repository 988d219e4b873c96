"""Labels image files with an exported network.

Example:
  python -m alexnet_tf.predict --model=MODEL photo.jpg other.png

MODEL is a folder that alexnet_tf.export wrote; nothing else of the training is needed. Prints the
five most probable classes of every file. A file that is not an image is reported, the others are
still labelled, and the exit status is 1.

With --json every file is listed, in order: its `top_5`, or its `error`. A `label` is the place of
the class in the `class_names` of MODEL/export.json, from 0; the records of a dataset count from 1.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from absl import flags

from alexnet_common import command, files
from alexnet_common.errors import FAILED, UsageError, UserError, one_line
from alexnet_common.messages import log
from alexnet_common.tensorflow_import import import_tensorflow

if TYPE_CHECKING:
    from alexnet_tf.serving.loaded import LoadedModel

# More than any image of the pixels that are decoded has.
_MAX_FILE_BYTES = 1 << 30


def define_flags(flag_values: flags.FlagValues) -> None:
    """Defines the command's flags."""
    flags.DEFINE_string(
        "model",
        None,
        "Folder of the exported model, or of its versions, of which the newest is taken.",
        flag_values=flag_values,
    )
    flags.mark_flag_as_required("model", flag_values=flag_values)
    flags.DEFINE_bool(
        "json", False, "Print JSON instead of text: all files, failed ones too.",
        flag_values=flag_values,
    )  # fmt: skip
    flags.DEFINE_string("output", "", "Write the JSON to this file.", flag_values=flag_values)


def main(flag_values: flags.FlagValues, arguments: list[str]) -> int:
    """Runs the command."""
    if not arguments:
        raise UsageError("no image named: python -m alexnet_tf.predict --model=DIR IMAGE")
    if flag_values.output:
        files.check_writable(flag_values.output, "--output")
    # TensorFlow takes seconds to import: after the flags are known to be right.
    import_tensorflow()
    from alexnet_tf.serving import loaded

    model = loaded.load(flag_values.model)
    results, failures = [], 0
    for path in arguments:
        result: dict[str, Any] = {"file": _shown(path)}
        try:
            result["top_5"] = classify(model, _read(path))
        except UserError as error:
            failures += 1
            result["error"] = one_line(error)
            log(f"error: {result['file']}: {result['error']}")
        results.append(result)
        if not flag_values.json and "top_5" in result:
            print(_text(result), flush=True)
    text = json.dumps(results, indent=2, ensure_ascii=False) + "\n"
    if flag_values.json:
        print(text, end="")
    if flag_values.output:
        files.write_atomically(flag_values.output, text.encode())
    return FAILED if failures else 0


def classify(model: LoadedModel, content: bytes) -> list[dict[str, Any]]:
    """The best classes of one image file, best first.

    Returns:
        Dicts of `name`, `title`, `label` (from 0) and `probability`.

    Raises:
        UserError: the content is not an image that can be read.
    """
    outputs = model.of_files("serving_default", [content])
    if not outputs["valid"][0]:
        raise UserError(f"is not an image that can be read: {outputs['error'][0].decode()}")
    return model.best(outputs, 0)


def _read(path: str) -> bytes:
    if os.path.isdir(path):
        raise UserError("is a folder; name image files, such as FOLDER/*.jpg")
    try:
        with files.open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size > _MAX_FILE_BYTES:
                raise UserError(f"has {size:,} bytes, more than any image that is decoded")
            return file.read()
    except (OSError, ValueError) as error:
        raise UserError(getattr(error, "strerror", None) or str(error)) from error


def _shown(path: str) -> str:
    """A file's name as text; bytes that are not UTF-8 are escaped, as `\\xe9`."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _text(result: dict[str, Any]) -> str:
    lines = [result["file"]]
    for best in result["top_5"]:
        title = "" if best["title"] == best["name"] else f"  {best['title']}"
        lines.append(f"  {best['probability']:6.1%}  {best['name']}{title}")
    return "\n".join(lines)


def run() -> None:
    """Console entry point."""
    command.run_until_interrupted(define_flags, main, __doc__)


if __name__ == "__main__":
    run()
