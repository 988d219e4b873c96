"""The same run on one device, two replicas, two processes and two columns' devices.

On the CIFAR-10 JPEG files where they are at hand, in float32, with decay and an uneven last batch.
"""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import tarfile
import time

import numpy as np
import pytest

from alexnet_tf.runs import checkpoint
from tests.helpers import small_dataset

pytestmark = pytest.mark.slow

# 200 examples in batches of 30: seven steps an epoch, the last one of 20; three epochs are 21.
# Two columns with normalisation, decay, dropout, crops and colour noise. Small and with a tenth of
# the demo's rate: wherever a last bit decides the sign of a rectifier's input or the largest of a
# pooling window, a gradient changes by more than the bound, whatever the cause of that last bit; a
# few thousand units meet that rarely, millions in every run.
SETTINGS = (
    "batch_size=30",
    "train_epochs=3",
    "limit_train_examples=200",
    "log.every_steps=4",
    "learning_rate.initial=0.0005",
    "network.input_size=24",
    "network.filters=(8,8,8)",
    "network.hidden=16",
)


@pytest.fixture(scope="module")
def data(tmp_path_factory, real_data):
    """The first 30 CIFAR-10 images of each class, converted by the project's own command."""
    folder = tmp_path_factory.mktemp("cifar")
    seen: dict[str, int] = {}
    with tarfile.open(real_data / "cifar10_jpeg.tar.gz") as archive:
        for member in archive:
            parent, name = os.path.split(member.name)
            if not member.isfile() or seen.get(parent, 0) >= 30:
                continue
            seen[parent] = seen.get(parent, 0) + 1
            (folder / parent).mkdir(parents=True, exist_ok=True)
            (folder / parent / name).write_bytes(archive.extractfile(member).read())
            if len(seen) == 20 and min(seen.values()) == 30:
                break
    finish(
        start(
            "data_prep.build_tfrecords",
            f"--train={folder}/cifar10_jpeg/train",
            f"--validation={folder}/cifar10_jpeg/test",
            "--image_size=32",
            f"--output_dir={folder}/data",
        )
    )
    return folder / "data"


def start(module, *arguments, **environment):
    return subprocess.Popen(
        [sys.executable, "-m", module, *map(str, arguments)],
        env=os.environ | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process, status=0):
    _, errors = process.communicate(timeout=240)
    assert process.returncode == status, errors[-3000:]
    return errors


def train(data, workdir, *settings, recipe="demo", **environment):
    return start(
        "alexnet_tf.train",
        f"--config={recipe}",
        f"--config.data_dir={data}",
        f"--workdir={workdir}",
        *(f"--config.{setting}" for setting in ("log.report=false", *settings)),
        **environment,
    )


def train_on_two_workers(data, workdir, *settings):
    ports = []
    sockets = [socket.socket() for _ in range(2)]
    for listener in sockets:
        listener.bind(("127.0.0.1", 0))
        ports.append(listener.getsockname()[1])
    for listener in sockets:
        listener.close()
    workers = [f"127.0.0.1:{port}" for port in ports]
    return [
        train(
            data,
            workdir,
            *settings,
            "distribution=multi_worker",
            TF_CONFIG=json.dumps(
                {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}
            ),
        )
        for index in range(2)
    ]


def newest(workdir):
    return checkpoint.load_newest(workdir / "checkpoints")


def largest_difference(first, second):
    one, two = newest(first).weights, newest(second).weights
    assert one.keys() == two.keys()
    assert newest(first).state["step"] == newest(second).state["step"]
    return max(float(np.max(np.abs(one[name] - two[name]))) for name in one)


