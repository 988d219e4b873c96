"""Where a run was computed: versions, processor, GPUs; kept in its work folder at every start.

`environment.json` is a list with an entry per start, oldest first: a run may go on elsewhere.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from alexnet_common import files, installed
from alexnet_common.messages import log

FILE = "environment.json"
_PACKAGES = ("tensorflow", "keras", "numpy", "tensorflow-addons")


def keep(workdir: Path, computes_on: str, step: int) -> None:
    """Adds this process to the work folder's list. Where that cannot be written, a note says so.

    Args:
        workdir: the run's work folder.
        computes_on: the devices, in words (`Distribution.description`).
        step: of the run, at which this process begins.
    """
    try:
        entries = [*read(workdir), {"step": step, "computes_on": computes_on} | describe()]
        text = json.dumps(entries, indent=1) + "\n"
        files.write_atomically(workdir / FILE, text.encode())
    except OSError as error:
        log(f"note: {workdir / FILE} cannot be written ({error.strerror})")


def read(workdir: Path) -> list[dict[str, Any]]:
    """The entries; none where the run is older than this file, or it is damaged."""
    try:
        entries = json.loads((workdir / FILE).read_bytes())
    except (OSError, ValueError):
        return []
    return [entry for entry in entries if isinstance(entry, dict)]


def describe() -> dict[str, Any]:
    """This process: start, versions, processor, GPUs."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    names = [
        tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus
    ]
    description = {
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "system": platform.platform(terse=True),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "gpus": names,
        "packages": {name: version for name in _PACKAGES if (version := installed.version(name))},
        "alexnet_tf": installed.version("alexnet-tf") or "from a checkout",
    }
    commit = _commit()
    return description | ({"commit": commit} if commit else {})


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _commit() -> str:
    """The commit of the checkout that this code runs from, "+" behind it where files differ."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return ""
    try:
        commit = _git(root, "rev-parse", "--short=12", "HEAD")
        return commit + ("+" if _git(root, "status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.SubprocessError):
        return ""


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()
