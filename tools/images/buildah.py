"""Images built by Debian's buildah, on a base made by debootstrap: needs root, no daemon.

Nothing of the machine's own images is touched: storage lies in a folder of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alexnet_common.errors import UserError
from alexnet_common.messages import log

PROGRAMS = ("buildah", "debootstrap", "unshare", "nsenter", "ip")
# What the Dockerfile's base consists of, in Debian's packages; bookworm's Python is 3.11, too.
SUITE, PACKAGES = "bookworm", "python3,python3-venv,python3-pip,ca-certificates"
# How pip of this machine reaches its index; the image gets neither.
PIP_CONFIG, CERTIFICATES = "/etc/pip.conf", "/etc/ssl/certs"


def check_usable() -> None:
    """Raises a UserError where images cannot be built here."""
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        raise UserError(
            f"needs {', '.join(missing)} (Debian: apt-get install buildah debootstrap util-linux "
            "iproute2)"
        )
    if os.geteuid() != 0:
        raise UserError("needs root, to make file systems and namespaces; no daemon is used")


class Buildah:
    """A storage of images and containers in one folder.

    Args:
        folder: made if needed; some GB per image. `remove` deletes it.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def run(self, *arguments: str, quiet: bool = True) -> str:
        """Runs buildah and returns what it prints to stdout.

        Raises:
            UserError: it failed; the end of its output is shown.
        """
        command = ["buildah", "--storage-driver=vfs", f"--root={self._folder / 'storage'}"]
        command += [f"--runroot={self._folder / 'run'}", *arguments]
        # Layers that are being put together are as large as images.
        environment = os.environ | {"TMPDIR": str(self._folder)}
        done = subprocess.run(
            command, env=environment, capture_output=quiet, text=True, check=False
        )
        if done.returncode:
            end = "\n".join((done.stderr or "").splitlines()[-15:])
            raise UserError(f"buildah {arguments[0]} failed with status {done.returncode}: {end}")
        return (done.stdout or "").strip()

    def has(self, image: str) -> bool:
        """Whether an image of this name is stored."""
        images = json.loads(self.run("images", "--json") or "[]")
        return any(image in (entry.get("names") or []) for entry in images)

    def make_base(self, name: str) -> None:
        """A Debian with Python under the name of the Dockerfile's base, unless it is stored."""
        full = f"docker.io/library/{name}"
        if self.has(full):
            return
        log(f"base {name}: Debian {SUITE} by debootstrap")
        tree, archive = self._folder / "debian", self._folder / "debian.tar"
        shutil.rmtree(tree, ignore_errors=True)
        command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, str(tree)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            lines = done.stdout.strip().splitlines()
            raise UserError(f"debootstrap failed: {lines[-1] if lines else done.stderr.strip()}")
        for cache in ("var/cache/apt/archives", "var/lib/apt/lists"):
            shutil.rmtree(tree / cache)
        subprocess.run(["tar", "-C", str(tree), "-cf", str(archive), "."], check=True)
        shutil.rmtree(tree)
        container = self.run("from", "scratch")
        self.run("add", "--quiet", container, str(archive), "/")
        self.run("commit", "--quiet", "--rm", container, full)
        archive.unlink()

    def build(self, context: Path, image: str, arguments: dict[str, str]) -> float:
        """Builds the Dockerfile of a folder.

        Args:
            context: the checkout.
            image: name of the result.
            arguments: build arguments.

        Returns:
            Seconds.
        """
        began = time.monotonic()
        # Without Docker's format there is no health check.
        command = ["build", "--isolation=chroot", "--format=docker", "--pull=never"]
        for path in (PIP_CONFIG, CERTIFICATES):
            if os.path.exists(path):
                command.append(f"--volume={path}:{path}:ro")
        command += [f"--build-arg={key}={value}" for key, value in arguments.items()]
        self.run(*command, f"--tag={image}", str(context))
        return time.monotonic() - began

    def config(self, image: str) -> dict[str, Any]:
        """What an image says of itself: Env, Entrypoint, Cmd, User, Labels, Healthcheck, ..."""
        return json.loads(self.run("inspect", "--type=image", image))["Docker"]["config"]

    def unpack(self, image: str) -> Path:
        """The root folder of a new container of an image."""
        return Path(self.run("mount", self.run("from", "--pull=never", image)))

    def remove(self) -> None:
        """Deletes all of it."""
        self.run("rm", "--all")
        shutil.rmtree(self._folder)


def megabytes(folder: Path, below: Sequence[str] = ()) -> int:
    """Size of a tree on disk, or of the folders `below` in it, in 10^6 bytes."""
    paths = [str(folder / part) for part in below] or [str(folder)]
    done = subprocess.run(
        ["du", "--summarize", "--one-file-system", "--block-size=1", "--total", *paths],
        capture_output=True,
        text=True,
        check=True,
    )
    return round(int(done.stdout.splitlines()[-1].split()[0]) / 1e6)
