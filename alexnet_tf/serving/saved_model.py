"""An export on the disk: the SavedModel, other formats and the facts, complete or not at all."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from alexnet_common import files, folders
from alexnet_common.errors import UserError
from alexnet_tf.model import build
from alexnet_tf.runs.restore import TrainedRun
from alexnet_tf.serving import classifier, other_formats
from alexnet_tf.serving.export_folder import FACTS_FILE, FORMAT, read_facts, versions
from data_prep.pixels.limits import MAX_PIXELS

__all__ = ["FACTS_FILE", "check_replaceable", "export", "read_facts", "target_folder"]

# What an export consists of; a folder that holds anything else is not replaced.
_CONTENTS = frozenset(
    [
        FACTS_FILE,
        "saved_model.pb",
        "fingerprint.pb",
        "variables",
        "assets",
        "assets.extra",
        *other_formats.FILES.values(),
    ]
)


def export(
    run: TrainedRun,
    output_dir: str,
    views: int = 10,
    *,
    version: int | None = None,
    formats: Sequence[str] = (),
) -> dict[str, Any]:
    """Writes the SavedModel, complete or not at all.

    Signatures `serving_default`, `ten_view` and `features` take `image_bytes`, string [B], contents
    of image files; `images` takes `images`, uint8 [B, S, S, 3], already square.

    `serving_default` and `images` return `probabilities` float32 [B, classes], and of the best
    min(5, classes) classes `top_5_labels` int32 (from 0), `top_5_names`, `top_5_titles` string and
    `top_5_probabilities` float32, best first. `ten_view` averages over ten views whatever `views`
    is, and returns `view_probabilities` float32 [B, 10, classes] too. `features` returns
    `features`, float32 [B, n]: the last hidden layer's outputs for the centre view.

    A file that is not an image affects only its own row: signatures of files return `valid`, bool
    [B], and `error`, string [B], the reason; the row's numbers are 0, its labels -1, its
    texts empty.

    Args:
        run: the trained run.
        output_dir: new, empty, or a former export, which is replaced.
        views: 1 or 10.
        version: writes to the folder of that number in `output_dir`, as TensorFlow Serving wants.
        formats: names of `other_formats.FILES` to be written beside the SavedModel.

    Returns:
        What `export.json` holds.

    Raises:
        UserError: `output_dir` holds something else, the disk is full, or a format cannot be
            written here.
    """
    target = target_folder(output_dir, version)
    check_replaceable(target)
    facts = _facts(run, views)
    with _named_in_errors(target), folders.atomic_folder(target) as folder:
        temporary = Path(folder)
        module = classifier.Classifier(run, views, upright=facts["exif_orientation"] == "apply")
        tf.saved_model.save(module, folder, signatures=module.served)
        for name in formats:
            other_formats.write(name, run, views, temporary)
        text = json.dumps(facts, indent=2, ensure_ascii=False) + "\n"
        files.write_atomically(temporary / FACTS_FILE, text.encode())
    return facts


@contextlib.contextmanager
def _named_in_errors(target: Path) -> Iterator[None]:
    """Turns what TensorFlow says of a full disk into one line about `target`."""
    try:
        yield
    except tf.errors.OpError as error:
        full = os.strerror(errno.ENOSPC)
        reason = full if full in str(error) else str(error).partition("\n")[0]
        raise UserError(f"{target} cannot be written: {reason}") from error


def target_folder(output_dir: str, version: int | None = None) -> Path:
    """Where an export goes: what `output_dir` is, or points at, and the version's folder in it."""
    folder = Path(os.path.realpath(output_dir))
    return folder if version is None else folder / str(version)


def check_replaceable(target: Path) -> None:
    """Refuses a target that cannot be written, or is neither new nor empty nor a former export.

    What a killed export left there is put in order first.

    Raises:
        UserError: says what is in the way.
    """
    folders.recover(target)
    if target.exists() and not target.is_dir():
        raise UserError(f"--output_dir {target} is not a folder")
    # A folder is replaced by renaming, for which the one that it lies in must be writable.
    probe = f"{target}.new" if target.is_dir() else str(target)
    files.check_writable(probe, "--output_dir")
    if target.name.isdigit() and read_facts(target.parent) is not None:
        raise UserError(
            f"--output_dir {target.parent} is itself a former export; versions need a folder of "
            "their own"
        )
    if not target.exists():
        return
    names = sorted(path.name for path in target.iterdir())
    if not names:
        return
    if read_facts(target) is None:
        numbers = versions(target)
        if numbers:
            raise UserError(
                f"--output_dir {target} holds versions of a model, the newest {numbers[-1]}: "
                f"add --version={numbers[-1] + 1}"
            )
        raise UserError(
            f"--output_dir {target} is not empty and holds no former export; use a new folder"
        )
    foreign = [name for name in names if name not in _CONTENTS]
    if foreign:
        raise UserError(
            f"--output_dir {target} holds a former export and also {foreign[0]}, which would be "
            "lost; move it, or use a new folder"
        )


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
        # Labels here are places in these lists, from 0; the dataset's records have this much more.
        "label_offset_of_records": run.facts.label_offset,
        "class_names": list(run.facts.class_names),
        "class_titles": list(run.facts.class_titles),
        "views": views,
        "features": classifier.feature_rows(run.table),
        "image_size": run.facts.image_size,
        "input_size": run.crop,
        "max_pixels": MAX_PIXELS,
        "exif_orientation": run.facts.exif_orientation,
        "checkpoint": run.which,
        "epoch": run.state["epoch"],
        "step": run.state["step"],
        # On the validation split, on the centre view, when this checkpoint was written.
        "val_top_1_error_1_view": measured.get("val_top_1_error"),
        "versions": {"tensorflow": tf.__version__, "keras": keras.__version__},
    }
