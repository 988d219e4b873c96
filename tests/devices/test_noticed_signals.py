"""SIGTERM in the moment in which TensorFlow has it for itself."""

import json
import os
import subprocess
import sys

import pytest

from alexnet_common import signals
from alexnet_tf import launch

# One worker of two; the second gets SIGTERM after TensorFlow has connected it and before Python's
# handlers are back.
WORKER = """
import contextlib, os, signal, time
from alexnet_common import signals
from alexnet_common.tensorflow_import import import_tensorflow
import_tensorflow()
import tensorflow as tf
from alexnet_tf.devices import distribution

strategy = tf.distribute.MultiWorkerMirroredStrategy

def connect(**options):
    made = strategy(**options)
    if {killed}:
        os.kill(os.getpid(), signal.SIGTERM)
    return made

tf.distribute.MultiWorkerMirroredStrategy = connect
with signals.StopRequest() if {in_training} else contextlib.nullcontext() as stop:
    distribution._multi_worker(300.0)
    end = time.monotonic() + 30
    while time.monotonic() < end and not (stop and stop.requested):
        time.sleep(0.05)
    # The chief, which the coordination service ends with, goes last.
    time.sleep({chief})
    os._exit(signals.EXIT_STATUS if stop and stop.requested else 99)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("in_training", "status"), [(True, signals.EXIT_STATUS), (False, -15)])
def test_all_workers_hear_of_a_sigterm_that_tensorflow_took(in_training, status):
    ports = launch.free_ports(2)
    cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
    processes = []
    for index in range(2):
        task = {"cluster": cluster, "task": {"type": "worker", "index": index}}
        code = WORKER.format(killed=index == 1, in_training=in_training, chief=index == 0)
        processes.append(
            subprocess.Popen(
                [sys.executable, "-c", code],
                env={**os.environ, "TF_CONFIG": json.dumps(task)},
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    words = [process.communicate(timeout=400)[1] for process in processes]
    assert [process.returncode for process in processes] == [status, status], words
    for text in words:
        assert ("SIGTERM: finishing this step and saving" in text) == in_training
