"""What is left when a command has ended."""

import subprocess
import sys


def test_what_libraries_do_at_the_end_is_done(tmp_path):
    program = (
        "import atexit, os, tempfile\n"
        "from alexnet_common import signals\n"
        "_, path = tempfile.mkstemp(dir={!r})\n"
        "atexit.register(os.remove, path)\n"
        "signals.leave(3)\n"
    )
    done = subprocess.run([sys.executable, "-c", program.format(str(tmp_path))])
    assert done.returncode == 3
    assert list(tmp_path.iterdir()) == []
