"""Shards on Apache Beam: the bytes of a local run, by several workers, after kills and mistakes."""

import contextlib
import importlib.util
import json
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from alexnet_common.errors import UsageError, UserError
from data_prep.shards import beam_options, beam_runner, job_files, making, plan
from data_prep.shards.making import Oddities, Outcome
from data_prep.sources.image_table import SourceImage
from tests.data_prep.conftest import Convert, dataset_files
from tests.helpers.imagenet_standin import StandIn

needs_beam = pytest.mark.skipif(
    importlib.util.find_spec("apache_beam") is None, reason="the extra beam is not installed"
)

needs_dask = pytest.mark.skipif(
    importlib.util.find_spec("distributed") is None, reason="the extra dask is not installed"
)


def made_job(folder: pathlib.Path) -> making.Job:
    (folder / ".conversion").mkdir()
    return making.Job(
        output_dir=str(folder),
        fingerprint="abc",
        shard_name="train-00000-of-00001",
        images=(SourceImage("cat/\udce9.jpg", "cat", "/x.zip", 5, 7, 1),),
        class_indices={"cat": 0},
        class_titles=("a cat",),
        settings=plan.Settings(image_size=16, validation_fraction=0.1),
        write_records=True,
        write_statistics=False,
        max_skipped=None,
    )


def test_a_job_goes_through_its_file(tmp_path: pathlib.Path) -> None:
    job = made_job(tmp_path)
    path = job_files.write_job(job)
    assert job_files.read_job(path) == job
    assert job_files.read_outcome(job) == (None, None)
    outcome = Outcome((("cat/\udce9.jpg", "empty"),), False, Oddities(1, 2))
    job_files.write_outcome(job, outcome, None)
    assert job_files.read_outcome(job) == (outcome, None)
    job_files.write_outcome(job, None, "an error")
    assert job_files.read_outcome(job) == (None, "an error")
    job_files.remove(job)
    assert list((tmp_path / ".conversion").iterdir()) == []


def test_a_mistake_of_an_image_is_told_in_the_outcome(tmp_path: pathlib.Path) -> None:
    """Raised, Beam would try it again and again."""
    (tmp_path / "x.jpg").write_bytes(b"no image")
    image = SourceImage("cat/x.jpg", "cat", str(tmp_path / "x.jpg"))
    fields = {**vars(made_job(tmp_path)), "images": (image,), "max_skipped": 0}
    job = making.Job(**fields)
    path = job_files.write_job(job)
    assert beam_runner.make_shard(path) == path
    outcome, error = job_files.read_outcome(job)
    assert (
        outcome is None
        and f"{tmp_path}/x.jpg: not" in str(error)
        and "--on_error=skip" in str(error)
    )


def test_without_beam_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    with pytest.raises(UserError, match=re.escape("pip install 'alexnet-tf[beam]'")):
        beam_runner.BeamJobs([])


@needs_beam
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--runner=DirectRuner"], "has no runner 'DirectRuner'; did you mean DirectRunner"),
        (["--direct_num_worker=1"], "--direct_num_worker; did you mean --direct_num_workers"),
        (["--direct_num_workers=two"], "argument --direct_num_workers: invalid int value: 'two'"),
        (["8"], "the runner DirectRunner of Apache Beam has no option 8"),
        (["--runner=json.nothing"], "has no runner 'json.nothing'"),
    ],
)
def test_wrong_options_of_beam_are_one_line(
    options: list[str],
    message: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(UsageError) as raised:
        beam_runner.BeamJobs(options)
    assert message in str(raised.value) and "\n" not in str(raised.value)
    assert capfd.readouterr() == ("", "")


@needs_beam
@needs_dask
def test_dask_has_a_short_name_and_options_of_its_own() -> None:
    parsed = beam_options.parse(["--runner=DaskRunner", "--dask_client_address=tcp://host:1"])
    assert type(parsed.runner).__name__ == "DaskRunner"
    with pytest.raises(UsageError, match="did you mean --dask_client_address"):
        beam_options.parse(["--runner=dask", "--dask_client_adress=tcp://host:1"])


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        ({"runner": "beam", "task": "1/2"}, "--task is for --runner=local"),
        ({"runner": "flink"}, "runner"),
    ],
)
def test_flags_that_contradict_each_other(
    tmp_path: pathlib.Path,
    convert: Convert,
    capsys: pytest.CaptureFixture[str],
    flags: dict[str, object],
    reason: str,
) -> None:
    assert convert(train=tmp_path, output_dir=tmp_path / "x", **flags) == 2
    assert reason in capsys.readouterr().err


def command(stand_in: StandIn, output_dir: pathlib.Path, *more: str) -> list[str]:
    return [
        *(sys.executable, "-m", "data_prep.build_tfrecords"),
        f"--train={stand_in.train_tar}",
        f"--validation={stand_in.validation_tar}",
        f"--devkit={stand_in.devkit}",
        f"--output_dir={output_dir}",
        *("--image_size=64", "--train_shards=9", "--validation_shards=3", "--workers=2"),
        *more,
    ]


def run(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, capture_output=True, text=True, timeout=500, check=False)