def wait_for_step(process, workdir, step):
    deadline = time.monotonic() + 120
    while not any(found >= step for found in checkpoint.steps(workdir / "checkpoints")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(scope="module")
def one_device(data, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("one") / "run"
    finish(train(data, workdir, *SETTINGS))
    assert newest(workdir).state["step"] == 21
    # The weights have moved by far more than the tests' bound.
    beginning = workdir.parent / "beginning"
    finish(train(data, beginning, *SETTINGS, "train_steps=1"))
    moved = [
        np.max(np.abs(value - newest(beginning).weights[name]))
        for name, value in newest(workdir).weights.items()
    ]
    assert max(moved) > 1e-3
    return workdir


@pytest.mark.addons
@pytest.mark.parametrize(
    "settings",
    [
        ("distribution=mirrored", "devices=('CPU:0','CPU:1')"),
        ("distribution=mirrored", "devices=('CPU:0','CPU:1','CPU:2')"),
        ("accumulation_steps=3",),
        ("steps_per_call=4",),
        ("steps_per_call=4", "distribution=mirrored", "devices=('CPU:0','CPU:1')"),
        ("implementation=joint", "strided_convolution=space_to_depth", "lrn_kernel=banded"),
    ],
    ids=[
        "two_replicas",
        "three_replicas",
        "accumulation",
        "several_steps",
        "several_on_two",
        "other_kernels",
    ],
)
def test_equals_one_device(data, one_device, tmp_path, settings):
    finish(train(data, tmp_path / "run", *SETTINGS, *settings))
    assert largest_difference(one_device, tmp_path / "run") < 1e-6


def test_several_steps_in_a_call_are_the_same_bits(data, one_device, tmp_path):
    finish(train(data, tmp_path / "run", *SETTINGS, "steps_per_call=5"))
    assert largest_difference(one_device, tmp_path / "run") == 0


@pytest.mark.addons
@pytest.mark.parametrize(("cache", "bound"), [("memory", 0), ("device", 1e-6)])
def test_images_decoded_once_change_nothing(data, one_device, tmp_path, cache, bound):
    """A set on the device may change last bits on CPUs (docs/reliability.md)."""
    settings = (f"input.cache={cache}", "steps_per_call=3")
    finish(train(data, tmp_path / "run", *SETTINGS, *settings))
    assert largest_difference(one_device, tmp_path / "run") <= bound


@pytest.mark.addons
def test_compiled_replicas_and_workers_equal_one_compiled_device(data, one_device, tmp_path):
    """XLA draws other dropout masks: compiled runs are compared with one another."""
    settings = (*SETTINGS, "jit_compile=true")
    finish(train(data, tmp_path / "one", *settings))
    assert largest_difference(one_device, tmp_path / "one") > 1e-5
    mirrored = ("distribution=mirrored", "devices=('CPU:0','CPU:1')")
    finish(train(data, tmp_path / "two", *settings, *mirrored))
    assert largest_difference(tmp_path / "one", tmp_path / "two") < 1e-6
    for worker in train_on_two_workers(data, tmp_path / "workers", *settings):
        finish(worker)
    assert largest_difference(tmp_path / "one", tmp_path / "workers") < 1e-6


@pytest.mark.addons
def test_killed_at_ten_random_steps_is_the_same_bits(data, one_device, tmp_path):
    workdir = tmp_path / "run"
    arguments = [f"--config.{setting}" for setting in (*SETTINGS, "checkpoint.every_steps=2")]
    arguments += ["--config=demo", f"--config.data_dir={data}", f"--workdir={workdir}"]
    for step in sorted(random.Random(2012).sample(range(1, 21), 10)):
        command = [sys.executable, "-m", "tests.helpers.killed_after", str(step), *arguments]
        killed = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
        assert killed.returncode == -signal.SIGKILL, killed.stderr[-3000:]
        assert max(checkpoint.steps(workdir / "checkpoints"), default=0) < step
    finish(start("alexnet_tf.train", *arguments))
    one, other = newest(one_device), newest(workdir)
    for first, second in ((one.weights, other.weights), (one.optimizer, other.optimizer)):
        assert first.keys() == second.keys()
        for name, value in first.items():
            np.testing.assert_array_equal(value, second[name], err_msg=name)
    assert one.state == other.state


@pytest.mark.addons
def test_two_processes_equal_one_also_in_parts_and_several_steps_at_once(
    data, one_device, tmp_path
):
    settings = (*SETTINGS, "steps_per_call=2", "accumulation_steps=5")
    for worker in train_on_two_workers(data, tmp_path / "run", *settings):
        finish(worker)
    assert largest_difference(one_device, tmp_path / "run") < 1e-6


@pytest.mark.addons
def test_two_processes_equal_one_also_when_stopped_on_the_way(data, one_device, tmp_path):
    whole = tmp_path / "whole"
    for worker in train_on_two_workers(data, whole, *SETTINGS):
        finish(worker)
    assert largest_difference(one_device, whole) < 1e-6

    # A signal to one worker stops both after the same step, and both say so by their status.
    parts = tmp_path / "parts"
    long = (*SETTINGS[:1], "train_epochs=60", *SETTINGS[2:], "checkpoint.every_steps=3")
    workers = train_on_two_workers(data, parts, *long)
    wait_for_step(workers[0], parts, 3)
    workers[1].send_signal(signal.SIGTERM)
    for worker in workers:
        assert "the same command resumes" in finish(worker, status=75)
    stopped = newest(parts).state["step"]
    assert 3 <= stopped < 420
    # On to the end of that epoch's successor, and the same on one device.
    last = f"train_steps={stopped + 8}"
    for worker in train_on_two_workers(data, parts, *long, last):
        finish(worker)
    alone = tmp_path / "alone"
    finish(train(data, alone, *long, last))
    assert newest(parts).state["step"] == stopped + 8
    # Rounding errors add up over more steps here.
    assert largest_difference(parts, alone) < 1e-6 * max(1, (stopped + 8) / 21)


@pytest.mark.addons
def test_when_a_worker_is_killed_the_other_ends_and_both_resume(data, tmp_path):
    workdir = tmp_path / "run"
    settings = (*SETTINGS[:1], "train_epochs=3", *SETTINGS[2:], "checkpoint.every_steps=2")
    workers = train_on_two_workers(data, workdir, *settings[:1], "train_epochs=400", *settings[2:])
    wait_for_step(workers[0], workdir, 2)
    workers[1].kill()
    workers[1].communicate()
    assert "another worker is gone" in finish(workers[0], status=1)
    step = newest(workdir).state["step"]
    last = f"train_steps={step + 5}"
    for worker in train_on_two_workers(data, workdir, *settings, last):
        finish(worker)
    assert newest(workdir).state["step"] == step + 5


@pytest.mark.addons
def test_columns_on_two_devices_are_the_same_bits(tmp_path):
    data = small_dataset.make(tmp_path / "data", image_size=28, train=22)
    settings = ("network.input_size=24", "network.filters=(8,8,8)", "network.hidden=16")
    settings += ("batch_size=8", "train_epochs=3")
    finish(train(data, tmp_path / "one", *settings))
    placed = ("placement=two_devices", "devices=('CPU:0','CPU:1')")
    finish(train(data, tmp_path / "two", *settings, *placed))
    assert largest_difference(tmp_path / "one", tmp_path / "two") == 0
    # And a run begun on one goes on on two devices.
    more = (*settings[:-1], "train_epochs=4")
    finish(train(data, tmp_path / "one", *more, *placed))
    finish(train(data, tmp_path / "two", *more))
    assert largest_difference(tmp_path / "one", tmp_path / "two") == 0
