"""Clusters from TF_CONFIG and from Slurm's variables, against hand-made examples."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from alexnet_tf import launch
from alexnet_tf.devices import cluster


def tf_config(workers, index, kind="worker", **jobs):
    return {
        "TF_CONFIG": json.dumps(
            {"cluster": {"worker": workers, **jobs}, "task": {"type": kind, "index": index}}
        )
    }


def slurm(nodes, index, tasks, **changes):
    return {
        "SLURM_JOB_ID": "751",
        "SLURM_JOB_NODELIST": nodes,
        "SLURM_PROCID": str(index),
        "SLURM_NTASKS": str(tasks),
        **changes,
    }


def test_tf_config():
    found = cluster.resolve(tf_config(["a:1", "b:2"], 1))
    assert found == cluster.Cluster(("a:1", "b:2"), 1, "TF_CONFIG")
    assert not found.is_chief
    assert cluster.resolve(tf_config(["a:1", "b:2"], "0")).is_chief


def test_a_chief_is_the_first_worker():
    workers = ["b:1", "c:1"]
    chief = cluster.resolve(tf_config(workers, 0, "chief", chief=["a:1"]))
    second = cluster.resolve(tf_config(workers, 0, chief=["a:1"]))
    assert chief.workers == second.workers == ("a:1", "b:1", "c:1")
    assert (chief.index, second.index) == (0, 1)


def test_export_and_resolve_agree():
    environment = {}
    cluster.export(cluster.Cluster(("a:1", "b:2"), 1, "test"), environment)
    assert json.loads(environment["TF_CONFIG"]) == {
        "cluster": {"worker": ["a:1", "b:2"]},
        "task": {"type": "worker", "index": 1},
    }
    assert cluster.resolve(environment).workers == ("a:1", "b:2")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, "a,127.0.0.1"),
        ({"no_proxy": "intranet"}, "intranet,a,127.0.0.1"),
        ({"no_proxy": "intranet", "no_grpc_proxy": "x,a"}, "x,a,127.0.0.1"),
    ],
)
def test_no_proxy_stands_between_workers(before, after):
    """gRPC reads no_grpc_proxy, and no_proxy only where that is not set."""
    environment = {"http_proxy": "http://proxy:3128", **before}
    place = cluster.Cluster(("a:1", "a:2", "127.0.0.1:3"), 1, "test")
    cluster.export(place, environment)
    cluster.export(place, environment)
    assert environment["no_grpc_proxy"] == after


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("node1", ["node1"]),
        ("a,b", ["a", "b"]),
        ("node[01-03,7]", ["node01", "node02", "node03", "node7"]),
        ("node[9-11],login", ["node9", "node10", "node11", "login"]),
        ("gpu-[2,4]-ib,x[1-2]", ["gpu-2-ib", "gpu-4-ib", "x1", "x2"]),
        ("r[1-2]n[08-09]", ["r1n08", "r1n09", "r2n08", "r2n09"]),
        ("node[098-101]", ["node098", "node099", "node100", "node101"]),
        ("a.example.org,b.example.org", ["a.example.org", "b.example.org"]),
    ],
)
def test_node_lists(text, names):
    assert cluster.expand_nodes(text) == names


@pytest.mark.parametrize("text", ["", "node[", "node[3-1]", "node[a-b]", "a,,b", "node[]", "a b"])
def test_node_lists_that_cannot_be_read(text):
    with pytest.raises(cluster.ClusterError, match="cannot be read"):
        cluster.expand_nodes(text)


def test_slurm_one_task_per_node():
    found = cluster.resolve(slurm("node[1-3]", 2, 3))
    # Job 751 is the second of 750 blocks of 16 ports from 20000 on: 751 modulo 750 is 1.
    assert found.workers == ("node1:20016", "node2:20016", "node3:20016")
    assert found.index == 2
    assert found.source == "Slurm job 751"


def test_slurm_several_tasks_per_node():
    layout = {"SLURM_TASKS_PER_NODE": "2(x2),1"}
    found = cluster.resolve(slurm("node[1-3]", 3, 5, SLURM_LOCALID="1", **layout))
    assert found.workers == (
        "node1:20016",
        "node1:20017",
        "node2:20016",
        "node2:20017",
        "node3:20016",
    )
    assert found.index == 3
    assert len(cluster.resolve(slurm("node[1-2]", 3, 4)).workers) == 4


def test_slurm_step_on_some_of_the_nodes():
    step = {"SLURM_STEP_NODELIST": "node[2-3]", "SLURM_TASKS_PER_NODE": "1(x4)"}
    found = cluster.resolve(slurm("node[1-4]", 0, 2, **step))
    assert found.workers == ("node2:20016", "node3:20016")


def test_tf_config_goes_before_slurm():
    found = cluster.resolve(slurm("node1", 0, 1) | tf_config(["a:1"], 0))
    assert found.source == "TF_CONFIG"
    assert cluster.resolve(slurm("node1", 0, 1) | {"TF_CONFIG": "{}"}).source == "Slurm job 751"


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({}, "finds no cluster"),
        ({"SLURM_JOB_NODELIST": "a"}, "srun"),
        ({"TF_CONFIG": "{worker"}, "not valid JSON"),
        ({"TF_CONFIG": "[1]"}, "must look like"),
        ({"TF_CONFIG": '{"task": {"index": 0}}'}, "must look like"),
        (tf_config(["a:1"], 1), "must be 0 to 0"),
        (tf_config(["a:1"], -1), "must be 0 to 0"),
        (tf_config(["a:1"], None), "not None"),
        (tf_config(["a:1"], 0, "ps"), "chief or worker"),
        (tf_config("a:1", 0), "must be a list"),
        (tf_config(["a"], 0), "host:port"),
        (tf_config(["a:1", "a:1"], 0), "named twice"),
        (slurm("node[1-2]", 0, 3), "3 tasks on 2 nodes"),
        (slurm("node[1-2]", 2, 2), "SLURM_PROCID is 2"),
        (slurm("node[1-2]", "x", 2), "whole number"),
        (slurm("node[1-2]", 1, 4, SLURM_LOCALID="0"), "distribution=block"),
        (slurm("node1", 0, 2, SLURM_TASKS_PER_NODE="two"), "tasks per node"),
    ],
)
def test_refusals(environment, words):
    with pytest.raises(cluster.ClusterError, match=words):
        cluster.resolve(environment)


def test_no_tensorflow_is_needed():
    text = "import sys, alexnet_tf.devices.cluster; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", text]).returncode == 0


@pytest.fixture
def waiting():
    """Starts a worker that waits for a second one, which nobody has started."""
    started = []

    def start(seconds):
        workers = [f"127.0.0.1:{port}" for port in launch.free_ports(2)]
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.helpers.waits_for_workers", str(seconds)],
            env=os.environ | tf_config(workers, 1),
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stderr is not None
        while "waits for all 2 workers" not in (line := process.stderr.readline()):
            assert line
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_a_worker_that_waits_gives_up_after_its_time(waiting):
    process = waiting(3)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "error: worker 1: not all 2 workers came within 3 s" in errors


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_a_worker_that_waits(waiting, number):
    """It has ten minutes to wait, and the test much less."""
    # A shell's background jobs ignore it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = waiting(600)
        time.sleep(1)
        process.send_signal(number)
        process.communicate(timeout=60)
    finally:
        signal.signal(signal.SIGINT, before)
    assert process.returncode == (130 if number == signal.SIGINT else -number)
