"""How much memory this process has had and can still have, within the limits of its group.

Containers and batch systems confine processes by control groups; what takes more is killed there,
however much the machine has.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

# Of memory.stat: pages of files, which the kernel gives back.
_FILE_PAGES = ("active_file", "inactive_file")
# Of getrusage: kilobytes on Linux, bytes on macOS.
_PEAK_UNIT = 1 if sys.platform == "darwin" else 1024


def peak_memory() -> int:
    """The most bytes of the host's memory that this process has had at a time."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _PEAK_UNIT


def free_memory(root: Path = Path("/")) -> int:
    """Bytes that this process can still have, the page cache included.

    Sources: proc(5), and the kernel's Documentation/admin-guide/cgroup-v2.rst and
    cgroup-v1/memory.rst.

    Args:
        root: of the system that is asked.
    """
    return min([_of_machine(root), *_of_groups(root)])


def _of_machine(root: Path) -> int:
    try:
        lines = (root / "proc/meminfo").read_text().splitlines()
        fields = dict(line.split(":", 1) for line in lines)
        return int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _of_groups(root: Path) -> Iterator[int]:
    """What is left in each control group with a limit that this process is in."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    top = root / "sys/fs/cgroup"
    for line in lines:
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0":
            yield from _left(top, path, "memory.max", "memory.current", "")
        elif "memory" in controllers.split(","):
            names = "memory.limit_in_bytes", "memory.usage_in_bytes"
            yield from _left(top / "memory", path, *names, "total_")


def _left(top: Path, path: str, limit: str, usage: str, prefix: str) -> Iterator[int]:
    """What the groups from `top` down to `path` leave, each for itself.

    In a container `path` may be the machine's own, of which nothing is to be seen but `top`.
    """
    group = top
    for part in ("", *path.strip("/").split("/")):
        group /= part
        try:
            # "max" is no number: no limit.
            most, used = int((group / limit).read_text()), int((group / usage).read_text())
            lines = (group / "memory.stat").read_text().splitlines()
            pages = dict(line.split() for line in lines)
            given_back = sum(int(pages[prefix + name]) for name in _FILE_PAGES)
        except (OSError, KeyError, ValueError):
            continue
        yield max(most - used + given_back, 0)
