"""Checkpoints: everything a run needs to go on, in one file, whole or not there.

A checkpoint is `checkpoints/step-000000123.npz`: the weights by their names in the network's
table, the optimizer's variables, and a JSON text with position, learning-rate rule and best result.
NumPy's format needs no pickle, checks a CRC of every array, and holds no trace of strategy or
placement, so a run moves freely between one device, many GPUs and two columns.
"""

from __future__ import annotations

import dataclasses
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from alexnet_common import files
from alexnet_common.errors import UserError, one_line
from alexnet_common.messages import log

_NAME = re.compile(r"step-(\d+)\.npz")


class DamagedCheckpoint(UserError):
    """A checkpoint file that cannot be read back whole."""


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """The state of a run after some update.

    Attributes:
        weights: by name, such as "conv1a/kernel".
        optimizer: the optimizer's variables, as `optimizer.state` names them.
        state: what JSON can hold: `step`, `epoch`, the learning-rate rule's state, `best`, ...
    """

    weights: dict[str, np.ndarray]
    optimizer: dict[str, np.ndarray]
    state: dict[str, Any]


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Writes a checkpoint to a temporary name, flushes it to the disk, and renames it.

    Raises:
        OSError: the disk is full, say; `path` is as it was before.
    """
    arrays = {f"weights/{name}": array for name, array in checkpoint.weights.items()}
    arrays |= {f"optimizer/{name}": array for name, array in checkpoint.optimizer.items()}
    arrays["state"] = np.frombuffer(json.dumps(checkpoint.state).encode(), np.uint8)
    with files.atomic_writer(path) as file:
        # savez takes names as keyword arguments; "file" is the one name it keeps for itself.
        np.savez(file, allow_pickle=False, **arrays)


def load(path: Path) -> Checkpoint:
    """Reads a checkpoint back, with every array's checksum checked.

    Raises:
        DamagedCheckpoint: the file is cut off, altered, or something else.
    """
    parts: dict[str, dict[str, np.ndarray]] = {"weights": {}, "optimizer": {}}
    try:
        with np.load(path, allow_pickle=False) as arrays:
            state = json.loads(bytes(arrays["state"]))
            for key in arrays.files:
                part, _, name = key.partition("/")
                if part in parts:
                    parts[part][name] = arrays[key]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError) as error:
        raise DamagedCheckpoint(f"{path} is damaged ({one_line(error)})") from error
    return Checkpoint(parts["weights"], parts["optimizer"], state)


def steps(folder: Path) -> list[int]:
    """Steps that `folder` has checkpoints of, oldest first."""
    if not folder.is_dir():
        return []
    matches = (_NAME.fullmatch(path.name) for path in folder.iterdir())
    return sorted(int(match[1]) for match in matches if match)


def path_of(folder: Path, step: int) -> Path:
    """The file of the checkpoint of `step`."""
    return folder / f"step-{step:09d}.npz"


def load_newest(folder: Path) -> Checkpoint | None:
    """The newest checkpoint that is whole; damaged ones are reported and passed over.

    Raises:
        DamagedCheckpoint: there are checkpoints, and all of them are damaged.
    """
    saved = steps(folder)
    for step in reversed(saved):
        try:
            return load(path_of(folder, step))
        except DamagedCheckpoint as error:
            log(f"warning: {error}; trying the one before")
    if saved:
        unreadable = f"none of the {len(saved)} checkpoints in {folder} can be read"
        if len(saved) == 1:
            unreadable = f"the only checkpoint in {folder} cannot be read"
        raise DamagedCheckpoint(f"{unreadable}; delete the folder to start the run anew")
    return None


def missing(workdir: Path, which: str, *, has_newest: bool) -> UserError:
    """The error of a run without the checkpoint that is asked for.

    Args:
        workdir: its work folder.
        which: "best" or "newest".
        has_newest: whether there are checkpoints of the newest weights.
    """
    if which == "best" and has_newest:
        return UserError(
            f"{workdir} has no best checkpoint: no epoch has been validated yet, or its dataset "
            "has no validation split; the checkpoint newest (--checkpoint=newest) has the latest "
            "weights"
        )
    return UserError(f"{workdir} has no {which} checkpoint yet; train first")


def remove_old(folder: Path, keep: int) -> None:
    """Deletes all but the newest `keep` checkpoints, and what an interrupted save left behind."""
    for step in steps(folder)[: -max(keep, 1)]:
        path_of(folder, step).unlink(missing_ok=True)
    for leftover in folder.glob(".step-*.tmp*"):
        leftover.unlink(missing_ok=True)


def assign_weights(variables: dict[str, Any], weights: dict[str, np.ndarray], where: str) -> None:
    """Sets a model's variables from a checkpoint's weights.

    Args:
        variables: by name, as `model.build.named_variables` returns them.
        weights: by name.
        where: names the source in errors.

    Raises:
        UserError: a variable is missing or has another shape: the checkpoint is of another network.
    """
    for name, variable in variables.items():
        if name not in weights:
            raise UserError(f"{where}: has no {name}; it is of another network")
        if tuple(weights[name].shape) != tuple(variable.shape):
            raise UserError(
                f"{where}: {name} has shape {list(weights[name].shape)}, the network needs "
                f"{list(variable.shape)}; it is of another network"
            )
    unknown = sorted(set(weights) - set(variables))
    if unknown:
        raise UserError(
            f"{where}: has {unknown[0]}, which the network does not have; it is of another network"
        )
    for name, variable in variables.items():
        variable.assign(weights[name])
