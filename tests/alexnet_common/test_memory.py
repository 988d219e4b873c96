"""Memory that is left, on a machine and within control groups; numbers by hand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from alexnet_common import memory

GB = 1_000_000_000
# Of memory.stat: files' pages of 3 GB, in two lists, and others that are not given back.
V2_STAT = f"anon {GB}\nfile {4 * GB}\nshmem {GB}\ninactive_file {2 * GB}\nactive_file {GB}\n"
V1_STAT = "cache 1\nactive_file 7\n" + "".join(f"total_{line}\n" for line in V2_STAT.splitlines())


def system(root: Path, groups: str, files: dict[str, object], available_kb: int = 10**8) -> Path:
    """A machine with 102.4 GB available, unless said otherwise."""
    files = {
        "proc/meminfo": f"MemTotal: 200000000 kB\nMemAvailable:   {available_kb} kB\n",
        "proc/self/cgroup": groups,
    } | {f"sys/fs/cgroup/{name}": content for name, content in files.items()}
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(str(content).rstrip() + "\n")
    return root


def v2(folder: str, limit: object, used: int) -> dict[str, object]:
    names = (f"{folder}memory.max", f"{folder}memory.current", f"{folder}memory.stat")
    return dict(zip(names, (limit, used, V2_STAT), strict=True))


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        # No groups, and groups without a limit: what the machine has.
        ("", {}, 102_400_000_000),
        ("0::/", {}, 102_400_000_000),
        ("0::/a", v2("a/", "max", 5 * GB), 102_400_000_000),
        # A container of 8 GB that sees itself as the root: 5 GB used, 3 of them files' pages.
        ("0::/", v2("", 8 * GB, 5 * GB), 6 * GB),
        # A container that is told its name outside, of which it sees nothing.
        ("0::/docker/0123", v2("", 8 * GB, 5 * GB), 6 * GB),
        # A job of 16 GB in a slice of 12 GB: the narrowest counts.
        (
            "0::/slice/job",
            v2("slice/", 12 * GB, 9 * GB) | v2("slice/job/", 16 * GB, 5 * GB),
            6 * GB,
        ),
        # More than is allowed, for a moment.
        ("0::/", v2("", 8 * GB, 12 * GB), 0),
        (
            "11:cpu,cpuacct:/x\n4:memory:/docker/1\n0::/",
            {
                "memory/docker/1/memory.limit_in_bytes": 8 * GB,
                "memory/docker/1/memory.usage_in_bytes": 5 * GB,
                "memory/docker/1/memory.stat": V1_STAT,
            },
            6 * GB,
        ),
    ],
)
def test_what_is_left(tmp_path: Path, groups: str, files: dict[str, object], expected: int) -> None:
    assert memory.free_memory(system(tmp_path, groups, files)) == expected


def test_the_machine_may_have_less_than_a_group_allows(tmp_path: Path) -> None:
    assert memory.free_memory(system(tmp_path, "0::/", v2("", 8 * GB, 5 * GB), 1000)) == 1_024_000


def test_where_the_system_does_not_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sysconf", {"SC_PHYS_PAGES": 1000, "SC_PAGE_SIZE": 4096}.__getitem__)
    assert memory.free_memory(tmp_path) == 4_096_000


def test_the_peak_is_what_the_kernel_says() -> None:
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("needs /proc")
    kept = b"x" * (64 << 20)
    peak = memory.peak_memory()
    (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
    assert len(kept) < peak == pytest.approx(1024 * int(line.split()[1]), rel=0.02)


def test_this_machine_has_some() -> None:
    assert 0 < memory.free_memory() <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
