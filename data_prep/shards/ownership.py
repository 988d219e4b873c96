"""Whose an output folder is: one plan's, another's, or none that a conversion may write to."""

import json
import os
from typing import Any

from alexnet_common import files
from alexnet_common.errors import UserError
from data_prep import dataset
from data_prep.shards import sidecars
from data_prep.shards.plan import Plan

PLAN_FILE = "plan.json"


def claim(plan: Plan, fingerprint: str, output_dir: str) -> dataset.Dataset | None:
    """Makes the folder this plan's own, or finds that it is.

    Returns:
        The dataset if it is complete, without skipped images, and its files are there.

    Raises:
        UserError: the folder holds another dataset, another plan's shards or other files.
    """
    refuse_foreign(output_dir)
    dataset_path = files.join(output_dir, dataset.DATASET_FILE)
    if files.exists(dataset_path):
        owner = _read_json(dataset_path)
        if owner.get("plan") != fingerprint:
            raise UserError(
                f"{output_dir}: holds another dataset already; name another --output_dir"
            )
        try:
            finished = dataset.load(output_dir)
            if not any(split.skipped for split in finished.splits.values()):
                return finished
        except dataset.DatasetError:
            pass
        # Something is missing or to be repaired; meanwhile this must not look finished.
        files.remove(dataset_path)
    files.make_dirs(sidecars.folder(output_dir))
    path = files.join(sidecars.folder(output_dir), PLAN_FILE)
    mine = {"plan": fingerprint, "summary": plan.summary()}
    text = json.dumps(mine, indent=1, sort_keys=True) + "\n"
    if not files.write_if_absent(path, text.encode()):
        theirs = _read_json(path)
        if theirs.get("plan") != fingerprint:
            raise UserError(
                f"{output_dir}: holds the unfinished shards of another plan "
                f"({_difference(theirs.get('summary'), plan.summary())}); "
                "name another --output_dir, or remove this one"
            )
    return None


def refuse_foreign(output_dir: str) -> None:
    """Refuses a folder that holds anything but a dataset or the beginning of one.

    Raises:
        UserError: it is a file, or holds other files.
    """
    if not files.exists(output_dir):
        return
    if not files.is_dir(output_dir):
        raise UserError(f"{output_dir}: is a file; --output_dir wants a folder")
    ours = (
        files.join(output_dir, dataset.DATASET_FILE),
        files.join(sidecars.folder(output_dir), PLAN_FILE),
    )
    foreign = [name for name in files.list_dir(output_dir) if not name.startswith(".")]
    if foreign and not any(files.exists(path) for path in ours):
        raise UserError(
            f"{output_dir}: holds other files (as {foreign[0]!r}); name a new --output_dir"
        )


def sweep(output_dir: str) -> None:
    """Removes temporary files of processes of this machine that are gone."""
    if files.is_remote(output_dir):
        return
    for folder in (output_dir, sidecars.folder(output_dir)):
        for name in os.listdir(folder):
            path = os.path.join(folder, name)
            # A folder is that of another command, an export say.
            if files.left_behind(name) and not os.path.isdir(path):
                files.remove(path)


def _read_json(path: str) -> dict[str, Any]:
    try:
        content = json.loads(files.read_bytes(path))
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _difference(theirs: Any, mine: dict[str, Any]) -> str:
    if not isinstance(theirs, dict):
        return "its plan cannot be read"
    words = [f"{key} {theirs[key]} there, {mine[key]} now"
             for key in mine if key in theirs and theirs[key] != mine[key]]  # fmt: skip
    return ", ".join(words) or "other images or classes"
