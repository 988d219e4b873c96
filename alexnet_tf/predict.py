"""Labels image files with an exported network.

Example:
  python -m alexnet_tf.predict --model=MODEL photo.jpg other.png

MODEL is a folder that alexnet_tf.export wrote; nothing else of the training is needed. Prints the
five most probable classes of every file. A file that is no image is reported, the others are still
labelled, and the exit status is 1.
"""

from __future__ import annotations

import json
import os
import re
from typing import Any

from absl import flags

from alexnet_common import command, files
from alexnet_common.errors import FAILED, UsageError, UserError, one_line
from alexnet_common.messages import log
from alexnet_common.tensorflow_import import import_tensorflow


def define_flags(flag_values: flags.FlagValues) -> None:
    """Defines the command's flags."""
    flags.DEFINE_string("model", None, "Folder of the exported model.", flag_values=flag_values)
    flags.mark_flag_as_required("model", flag_values=flag_values)
    flags.DEFINE_bool("json", False, "Print JSON instead of text.", flag_values=flag_values)
    flags.DEFINE_string("output", "", "Write JSON to this file.", flag_values=flag_values)


def main(flag_values: flags.FlagValues, arguments: list[str]) -> int:
    """Runs the command."""
    if not arguments:
        raise UsageError("no image named: python -m alexnet_tf.predict --model=DIR IMAGE")
    classify = load(flag_values.model)
    results, failures = [], 0
    for path in arguments:
        try:
            result = {"file": path, "top_5": classify(_read(path))}
        except UserError as error:
            failures += 1
            log(f"error: {path}: {one_line(error)}")
            continue
        results.append(result)
        if not flag_values.json:
            print(_text(result), flush=True)
    text = json.dumps(results, indent=2, ensure_ascii=False) + "\n"
    if flag_values.json:
        print(text, end="")
    if flag_values.output:
        files.write_atomically(flag_values.output, text.encode())
    return FAILED if failures else 0


def load(folder: str) -> Any:
    """Loads an exported model.

    Returns:
        A function from the content of an image file to its best classes, best first, each a dict
        of `name`, `title`, `label` (from 0) and `probability`.

    Raises:
        UserError: the folder is no such model; the function raises it for what is no image.
    """
    if not os.path.isfile(os.path.join(folder, "saved_model.pb")):
        raise UserError(
            f"--model {folder} holds no SavedModel; python -m alexnet_tf.export writes one"
        )
    import_tensorflow()
    import tensorflow as tf

    try:
        loaded = tf.saved_model.load(folder)
    except (OSError, ValueError, tf.errors.OpError) as error:
        raise UserError(f"--model {folder} is damaged: {_reason(error)}") from error
    signature = loaded.signatures.get("serving_default")
    wanted = {"top_5_names", "top_5_titles", "top_5_labels", "top_5_probabilities"}
    if signature is None or not wanted <= set(signature.structured_outputs):
        raise UserError(
            f"--model {folder} is a SavedModel of another kind; "
            "python -m alexnet_tf.export writes one that fits"
        )

    def classify(content: bytes) -> list[dict[str, Any]]:
        try:
            outputs = signature(image_bytes=tf.constant([content]))
        except tf.errors.InvalidArgumentError as error:
            raise UserError(f"is not an image that can be read: {_reason(error)}") from error
        first = {name: outputs[name].numpy()[0] for name in wanted}
        return [
            {
                "name": name.decode(),
                "title": title.decode(),
                "label": int(label),
                "probability": float(probability),
            }
            for name, title, label, probability in zip(
                first["top_5_names"],
                first["top_5_titles"],
                first["top_5_labels"],
                first["top_5_probabilities"],
                strict=True,
            )
        ]

    # `loaded` owns the variables that the signature reads.
    classify.model = loaded  # type: ignore[attr-defined]
    return classify


def _read(path: str) -> bytes:
    if os.path.isdir(path):
        raise UserError("is a folder; name image files, such as FOLDER/*.jpg")
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise UserError(str(error.strerror)) from error


def _text(result: dict[str, Any]) -> str:
    lines = [result["file"]]
    for best in result["top_5"]:
        title = "" if best["title"] == best["name"] else f"  {best['title']}"
        lines.append(f"  {best['probability']:6.1%}  {best['name']}{title}")
    return "\n".join(lines)


def _reason(error: Exception) -> str:
    """TensorFlow's message without the names of nodes and traces around it: its last line."""
    text = getattr(error, "message", None) or str(error)
    text = re.sub(r"\{\{.*?\}\}|\[\[.*?\]\]|\[Op:.*?\]", " ", text)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1].rstrip(".")[:200] if lines else "unknown reason"


def run() -> None:
    """Console entry point."""
    command.run(define_flags, main, __doc__)


if __name__ == "__main__":
    run()
