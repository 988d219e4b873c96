"""The ledger: one JSON line per row, appended and synced; what verdicts are computed from."""

from __future__ import annotations

import datetime
import fcntl
import functools
import json
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from alexnet_common.errors import UserError
from alexnet_tf.claims.claim import Claim
from alexnet_tf.claims.verdict import Values, Verdict

FILE = "ledger.jsonl"
# A driver that is broken may never answer; a row must not wait for it.
_ANSWER_SECONDS = 30


def append(path: Path, row: Mapping[str, Any]) -> None:
    """Adds a row; of several processes at once each writes its line whole.

    A half-written last line, of a process that was killed or of a full disk, is cut off before.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        complete, _, last = file.read().rpartition(b"\n")
        if last and not _is_json(last):
            file.truncate(len(complete) + 1 if complete else 0)
        elif last:
            file.write(b"\n")
        file.write(json.dumps(row, sort_keys=True).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def read(path: Path) -> list[dict[str, Any]]:
    """All rows, oldest first; a half-written last line is passed over.

    Raises:
        UserError: a line in the middle is damaged.
    """
    if not path.is_file():
        return []
    rows = []
    lines = path.read_text().splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(json.loads(line))
        except ValueError as error:
            if number == len(lines):
                break
            raise UserError(f"{path}:{number}: damaged line") from error
    return rows


def circumstances() -> dict[str, Any]:
    """Commit, hardware and time, as every row keeps them.

    Where the code is a copy without its history, `ALEXNET_COMMIT` names the commit.
    """
    return {
        "commit": os.environ.get("ALEXNET_COMMIT") or _commit() or "not in a checkout",
        "hardware": _hardware(),
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


@functools.cache
def _commit() -> str:
    return _output("git", "-C", str(Path(__file__).parent), "rev-parse", "--short=12", "HEAD")


@functools.cache
def _hardware() -> str:
    gpus = _output("nvidia-smi", "--query-gpu=name", "--format=csv,noheader").splitlines()
    parts = [f"{gpus.count(name)} {name}" for name in dict.fromkeys(gpus)]
    return ", ".join([*parts, f"{os.cpu_count()} CPU cores, {_processor()}"])


def _output(*words: str) -> str:
    """What a program says; nothing where it is not there, fails or does not answer."""
    try:
        ended = subprocess.run(words, capture_output=True, text=True, timeout=_ANSWER_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return ended.stdout.strip() if ended.returncode == 0 else ""


def values_of(rows: Iterable[Mapping[str, Any]], claim: Claim, budget: str) -> Values:
    """Measurements by arm and seed; the newest row of each counts."""
    values: dict[str, dict[int, float | None]] = {}
    for row in rows:
        if row["claim"] == claim.name and row["budget"] == budget:
            values.setdefault(row["arm"], {})[int(row["seed"])] = row["value"]
    return values


def verdict_of(rows: Iterable[Mapping[str, Any]], claim: Claim, budget: str) -> Verdict:
    """What the claim's rule says of its rows."""
    if budget == "smoke":
        return Verdict("not run", "the smoke budget only shows that the arms run")
    return claim.rule.verdict(values_of(rows, claim, budget), claim.budgets[budget].seeds)


def best_verdict(rows: Iterable[Mapping[str, Any]], claim: Claim) -> tuple[str, Verdict]:
    """(budget, verdict) of the largest budget that has rows of all arms."""
    rows = list(rows)
    for budget in ("gpu", "laptop"):
        verdict = verdict_of(rows, claim, budget)
        if verdict.word != "not run":
            return budget, verdict
    return "laptop", Verdict("not run", claim.budgets["laptop"].cost)


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.machine()
    names = [line.split(":", 1)[1].strip() for line in text.splitlines() if "model name" in line]
    return names[0] if names else platform.machine()
