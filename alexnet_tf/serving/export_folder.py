"""What is in the folder of an export, told without TensorFlow."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from alexnet_common import folders

FACTS_FILE = "export.json"
FORMAT = "alexnet-tf export"


def read_facts(folder: Path) -> dict[str, Any] | None:
    """What `export.json` of an export says, or None where the folder is not an export."""
    try:
        facts = json.loads((folder / FACTS_FILE).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return facts if isinstance(facts, dict) and facts.get("format") == FORMAT else None


def versions(folder: Path) -> list[int]:
    """Numbers of the versions in a folder of TensorFlow Serving's layout, ascending."""
    try:
        names = [path.name for path in folder.iterdir() if (path / "saved_model.pb").is_file()]
    except OSError:
        return []
    return sorted(int(name) for name in names if name.isascii() and name.isdigit())


def model_folder(folder: Path, version: int | None = None) -> tuple[Path, int]:
    """The folder of the SavedModel and its version: `folder` itself (1), or one of its versions.

    Args:
        folder: an export, a folder of exports by version, or a work folder with one of these as
            `export/`.
        version: the wanted one; None: the newest.
    """
    if (folder / "config.json").is_file():
        folder /= "export"
    for place in [folder, *([folder / str(version)] if version else [])]:
        if not os.path.lexists(place):
            # An export may have been killed while it replaced this one.
            folders.recover(place)
    if (folder / "saved_model.pb").is_file():
        return folder, int(folder.name) if folder.name.isascii() and folder.name.isdigit() else 1
    numbers = versions(folder)
    if version is None and numbers:
        version = numbers[-1]
    return (folder / str(version), version) if version in numbers and version else (folder, 1)


def advice(folder: Path) -> str:
    """What to do about a folder without a SavedModel: export the run, or name the export in it."""
    command = "python -m alexnet_tf.export"
    if (folder / "config.json").is_file():
        return f"it is the folder of a run: {command} --workdir={folder} --output_dir=MODEL"
    try:
        inside = sorted(path for path in folder.iterdir() if read_facts(path) or versions(path))
    except OSError:
        return f"there is no such folder ({command} writes one)"
    if inside:
        return f"did you mean --model={inside[0]}?"
    return f"{command} writes one"
