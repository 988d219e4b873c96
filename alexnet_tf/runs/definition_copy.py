"""The definition files that a run's network was read from, kept in its work folder.

A recipe names them by their paths only; they may move, or change, before the trained network is
evaluated or exported.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from alexnet_common import files
from alexnet_common.errors import UserError
from alexnet_common.messages import log

FOLDER = "definition"
_KEYS = ("layers", "layer_params")


def keep(workdir: Path, network: Mapping[str, Any]) -> None:
    """Copies the files that `network` names into a work folder.

    A parameter file may change before a run goes on, as in 2012, when rates were lowered by editing
    it; the new one is kept.

    Args:
        workdir: the run's work folder.
        network: `config.network`; networks that are not read from files have none.

    Raises:
        UserError: the layers are not those that the run began with.
    """
    for key, path, kept in _files(workdir, network):
        content = path.read_bytes()
        old = kept.read_bytes() if kept.is_file() else None
        if old == content:
            continue
        if old is not None and key == "layers":
            raise UserError(
                f"{path} is not what {workdir} began with, which is kept as {kept}: use a new "
                "--workdir, or that file"
            )
        if old is not None:
            log(f"note: {path} has changed; the run goes on with its new values")
        files.write_atomically(kept, content)


def only_moved(key: str, old: Any, new: Any) -> bool:
    """Whether a setting names its definition file in another place; `keep` compares the content.

    The name must stay: the network and its copy bear it.
    """
    names_a_file = key in (*_KEYS, *(f"network.{name}" for name in _KEYS))
    return names_a_file and bool(old and new) and Path(old).name == Path(new).name


def kept(workdir: Path, network: Mapping[str, Any]) -> dict[str, Any]:
    """`config.network` with the kept files in place of those that it names."""
    copies = {key: str(copy) for key, _, copy in _files(workdir, network) if copy.is_file()}
    return dict(network.items()) | copies


def _files(workdir: Path, network: Mapping[str, Any]) -> list[tuple[str, Path, Path]]:
    """(key, file, its copy); the copy keeps the file's name, which names the network."""
    named = [(key, Path(network[key])) for key in _KEYS if network.get(key)]
    return [(key, path, workdir / FOLDER / key / path.name) for key, path in named]
