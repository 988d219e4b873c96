"""What docs/reliability.md promises, tried on whole runs: full disks, damage, dead workers."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from alexnet_tf import launch
from alexnet_tf.runs import checkpoint
from tests import campaign
from tests.helpers import small_dataset

pytestmark = pytest.mark.slow

SETTINGS = campaign.SETTINGS | {"train_epochs": 12, "checkpoint.every_steps": 0}
# For what may take a minute on a busy machine, and hangs if it takes longer.
PATIENCE_SECONDS = 180


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reliability") / "data"
    return small_dataset.make(folder, image_size=28, classes=7, train=22, validation=10)


def arguments(data, **changes):
    settings = SETTINGS | {key.replace("__", "."): value for key, value in changes.items()}
    found = [f"--config.{key}={value}" for key, value in settings.items()]
    return ["--config=demo", f"--config.data_dir={data}", *found]


def train(argv):
    command = [sys.executable, "-m", "alexnet_tf.train", *argv]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS)


@pytest.fixture(scope="module")
def undisturbed(data, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("undisturbed") / "run"
    assert train([*arguments(data), f"--workdir={workdir}"]).returncode == 0
    return workdir


def assert_same_run(first, second):
    lines = [campaign.metrics(run / "metrics.jsonl") for run in (first, second)]
    assert lines[0] == lines[1]
    for folder in ("checkpoints", "best"):
        one, two = (checkpoint.load_newest(run / folder) for run in (first, second))
        assert one.state == two.state
        for part in ("weights", "optimizer"):
            for name, array in getattr(one, part).items():
                assert array.tobytes() == getattr(two, part)[name].tobytes(), name


def run_on_a_small_disk(data, folder, free_after):
    namespace = ["unshare", "--user", "--map-root-user", "--mount"]
    (folder / "mounted").mkdir()
    try:
        subprocess.run([*namespace, "mount", "-t", "tmpfs", "x", folder / "mounted"], check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs Linux namespaces, to mount a small file system")
    return subprocess.run(
        [
            *namespace,
            sys.executable,
            "-m",
            "tests.helpers.full_disk",
            folder / "mounted",
            folder / "run",
        ]
        + [str(free_after), *arguments(data)],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )


def test_a_full_disk_that_is_freed_in_time_costs_nothing(data, undisturbed, tmp_path):
    found = run_on_a_small_disk(data, tmp_path, free_after=3)
    assert found.returncode == 0, found.stderr
    assert "failure 3 of 5" in found.stderr and "failure 4" not in found.stderr
    assert_same_run(undisturbed, tmp_path / "run")


def test_a_disk_that_stays_full_ends_the_run_with_its_checkpoints_whole(
    data, undisturbed, tmp_path
):
    found = run_on_a_small_disk(data, tmp_path, free_after=0)
    assert found.returncode == 1, found.stderr
    assert "failure 5 of 5" in found.stderr
    assert found.stderr.splitlines()[-1].startswith("error: No space left on device")
    workdir = tmp_path / "run"
    # The disk was full when the third epoch ended.
    assert checkpoint.load_newest(workdir / "checkpoints").state["epoch"] in (2, 3)
    assert not list(workdir.glob("*/.step-*.tmp*"))
    assert train([*arguments(data), f"--workdir={workdir}"]).returncode == 0
    assert_same_run(undisturbed, workdir)


@pytest.mark.parametrize("damage", ["cut", "bit", "empty"])
def test_a_damaged_checkpoint_costs_the_steps_since_the_one_before(
    data, undisturbed, tmp_path, damage
):
    workdir = tmp_path / "run"
    part = arguments(data, train_epochs=6)
    assert train([*part, f"--workdir={workdir}"]).returncode == 0
    before, newest = checkpoint.steps(workdir / "checkpoints")
    path = checkpoint.path_of(workdir / "checkpoints", newest)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes({"cut": content[:999], "bit": content, "empty": b""}[damage])
    found = train([*arguments(data), f"--workdir={workdir}"])
    assert found.returncode == 0, found.stderr
    assert f"{path} is damaged" in found.stderr
    assert f"step {before:,}" in found.stderr
    assert_same_run(undisturbed, workdir)


def test_killed_between_the_best_checkpoint_and_the_one_that_names_it(data, undisturbed, tmp_path):
    """The best one is written first: what is left then is it, and the checkpoints before it."""
    workdir = tmp_path / "run"
    best = checkpoint.load_newest(undisturbed / "best").state["epoch"]
    argv = [f"--workdir={workdir}", "--config.checkpoint.keep=2"]
    assert train([*arguments(data, train_epochs=best), *argv]).returncode == 0
    newest = checkpoint.steps(workdir / "checkpoints")[-1]
    assert checkpoint.steps(workdir / "best") == [newest]
    checkpoint.path_of(workdir / "checkpoints", newest).unlink()
    assert train([*arguments(data), *argv]).returncode == 0
    assert_same_run(undisturbed, workdir)


# Two processes. Long enough to be hit on the way.
LONG = {"train_epochs": 60, "checkpoint__every_steps": 3}


@pytest.fixture(scope="module")
def undisturbed_pair(data, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("undisturbed_pair") / "run"
    assert finish(launched(data, workdir)) == 0
    return workdir


def launched(data, workdir):
    return subprocess.Popen(
        [sys.executable, "-m", "alexnet_tf.launch", "--workers=2", "--", f"--workdir={workdir}"]
        + arguments(data, **LONG),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    _, errors = process.communicate(timeout=PATIENCE_SECONDS)
    print(errors)
    return process.returncode


def wait_for_checkpoint(process, workdir):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not checkpoint.steps(workdir / "checkpoints"):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_two_workers_save_and_stop_together(data, undisturbed_pair, tmp_path, number):
    workdir = tmp_path / "run"
    process = launched(data, workdir)
    wait_for_checkpoint(process, workdir)
    process.send_signal(number)
    assert finish(process) == 75
    assert checkpoint.load_newest(workdir / "checkpoints").state["step"] < 180
    assert finish(launched(data, workdir)) == 0
    assert_same_run(undisturbed_pair, workdir)


def start_workers(stack, data, workdir, workers, prefixes=((), ())):
    """Two workers without launch, as on two machines, behind the words of `prefixes`."""
    argv = [f"--workdir={workdir}", *arguments(data, **LONG, distribution="multi_worker")]
    processes = []
    for index, prefix in enumerate(prefixes):
        task = {"type": "worker", "index": index}
        environment = {"TF_CONFIG": json.dumps({"cluster": {"worker": workers}, "task": task})}
        process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "alexnet_tf.train", *argv],
            env=os.environ | environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        stack.callback(process.kill)
        processes.append(process)
    return processes


@pytest.mark.parametrize("victim", [0, 1])
def test_when_a_worker_dies_the_other_one_ends(data, undisturbed_pair, tmp_path, victim):
    """As on two machines: without launch, the survivor must notice by itself."""
    workdir = tmp_path / "run"
    workers = [f"127.0.0.1:{port}" for port in launch.free_ports(2)]
    with contextlib.ExitStack() as stack:
        processes = start_workers(stack, data, workdir, workers)
        wait_for_checkpoint(processes[0], workdir)
        processes[victim].kill()
        _, errors = processes[1 - victim].communicate(timeout=PATIENCE_SECONDS)
        assert processes[1 - victim].returncode == 1
        last = [line for line in errors.splitlines() if line.startswith("error: ")][-1]
        assert "another worker is gone" in last
    assert finish(launched(data, workdir)) == 0
    assert_same_run(undisturbed_pair, workdir)


@pytest.fixture
def two_machines():
    """Two network namespaces joined by a cable (a veth pair): their names. eth0 is the cable."""
    names = [f"alexnet-{os.getpid()}-{index}" for index in range(2)]

    def ip(*words):
        subprocess.run(["ip", *words], check=True, capture_output=True, text=True)

    with contextlib.ExitStack() as stack:
        try:
            for name in names:
                ip("netns", "add", name)
                stack.callback(ip, "netns", "del", name)
            first, second = (("eth0", "netns", name) for name in names)
            ip("link", "add", *first, "type", "veth", "peer", *second)
            for index, name in enumerate(names):
                ip("-n", name, "addr", "add", f"{ADDRESSES[index]}/24", "dev", "eth0")
                ip("-n", name, "link", "set", "lo", "up")
                ip("-n", name, "link", "set", "eth0", "up")
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"needs root and `ip` to make network namespaces: {error}")
        yield names


# Of the range for documentation: nobody's, and nothing leaves the namespaces.
ADDRESSES = ("192.0.2.1", "192.0.2.2")
# What docs/reliability.md promises.
NOTICED_SECONDS = 60


def test_a_cut_link_ends_both_workers_and_costs_nothing(
    data, undisturbed_pair, two_machines, tmp_path
):
    workdir = tmp_path / "run"
    workers = [f"{address}:20000" for address in ADDRESSES]
    inside = [("ip", "netns", "exec", name) for name in two_machines]
    with contextlib.ExitStack() as stack:
        processes = start_workers(stack, data, workdir, workers, inside)
        wait_for_checkpoint(processes[0], workdir)
        cut = ["ip", "-n", two_machines[1], "link", "set", "eth0", "down"]
        subprocess.run(cut, check=True)
        began = time.monotonic()
        for process in processes:
            _, errors = process.communicate(timeout=PATIENCE_SECONDS)
            print(f"{time.monotonic() - began:.1f} s", errors)
            assert process.returncode == 1
            last = [line for line in errors.splitlines() if line.startswith("error: ")][-1]
            assert "another worker is gone" in last
    assert checkpoint.load_newest(workdir / "checkpoints").state["step"] < 180
    assert finish(launched(data, workdir)) == 0
    assert_same_run(undisturbed_pair, workdir)


def test_from_two_workers_to_one(data, undisturbed_pair, tmp_path):
    """Another number of workers is allowed, and the same run up to rounding."""
    workdir = tmp_path / "run"
    process = launched(data, workdir)
    wait_for_checkpoint(process, workdir)
    process.terminate()
    assert finish(process) == 75
    found = train([*arguments(data, **LONG), f"--workdir={workdir}"])
    assert found.returncode == 0, found.stderr
    assert "no longer bit for bit" in found.stderr
    one, two = (checkpoint.load_newest(run / "checkpoints") for run in (undisturbed_pair, workdir))
    assert one.state["step"] == two.state["step"] == 180
    for name, array in one.weights.items():
        assert np.allclose(array, two.weights[name], rtol=0, atol=1e-4), name
