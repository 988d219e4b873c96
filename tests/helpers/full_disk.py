"""A run whose disk fills up, in a file system of its own: python -m tests.helpers.full_disk.

Started by tests/test_reliability.py under `unshare --user --map-root-user --mount`, so that it may
mount a small file system that nobody else sees. Prints the trainer's log; the work folder is copied
out at the end, before it vanishes with the namespace.

Arguments: folder to mount at, where to copy to, after how many failed checkpoints there is room
again (0: never), then the trainer's arguments without --workdir.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from pathlib import Path


def main() -> int:
    """Trains in the small file system and fills it up after the third epoch."""
    mounted, target, free_after = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", mounted], check=True)
    workdir, filler = mounted / "run", mounted / "filler"
    process = subprocess.Popen(
        [sys.executable, "-m", "alexnet_tf.train", f"--workdir={workdir}", *sys.argv[4:]],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    failures = 0
    for line in process.stderr:
        print(line, end="", file=sys.stderr)
        # The row of an epoch has its validation errors beside the training error.
        if " 3/" in line and line.count("%") == 3:
            with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
                while True:
                    file.write(b"x" * 512)
        failures += "NOT WRITTEN" in line
        if failures == free_after and failures:
            filler.unlink(missing_ok=True)
    shutil.copytree(workdir, target)
    return process.wait()


if __name__ == "__main__":
    sys.exit(main())
