"""TensorFlow's import where several threads ask for it at once, as Beam's workers do."""

import os
import subprocess
import sys

from tests.helpers import python_path

PROGRAM = """
import os, sys, threading
from alexnet_common.tensorflow_import import import_on_cpu
together, seen, before = threading.Barrier(4), [], dict(os.environ)
def ask():
    together.wait()
    seen.append(import_on_cpu().complete)
threads = [threading.Thread(target=ask) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
kept = {name: value for name, value in os.environ.items() if name.startswith("KERAS_")}
print(seen, kept)
os.write(2, b"stderr is as before")
"""


def test_threads_wait_for_the_one_that_imports(tmp_path):
    for name in ("tensorflow", "keras"):
        text = "import time\ntime.sleep(0.2)\ncomplete = True\n"
        (tmp_path / f"{name}.py").write_text(text)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=os.environ
        | {"PYTHONPATH": python_path.extended(tmp_path, os.getcwd()), "KERAS_HOME": "/mine"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[True, True, True, True] {'KERAS_HOME': '/mine'}\n"
    assert done.stderr == "stderr is as before"
