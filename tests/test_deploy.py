"""The batch script for Slurm in deploy/, run as far as one machine can."""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import pytest

from tests.helpers.trainer_arguments import check_several_workers

# Stand-ins for Slurm's commands, in Bourne shell.
SRUN = """#!/bin/sh
echo "$@" >> "$NOTES/srun.log"
if [ -n "${SIGNALLED:-}" ]; then
  trap 'exit 75' TERM
  touch "$NOTES/started"
  # Not for ever, in case that nobody signals it.
  for _ in $(seq 600); do sleep 0.05; done
fi
exit "${STATUS:-0}"
"""
SCONTROL = """#!/bin/sh
echo "$@" >> "$NOTES/scontrol.log"
"""


@pytest.fixture
def slurm(tmp_path, repository):
    """Starts the script as Slurm would, with the stand-ins in front."""
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)

    def start(**environment):
        return subprocess.Popen(
            ["bash", str(repository / "deploy" / "slurm.sh"), "--config=demo", "--workdir=a b"],
            env=os.environ
            | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "NOTES": str(tmp_path)}
            | {"SLURM_JOB_ID": "77", "PYTHON": sys.executable}
            | environment,
            stdout=subprocess.PIPE,
            text=True,
        )

    return start


def notes(folder, name):
    path = folder / f"{name}.log"
    return path.read_text().splitlines() if path.exists() else []


@pytest.mark.parametrize(
    ("status", "restarts", "requeued"),
    [
        *[(0, 0, False), (1, 0, True), (137, 3, True), (1, 20, False)],
        *[(2, 0, False), (75, 0, False), (143, 0, False)],
    ],
)
def test_what_is_requeued(slurm, tmp_path, status, restarts, requeued):
    process = slurm(STATUS=str(status), SLURM_RESTART_COUNT=str(restarts))
    process.communicate(timeout=20)
    assert process.returncode == status
    assert notes(tmp_path, "scontrol") == (["requeue 77"] if requeued else [])


@pytest.mark.parametrize(
    ("number", "environment", "requeued"),
    [
        # Near the time limit; preempted or cancelled; preempted where preemption cancels.
        (signal.SIGUSR1, {}, True),
        (signal.SIGTERM, {}, False),
        (signal.SIGTERM, {"REQUEUE_AFTER_SIGTERM": "yes"}, True),
    ],
)
def test_signals(slurm, tmp_path, number, environment, requeued):
    process = slurm(SIGNALLED="yes", **environment)
    while not (tmp_path / "started").exists():
        assert process.poll() is None
    process.send_signal(number)
    if number == signal.SIGTERM:
        # Slurm signals the workers itself; the script must outlive its own.
        children = f"/proc/{process.pid}/task/{process.pid}/children"
        with open(children) as file:
            found = [int(child) for child in file.read().split()]
        # The other one is the script's sleep, which may be gone by now.
        for child in found:
            with contextlib.suppress(OSError):
                if b"srun" in pathlib.Path(f"/proc/{child}/cmdline").read_bytes():
                    os.kill(child, signal.SIGTERM)
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 75, out
    assert notes(tmp_path, "scontrol") == (["requeue 77"] if requeued else [])


def test_the_workers_get_the_arguments(slurm, tmp_path):
    slurm().communicate(timeout=20)
    (line,) = notes(tmp_path, "srun")
    assert line.endswith(
        "-m alexnet_tf.train --config.distribution=multi_worker --config=demo --workdir=a b"
    )
    check_several_workers(["--config.distribution=multi_worker", "--config=demo"])


def test_shellcheck(repository):
    program = shutil.which("shellcheck")
    if not program:
        pytest.skip("needs shellcheck (Debian's package shellcheck)")
    script = str(repository / "deploy" / "slurm.sh")
    found = subprocess.run([program, "--format=json", script], capture_output=True, text=True)
    assert json.loads(found.stdout) == []
