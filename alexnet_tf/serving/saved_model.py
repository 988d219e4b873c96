"""A trained run as a SavedModel that takes image files and needs nothing but TensorFlow.

The graph holds everything between the bytes of a file and the names of the best classes: decoding,
the converter's resize, views, mean subtraction, the network, softmax (or what `costs.probabilities`
has for the network's cost), the mean over views. It is saved from a plain `tf.Module`, without
Keras objects, so that any TensorFlow can load it.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from alexnet_common import files
from alexnet_common.errors import UserError
from alexnet_tf.evaluation import predict
from alexnet_tf.model import build
from alexnet_tf.runs.restore import TrainedRun
from alexnet_tf.serving import resize_graph

FACTS_FILE = "export.json"
FORMAT = "alexnet-tf export"
# What an export consists of; a folder that holds anything else is not replaced.
_CONTENTS = frozenset(
    [FACTS_FILE, "saved_model.pb", "fingerprint.pb", "variables", "assets", "assets.extra"]
)


class Classifier(tf.Module):
    """A trained network as two functions, of image files and of pixels.

    Args:
        run: the trained run.
        views: 1 (centre) or 10, whose probabilities are averaged.
    """

    def __init__(self, run: TrainedRun, views: int):
        super().__init__(name="alexnet_tf")
        size = run.facts.image_size
        # Owned here, so that they are saved; the model itself is not.
        self.weights = {
            name: _plain(variable) for name, variable in build.named_variables(run.model).items()
        }
        names = tf.constant(run.facts.class_names)
        titles = tf.constant(run.facts.class_titles)
        best = min(5, run.facts.num_classes)

        pixels = tf.TensorSpec([None, size, size, 3], tf.uint8, "images")
        files = tf.TensorSpec([None], tf.string, "image_bytes")

        @tf.function(input_signature=[pixels], autograph=False)
        def from_pixels(images: tf.Tensor) -> dict[str, tf.Tensor]:
            probabilities = predict.predict(
                run.model, run.prepare, images, table=run.table, views=views
            )
            # Equal probabilities come in the order of the classes, as in our errors.
            values, labels = tf.math.top_k(probabilities, k=best)
            return {
                "probabilities": probabilities,
                "top_5_labels": labels,
                "top_5_names": tf.gather(names, labels),
                "top_5_titles": tf.gather(titles, labels),
                "top_5_probabilities": values,
            }

        @tf.function(input_signature=[files], autograph=False)
        def from_files(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
            return from_pixels(resize_graph.squares(image_bytes, size))

        self.from_pixels = from_pixels
        self.from_files = from_files


def export(run: TrainedRun, output_dir: str, views: int = 10) -> dict[str, Any]:
    """Writes the SavedModel, complete or not at all.

    Signature `serving_default`: `image_bytes`, string [B], contents of image files. Signature
    `images`: `images`, uint8 [B, S, S, 3], already square. Both return `probabilities` float32
    [B, classes], and of the best min(5, classes) classes `top_5_labels` int32 (from 0),
    `top_5_names`, `top_5_titles` string and `top_5_probabilities` float32, best first.

    Args:
        run: the trained run.
        output_dir: new, empty, or a former export, which is replaced.
        views: 1 or 10.

    Returns:
        What `export.json` holds.

    Raises:
        UserError: `output_dir` holds something else.
    """
    target = Path(os.path.abspath(output_dir))
    check_replaceable(target)
    facts = _facts(run, views)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent))
    try:
        module = Classifier(run, views)
        tf.saved_model.save(
            module,
            str(temporary),
            signatures={"serving_default": module.from_files, "images": module.from_pixels},
        )
        text = json.dumps(facts, indent=2, ensure_ascii=False) + "\n"
        files.write_atomically(temporary / FACTS_FILE, text.encode())
        # mkdtemp makes folders private; an export is meant to be served.
        temporary.chmod(0o755)
        _publish(temporary, target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return facts


def check_replaceable(target: Path) -> None:
    """Refuses a target that is neither new nor empty nor a former export.

    Raises:
        UserError: says what is in the way.
    """
    if not os.path.lexists(target):
        return
    if not target.is_dir() or target.is_symlink():
        raise UserError(f"--output_dir {target} is not a folder")
    found = sorted(path.name for path in target.iterdir())
    if not found:
        return
    if read_facts(target) is None:
        raise UserError(
            f"--output_dir {target} is not empty and holds no former export; use a new folder"
        )
    foreign = [name for name in found if name not in _CONTENTS]
    if foreign:
        raise UserError(
            f"--output_dir {target} holds a former export and also {foreign[0]}, which would be "
            "lost; move it, or use a new folder"
        )


def read_facts(folder: Path) -> dict[str, Any] | None:
    """What `export.json` of an export says, or None where the folder is no export."""
    try:
        facts = json.loads((folder / FACTS_FILE).read_bytes())
    except (OSError, ValueError):
        return None
    return facts if isinstance(facts, dict) and facts.get("format") == FORMAT else None


def _facts(run: TrainedRun, views: int) -> dict[str, Any]:
    best = run.state.get("best") or {}
    measured = best if best.get("step") == run.state["step"] else {}
    return {
        "format": FORMAT,
        "recipe": run.config.name,
        "network": run.table.name,
        # What was minimised, which also says what the "probabilities" are.
        "cost": run.table.cost.kind if run.table.cost else "logreg",
        "parameters": sum(
            int(np.prod(variable.shape)) for variable in build.named_variables(run.model).values()
        ),
        "classes": run.facts.num_classes,
        "class_names": list(run.facts.class_names),
        "class_titles": list(run.facts.class_titles),
        "views": views,
        "image_size": run.facts.image_size,
        "input_size": run.crop,
        "checkpoint": run.which,
        "epoch": run.state["epoch"],
        "step": run.state["step"],
        # On the validation split, on the centre view, when this checkpoint was written.
        "val_top_1_error_1_view": measured.get("val_top_1_error"),
        "versions": {"tensorflow": tf.__version__, "keras": keras.__version__},
    }


def _publish(temporary: Path, target: Path) -> None:
    """Puts the finished folder in the target's place, and the former export away."""
    if not target.exists():
        os.rename(temporary, target)
    else:
        former = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".old", dir=target.parent))
        # A folder can be renamed onto an empty one.
        os.rename(target, former)
        os.rename(temporary, target)
        shutil.rmtree(former, ignore_errors=True)
    files.sync_folder(str(target.parent))


def _plain(variable: Any) -> tf.Variable:
    """The TensorFlow variable inside a variable of Keras 3; in Keras 2 they are the same."""
    return variable if isinstance(variable, tf.Variable) else variable.value
