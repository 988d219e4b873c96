"""What a run takes per epoch it gives back: one that does not ends after days, not in a test."""

import json
import os
import subprocess
import sys

import pytest

from tests.helpers.short_runs import arguments

TWO = {"distribution": "mirrored", "devices": "('CPU:0','CPU:1')"}


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="no /proc here")
@pytest.mark.parametrize("place", [{}, TWO], ids=["one_device", "two_replicas"])
def test_epochs_leave_no_open_files_and_no_threads(data, tmp_path, place):
    argv = arguments(data, tmp_path / "run", train_epochs=12, log__tensorboard="false", **place)
    done = subprocess.run(
        [sys.executable, "-m", "tests.train_loop.long_run_check", *argv],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    counts = json.loads(done.stdout.splitlines()[-1])
    (files_early, threads_early), (files_late, threads_late) = counts[3], counts[-1]
    assert len(counts) == 12
    assert files_late == files_early
    # TensorFlow may start one more of a pool.
    assert threads_late <= threads_early + 4
