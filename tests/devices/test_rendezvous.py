"""Workers wait for one another: in threads here, which is what the sockets see of processes."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from alexnet_common.errors import UserError
from alexnet_tf import launch
from alexnet_tf.devices import rendezvous
from alexnet_tf.devices.cluster import Cluster

PATIENCE_SECONDS = 60


@pytest.fixture
def workers():
    return tuple(f"127.0.0.1:{port}" for port in launch.free_ports(3))


class Worker(threading.Thread):
    """One that waits; `said` is the error that it ended with, or empty."""

    def __init__(self, workers, index, seconds=PATIENCE_SECONDS):
        super().__init__(daemon=True)
        self.place, self.seconds, self.said = Cluster(workers, index, "TF_CONFIG"), seconds, ""
        self.start()

    def run(self):
        try:
            rendezvous.meet(self.place, self.seconds)
        except UserError as error:
            self.said = str(error)

    def end(self):
        self.join(PATIENCE_SECONDS)
        assert not self.is_alive()
        return self.said


def connected(workers):
    """A connection to the chief, which listens some time after it was started."""
    host, _, port = workers[0].rpartition(":")
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            return socket.create_connection((host, int(port)))
        time.sleep(0.01)
    raise AssertionError("nobody listens")


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
def test_all_go_on_when_the_last_one_is_there(workers, order):
    first, second, last = order
    waiting = [Worker(workers, first), Worker(workers, second)]
    time.sleep(0.2)
    assert all(worker.is_alive() for worker in waiting)
    waiting.append(Worker(workers, last))
    assert [worker.end() for worker in waiting] == ["", "", ""]
    # TensorFlow's server takes the port at once.
    socket.create_server(("127.0.0.1", int(workers[0].rpartition(":")[2]))).close()


def test_one_that_leaves_is_waited_for_again(workers):
    chief = Worker(workers, 0)
    with connected(workers) as leaving:
        leaving.sendall(b"alexnet-tf: worker 1 of 3\n")
    # Before the last one could come, it is gone; and somebody else asks for a web page.
    with connected(workers) as stranger:
        stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            assert stranger.recv(1) == b""
    second = Worker(workers, 2)
    time.sleep(0.1)
    late = Worker(workers, 1)
    assert [worker.end() for worker in (chief, second, late)] == ["", "", ""]


def test_those_who_did_not_come_are_named(workers):
    chief, second = Worker(workers, 0, 2), Worker(workers, 2, 1)
    assert chief.end() == (
        f"worker 0: not all 3 workers came within 2 s; missing: 1 ({workers[1]}), "
        f"2 ({workers[2]}); do they run, and can they reach this one?"
    )
    assert "within 1 s; worker 0 is here; its log names those who are missing" in second.end()


def test_a_chief_that_does_not_answer_is_named(workers):
    # As the server of a run that is just ending: it listens and answers in its own language.
    with socket.create_server(("127.0.0.1", int(workers[0].rpartition(":")[2]))) as other:
        worker = Worker(workers, 1, 1)
        connection, _ = other.accept()
        connection.sendall(b"\0\0\x12\x04\0\0\0\0\0")
        connection.close()
        other.accept()[0].close()  # It comes again.
    assert "came within 1 s" in worker.end()
    assert f"worker 0 ({workers[0]}) does not answer" in Worker(workers, 1, 0.5).end()


def test_workers_that_count_otherwise_are_told(workers):
    chief = Worker(workers, 0, 2)
    odd = Worker(workers[:2], 1)
    assert odd.end() == (
        f"worker 1: TF_CONFIG names 2 workers, that of worker 0 ({workers[0]}) another number"
    )
    assert "missing: 1" in chief.end()


def test_a_port_that_is_taken_is_named(workers):
    port = int(workers[0].rpartition(":")[2])
    with socket.create_server(("", port)):
        assert Worker(workers, 0, 0.1).end() == (
            f"worker 0: cannot listen at port {port}: Address already in use"
        )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("index", [0, 1])
def test_signals_end_a_worker_that_waits(workers, index, number):
    code = (
        "import json, os, signal, sys; from alexnet_tf.devices import cluster, rendezvous\n"
        # A shell's background jobs ignore it.
        "signal.signal(signal.SIGINT, signal.SIG_DFL)\n"
        "place = cluster.resolve(os.environ); print('waits', flush=True)\n"
        "rendezvous.meet(place, 600)"
    )
    task = {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env=os.environ | {"TF_CONFIG": json.dumps(task)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "waits\n"
    time.sleep(0.1)
    process.send_signal(number)
    assert process.communicate(timeout=PATIENCE_SECONDS) == ("", "")
    assert process.returncode == -number
