"""Runs commands of an image as `docker run --read-only --network=none --tmpfs /tmp` would.

Linux namespaces of mounts, processes and network, made by util-linux: the root is read-only, the
network is loopback alone, the command is process 1 as the image's user without capabilities, /tmp
and /dev/shm are in memory and gone afterwards, and named folders of the host are mounted.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# Docker's default.
SHARED_MEMORY = "64m"
PATIENCE_SECONDS = 900
# $1: the root. $2: user. Then pairs of a folder of the host and where it is mounted, "--", command.
SCRIPT = f"""
ip link set lo up
root=$1 user=$2
shift 2
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$root/tmp"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
mkdir "$root/dev/shm"
mount -t tmpfs -o mode=1777,size={SHARED_MEMORY} tmpfs "$root/dev/shm"
for device in null zero full random urandom; do
  touch "$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
ln -s /proc/self/fd "$root/dev/fd"
while [ "$1" != -- ]; do
  mount --bind "$1" "$root$2"
  shift 2
done
shift
mount -o remount,bind,ro "$root"
exec chroot "$root" setpriv --reuid="$user" --regid="$user" --clear-groups --no-new-privs \\
  --bounding-set=-all --inh-caps=-all -- "$@"
"""


class Container:
    """An unpacked image with its settings.

    Args:
        root: folder of its files; only the places that `mounts` names are made in it.
        config: as `Buildah.config` returns it.
        mounts: folders of the host by their place inside, such as {"/runs": folder}.
        environment: changes of the image's environment, as `docker run -e`.
    """

    def __init__(
        self,
        root: Path,
        config: Mapping[str, Any],
        mounts: Mapping[str, Path],
        environment: Mapping[str, str],
    ):
        self.root, self.config, self._mounts = root, config, mounts
        self._environment = dict(line.split("=", 1) for line in config["Env"]) | dict(environment)
        for place in mounts:
            (root / place.lstrip("/")).mkdir(parents=True, exist_ok=True)

    def _inside(self, command: Sequence[str]) -> list[str]:
        variables = [f"{key}={value}" for key, value in self._environment.items()]
        folder = self.config.get("WorkingDir") or "/"
        return ["/usr/bin/env", "-i", f"--chdir={folder}", *variables, *command]

    def start(
        self, *arguments: str, entrypoint: Sequence[str] | None = None
    ) -> subprocess.Popen[str]:
        """Starts the image's entry point with arguments; its output is piped."""
        entry = self.config["Entrypoint"] if entrypoint is None else entrypoint
        mounts = [part for place, folder in self._mounts.items() for part in (str(folder), place)]
        command = ["unshare", "--mount", "--net", "--pid", "--ipc", "--uts", "--fork"]
        command += ["--kill-child=KILL", "sh", "-euc", SCRIPT, "sh", str(self.root)]
        command += [self.config["User"], *mounts, "--", *self._inside([*entry, *arguments])]
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=_PLAIN
        )

    def run(
        self, *arguments: str, entrypoint: Sequence[str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Runs the image's entry point with arguments to its end."""
        process = self.start(*arguments, entrypoint=entrypoint)
        try:
            out, errors = process.communicate(timeout=PATIENCE_SECONDS)
        finally:
            process.kill()
        return subprocess.CompletedProcess(arguments, process.returncode, out, errors)

    def execute(
        self, process: subprocess.Popen[str], *command: str
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command inside a container that runs, as `docker exec` and health checks do."""
        first, user = first_process(process), self.config["User"]
        enter = ["nsenter", f"--target={first}", "--mount", "--net", "--pid", "--ipc", "--uts"]
        enter += [f"--root=/proc/{first}/root", f"--setuid={user}", f"--setgid={user}"]
        return subprocess.run(
            [*enter, *self._inside(command)],
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            env=_PLAIN,
            check=False,
        )


# For the programs of the host around the command.
_PLAIN = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"}


def first_process(process: subprocess.Popen[str]) -> int:
    """The process number, as the host counts, of a container's process 1."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    end = time.monotonic() + 30
    while not (found := children.read_text().split()):
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"the container ended: {process.communicate()[1]}")
        time.sleep(0.01)
    return int(found[0])


def send(process: subprocess.Popen[str], number: signal.Signals) -> None:
    """Sends a signal to a container's process 1, as `docker stop` and `docker kill` do."""
    os.kill(first_process(process), number)