@pytest.fixture(scope="module")
def local(stand_in: StandIn, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The dataset by a local run."""
    folder = tmp_path_factory.mktemp("local") / "data"
    done = run(command(stand_in, folder))
    assert done.returncode == 0, done.stderr
    return dataset_files(folder)


DIRECT = ("--runner=DirectRunner", "--direct_num_workers=3")


@needs_beam
@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--", *DIRECT, "--direct_running_mode=multi_processing"),
        ("--", *DIRECT, "--direct_running_mode=multi_threading"),
        ("--", "--runner=DirectRunner", "--direct_num_workers=1"),
    ],
    ids=["defaults", "three processes", "three threads", "in memory"],
)
def test_the_bytes_are_those_of_a_local_run(
    stand_in: StandIn, tmp_path: pathlib.Path, local: dict[str, bytes], options: tuple[str, ...]
) -> None:
    done = run(command(stand_in, tmp_path / "x", "--runner=beam", *options))
    assert done.returncode == 0, done.stderr
    assert dataset_files(tmp_path / "x") == local
    assert len(done.stderr.splitlines()) < 25, done.stderr
    left = {name for name in os.listdir(tmp_path / "x" / ".conversion") if "job" in name}
    assert left == set()


@needs_beam
@pytest.mark.slow
def test_two_passes(stand_in: StandIn, tmp_path: pathlib.Path) -> None:
    for name, flags in (("a", []), ("b", ["--runner=beam"])):
        done = run(command(stand_in, tmp_path / name, "--store=centered", *flags))
        assert done.returncode == 0, done.stderr
    assert dataset_files(tmp_path / "a") == dataset_files(tmp_path / "b")


@needs_beam
@pytest.mark.slow
def test_killed_and_run_again(
    stand_in: StandIn, tmp_path: pathlib.Path, local: dict[str, bytes]
) -> None:
    chance = random.Random(3)
    output = tmp_path / "x"
    for _ in range(3):
        process = subprocess.Popen(
            command(stand_in, output, "--runner=beam"),
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        begin = time.monotonic()
        while process.poll() is None and not list(output.glob("train-*")):
            assert time.monotonic() - begin < 300
            time.sleep(0.1)
        time.sleep(chance.uniform(0, 1))
        process.kill()
        process.wait()
    done = run(command(stand_in, output, "--runner=beam"))
    assert done.returncode == 0, done.stderr
    assert dataset_files(output) == local


@needs_beam
@pytest.mark.slow
def test_a_bad_image_is_one_line(stand_in: StandIn, tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "set"
    for class_folder in list(stand_in.train_folder.iterdir())[:2]:
        (folder / class_folder.name).mkdir(parents=True)
        (path,) = list(class_folder.iterdir())[:1]
        (folder / class_folder.name / path.name).write_bytes(path.read_bytes())
    (folder / class_folder.name / "bad.jpg").write_bytes(b"no image")
    flags = [f"--train={folder}", "--image_size=16", "--workers=1", "--runner=beam"]
    start = [sys.executable, "-m", "data_prep.build_tfrecords"]
    done = run([*start, *flags, f"--output_dir={tmp_path / 'a'}"])
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert re.search(r"^error: .*/bad\.jpg: ", done.stderr.splitlines()[-1]), done.stderr
    done = run([*start, *flags, f"--output_dir={tmp_path / 'b'}", "--on_error=skip"])
    assert done.returncode == 1
    assert f"skipped {class_folder.name}/bad.jpg" in done.stderr


@pytest.fixture(scope="module")
def dask_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a scheduler that has two worker processes."""
    folder = tmp_path_factory.mktemp("dask")
    scheduler_file = folder / "scheduler.json"
    common = [f"--scheduler-file={scheduler_file}", "--protocol=tcp", "--no-dashboard"]
    programs = [
        ["-m", "distributed.cli.dask_scheduler", *common, "--port=0", "--host=127.0.0.1"],
        ["-m", "distributed.cli.dask_worker", *common, "--nworkers=2", "--nthreads=1"],
    ]
    with contextlib.ExitStack() as running:
        for program in programs:
            log = running.enter_context(open(folder / f"{program[1]}.log", "w"))
            process = subprocess.Popen([sys.executable, *program], stderr=log, stdout=log)
            running.callback(process.wait, timeout=60)
            running.callback(process.terminate)
            begin = time.monotonic()
            while not scheduler_file.exists():
                assert process.poll() is None and time.monotonic() - begin < 120
                time.sleep(0.1)
        yield json.loads(scheduler_file.read_text())["address"]


@needs_beam
@needs_dask
@pytest.mark.slow
def test_on_a_dask_cluster_a_worker_may_be_killed(
    stand_in: StandIn,
    tmp_path: pathlib.Path,
    local: dict[str, bytes],
    dask_cluster: str,
) -> None:
    """What Dask runs again makes the same bytes."""
    from distributed import Client

    options = ("--runner=DaskRunner", f"--dask_client_address={dask_cluster}")
    with Client(dask_cluster, timeout=60) as client:
        client.wait_for_workers(2, timeout=120)
        before = set(client.run(os.getpid).values())
        output = tmp_path / "x"
        process = subprocess.Popen(
            command(stand_in, output, "--runner=beam", "--", *options),
            stderr=subprocess.PIPE,
            text=True,
        )
        begin = time.monotonic()
        while process.poll() is None and not list(output.glob("train-*")):
            assert time.monotonic() - begin < 300
            time.sleep(0.02)
        assert process.poll() is None, process.stderr
        os.kill(min(before), signal.SIGKILL)
        _, said = process.communicate(timeout=400)
        assert process.returncode == 0, said
        assert dataset_files(output) == local
        assert set(client.run(os.getpid).values()) != before
