"""Conversion in real processes: workers, kills, two converters at once, a disk that fills up."""

import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

import pytest

from data_prep import dataset
from data_prep.shards import workers
from tests.data_prep.conftest import dataset_files
from tests.helpers import imagenet_standin


def build(
    stand_in: imagenet_standin.StandIn,
    output_dir: pathlib.Path | str,
    *flags: str,
    folders: bool = False,
) -> list[str]:
    train = stand_in.train_folder if folders else stand_in.train_tar
    validation = stand_in.validation_folder if folders else stand_in.validation_tar
    return [
        *(sys.executable, "-m", "data_prep.build_tfrecords"),
        f"--train={train}",
        f"--validation={validation}",
        f"--devkit={stand_in.devkit}",
        f"--output_dir={output_dir}",
        "--image_size=64",
        "--train_shards=9",
        "--validation_shards=3",
        *flags,
    ]


def run(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def reference(
    stand_in: imagenet_standin.StandIn, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, bytes]:
    """The dataset by two workers in one go."""
    folder = tmp_path_factory.mktemp("reference") / "data"
    done = run(build(stand_in, folder, "--workers=2"))
    assert done.returncode == 0, done.stderr
    return dataset_files(folder)


def children(pid: int) -> list[int]:
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [int(child) for child in file.read().split()]
    except OSError:
        return []


def kill(pid: int) -> bool:
    """Kills a process; False if it was gone already."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition, seconds: float = 60) -> bool:  # type: ignore[no-untyped-def]
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


def test_messages_are_few_and_stdout_is_empty(
    stand_in: imagenet_standin.StandIn, tmp_path: pathlib.Path, reference: dict[str, bytes]
) -> None:
    done = run(build(stand_in, tmp_path / "x", "--workers=1"))
    assert done.returncode == 0
    assert done.stdout == ""
    assert "\r" not in done.stderr  # a progress bar is for terminals
    assert len(done.stderr.splitlines()) < 20
    for word in ("oneDNN", "cuda", "CUDA", "WARNING", "Traceback"):
        assert word not in done.stderr
    assert dataset_files(tmp_path / "x") == reference


def test_workers_do_not_outlive_a_killed_parent(
    stand_in: imagenet_standin.StandIn, tmp_path: pathlib.Path, reference: dict[str, bytes]
) -> None:
    process = subprocess.Popen(
        build(stand_in, tmp_path / "x", "--workers=2"), stderr=subprocess.DEVNULL
    )
    assert wait_until(lambda: list(tmp_path.glob("x/train-*")) or process.poll() is not None)
    workers = children(process.pid)
    process.kill()
    process.wait()
    assert wait_until(lambda: not any(alive(worker) for worker in workers), 20)
    assert run(build(stand_in, tmp_path / "x", "--workers=2")).returncode == 0
    assert dataset_files(tmp_path / "x") == reference


def test_a_dead_worker_is_one_clear_line(
    stand_in: imagenet_standin.StandIn, tmp_path: pathlib.Path
) -> None:
    process = subprocess.Popen(
        build(stand_in, tmp_path / "x", "--workers=1"), stderr=subprocess.PIPE, text=True
    )
    assert wait_until(lambda: list(tmp_path.glob("x/train-*")) or process.poll() is not None)
    for worker in children(process.pid):
        with open(f"/proc/{worker}/cmdline") as file:
            if "spawn_main" in file.read():
                os.kill(worker, signal.SIGKILL)
    said = process.communicate(timeout=60)[1]
    if process.returncode == 0:
        pytest.skip("the conversion was faster than the kill")
    assert process.returncode == 1
    assert "Traceback" not in said
    assert "error: a worker process died" in said


def test_an_interrupt_stops_quickly_and_tidies_up(
    stand_in: imagenet_standin.StandIn, tmp_path: pathlib.Path
) -> None:
    process = subprocess.Popen(
        build(stand_in, tmp_path / "x", "--workers=1"), stderr=subprocess.PIPE, text=True
    )
    assert wait_until(lambda: list(tmp_path.glob("x/train-*")) or process.poll() is not None)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    if process.returncode == 0:
        pytest.skip("the conversion was faster than the interrupt")
    assert process.returncode == 130
    assert "Traceback" not in said
    assert not [path for path in (tmp_path / "x").iterdir() if ".tmp-" in path.name]
    assert not (tmp_path / "x" / "dataset.json").exists()


def test_two_converters_on_one_folder(
    stand_in: imagenet_standin.StandIn, tmp_path: pathlib.Path, reference: dict[str, bytes]
) -> None:
    both = [
        subprocess.Popen(
            build(stand_in, tmp_path / "x", "--workers=1"), stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    said = [process.communicate(timeout=200)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert dataset_files(tmp_path / "x") == reference


@pytest.mark.slow
@pytest.mark.parametrize("folders", [False, True])
@pytest.mark.parametrize("num_tasks", [1, 3])
@pytest.mark.parametrize("workers", [1, 2, 8])
def test_any_workers_tasks_and_source_give_the_same_bytes(
    stand_in: imagenet_standin.StandIn,
    tmp_path: pathlib.Path,
    reference: dict[str, bytes],
    workers: int,
    num_tasks: int,
    folders: bool,
) -> None:
    for task in range(1, num_tasks + 1):
        flags = (f"--workers={workers}", f"--task={task}/{num_tasks}")
        done = run(build(stand_in, tmp_path / "x", *flags, folders=folders))
        assert done.returncode == 0, done.stderr
    assert dataset_files(tmp_path / "x") == reference


@pytest.mark.slow
@pytest.mark.parametrize("store", ["jpeg", "centered"])
def test_twenty_kills_at_random_moments(
    stand_in: imagenet_standin.StandIn, tmp_path: pathlib.Path, store: str
) -> None:
    """Kills parent or worker, then lets it finish: the bytes are those of an undisturbed run."""
    flags = ("--workers=2", f"--store={store}")
    undisturbed = build(stand_in, tmp_path / "calm", *flags)
    begin = time.monotonic()
    assert run(undisturbed).returncode == 0
    duration = time.monotonic() - begin
    generator = random.Random(store)
    killed = 0
    for _ in range(200):
        if killed == 20:
            break
        process = subprocess.Popen(
            build(stand_in, tmp_path / "x", *flags), stderr=subprocess.DEVNULL
        )
        begin = time.monotonic()
        try:
            process.wait(timeout=generator.uniform(0.3, 1.0) * duration)
            duration = time.monotonic() - begin  # of a machine that is shared
        except subprocess.TimeoutExpired:
            pass
        if process.poll() is None:
            victims = children(process.pid) if generator.random() < 0.3 else []
            killed += kill(generator.choice(victims or [process.pid]))
        process.wait()
        if not (tmp_path / "x" / "dataset.json").exists():
            with pytest.raises(dataset.DatasetError):
                dataset.load(tmp_path / "x")
        elif killed < 20:
            # Finished between two kills: the rest is done on a folder with fewer shards.
            assert dataset_files(tmp_path / "x") == dataset_files(tmp_path / "calm")
            (tmp_path / "x" / "dataset.json").unlink()
            for path in generator.sample(sorted((tmp_path / "x").glob("*-of-*")), 8):
                path.unlink()
    assert killed == 20
    assert run(build(stand_in, tmp_path / "x", *flags)).returncode == 0
    assert dataset_files(tmp_path / "x") == dataset_files(tmp_path / "calm")
    assert not [path for path in (tmp_path / "x").rglob("*") if ".tmp-" in path.name]


@pytest.fixture
def small_disk(tmp_path: pathlib.Path):  # type: ignore[no-untyped-def]
    """A tmpfs of one megabyte; mounting it needs root."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    try:
        if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
            pytest.skip("mounting a tmpfs is not permitted here (needs root)")
    except OSError:
        pytest.skip("there is no mount command")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("store", ["uint8"])
def test_a_full_disk_is_one_line_and_the_next_run_goes_on(
    stand_in: imagenet_standin.StandIn, small_disk: pathlib.Path, tmp_path: pathlib.Path, store: str
) -> None:
    arguments = build(stand_in, small_disk / "x", "--workers=2", f"--store={store}")
    done = run(arguments)
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if "error" in line]
    assert "No space left on device; make room and run the same command again" in line
    assert "Traceback" not in done.stderr
    assert not (small_disk / "x" / "dataset.json").exists()
    assert not [path for path in (small_disk / "x").rglob("*") if ".tmp-" in path.name]
    remount = ["mount", "-o", "remount,size=64m", str(small_disk)]
    subprocess.run(remount, check=True)
    # The last shard may have found room where its sidecar found none: then it does not count.
    sidecars = (small_disk / "x" / ".conversion").glob("*.records.json")
    kept = {small_disk / "x" / path.name.removesuffix(".records.json") for path in sidecars}
    times = {path: path.stat().st_mtime_ns for path in kept}
    done = run(arguments)
    assert done.returncode == 0, done.stderr
    assert {path: path.stat().st_mtime_ns for path in kept} == times
    assert run(build(stand_in, tmp_path / "roomy", f"--store={store}")).returncode == 0
    assert dataset_files(small_disk / "x") == dataset_files(tmp_path / "roomy")


def test_without_a_temporary_folder_no_worker_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/not/there"])
    with pytest.raises(FileNotFoundError, match="No usable temporary directory"):
        workers.run(lambda task, report: None, [None], 1, 1, "title")
