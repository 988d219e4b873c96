"""Workers that live and die together. Small scripts stand in for the trainer."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from alexnet_common.errors import UserError
from alexnet_tf import launch
from tests.helpers.python_path import extended

# Each says who it is, and then does what its name says.
SCRIPTS = {
    "report": """
        print(json.dumps({"config": config, "arguments": sys.argv[1:]}))
        log("ready")
    """,
    "one_fails": """
        if index == 1:
            log("error: no luck")
            sys.exit(3)
        time.sleep(60)
    """,
    "one_is_killed": """
        if index == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)
    """,
    "deaf": """
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        open(f"{sys.argv[1]}/{index}", "w").write(str(os.getpid()))
        if index == 1:
            while not os.path.exists(f"{sys.argv[1]}/0"):
                time.sleep(0.01)
            sys.exit(1)
        time.sleep(60)
    """,
    "saves": """
        def stop(number, frame):
            log(f"saved after {signal.Signals(number).name}")
            sys.exit(75)
        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        log("ready")
        time.sleep(60)
    """,
    "says_signals": """
        signal.signal(signal.SIGINT, lambda *_: log("got SIGINT"))
        log("ready")
        while True:
            time.sleep(60)
    """,
    "deaf_to_all": """
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        log("ready")
        time.sleep(600)
    """,
    "one_saves": """
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
        if index == 1:
            while not os.path.exists(f"{sys.argv[1]}/0"):
                time.sleep(0.01)
            sys.exit(75)
        open(f"{sys.argv[1]}/0", "w").close()
        time.sleep(60)
    """,
    "waits": """
        child = subprocess.Popen(["sleep", "60"])
        for pid in (os.getpid(), child.pid):
            open(f"{sys.argv[1]}/{pid}", "w").close()
        log("ready")
        time.sleep(60)
    """,
    "leaves_a_child": """
        subprocess.Popen(["sleep", "60"])
        log("no newline at the end", end="")
    """,
}
HEAD = """
import json, os, signal, subprocess, sys, time
config = json.loads(os.environ["TF_CONFIG"])
index = config["task"]["index"]
def log(text, end="\\n"):
    print(text, file=sys.stderr, end=end, flush=True)
"""


@pytest.fixture
def start(tmp_path):
    """Starts launch with a script in place of the trainer; ends it with the test."""
    started = []

    def run(script, *arguments, workers=2, options=()):
        lines = SCRIPTS[script].splitlines()
        body = "\n".join(line.removeprefix("        ") for line in lines)
        (tmp_path / f"fake_{script}.py").write_text(HEAD + body)
        process = subprocess.Popen(
            [sys.executable, "-m", "alexnet_tf.launch", f"--workers={workers}", *options]
            + [f"--module=fake_{script}", "--", *map(str, arguments)],
            env=os.environ | {"PYTHONPATH": extended(tmp_path, os.getcwd())},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.wait()


def finish(process):
    out, err = process.communicate(timeout=30)
    return process.returncode, out, err.splitlines()


def wait_for(process, line, times):
    while times:
        found = process.stderr.readline()
        assert found
        times -= line in found


@pytest.mark.parametrize(("columns", "told"), [(80, ["76", "75"]), (0, [None, None])])
def test_workers_are_told_what_their_marks_leave_of_the_terminal(monkeypatch, columns, told):
    monkeypatch.setattr(launch, "terminal_width", lambda: columns)
    assert [launch.room(index).get("ALEXNET_COLUMNS") for index in (9, 10)] == told


def test_workers_get_a_cluster_and_their_lines_a_mark(start):
    status, out, err = finish(start("report", "--workdir=x", workers=3))
    assert status == 0
    logs = [line for line in err if "{" not in line]
    assert sorted(logs) == ["[0] ready", "[1] ready", "[2] ready"]
    # Results for scripts: those of worker 0 alone, as they are.
    (line,) = out.splitlines()
    found = json.loads(line)
    assert found["arguments"] == ["--workdir=x", "--config.distribution=multi_worker"]
    assert found["config"]["task"] == {"type": "worker", "index": 0}
    addresses = found["config"]["cluster"]["worker"]
    assert len(set(addresses)) == 3
    assert all(address.startswith("127.0.0.1:") for address in addresses)


def test_workers_outlive_those_who_read_their_log(start):
    process = start("report", "--workdir=x")
    process.stderr.close()
    line = process.stdout.readline()
    assert json.loads(line)["arguments"][0] == "--workdir=x"
    assert process.wait(timeout=30) == 0


def test_ports_can_be_chosen(start):
    (first,) = launch.free_ports(1)
    status, out, _ = finish(start("report", "x", options=(f"--port={first}",)))
    assert status == 0
    workers = json.loads(out)["config"]["cluster"]["worker"]
    assert workers == [f"127.0.0.1:{first}", f"127.0.0.1:{first + 1}"]


def test_one_fails(start):
    status, _, err = finish(start("one_fails", "x"))
    assert status == 3
    assert "[1] error: no luck" in err
    assert err[-1] == "error: worker 1 of 2 failed with exit status 3"


def test_one_is_killed(start):
    status, _, err = finish(start("one_is_killed", "x"))
    assert status == 128 + signal.SIGKILL
    assert err[-1] == "error: worker 1 of 2 was killed by SIGKILL"


def test_one_that_does_not_hear_is_killed(start, tmp_path):
    status, _, err = finish(start("deaf", tmp_path, options=("--grace_seconds=0.2",)))
    assert status == 1
    assert err[-2:] == [
        "worker 0 does not end, and is killed",
        "error: worker 1 of 2 failed with exit status 1",
    ]
    assert gone(int((tmp_path / "0").read_text()))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_are_passed_on(start, number):
    process = start("saves", "x")
    wait_for(process, "ready", 2)
    process.send_signal(number)
    status, _, err = finish(process)
    assert status == 75
    name = "SIGTERM" if number == signal.SIGHUP else signal.Signals(number).name
    assert sorted(err) == [f"[0] saved after {name}", f"[1] saved after {name}"]


def test_the_second_signal_is_one_that_python_does_not_catch(start):
    process = start("says_signals", "x")
    wait_for(process, "ready", 2)
    process.send_signal(signal.SIGINT)
    wait_for(process, "got SIGINT", 2)
    process.send_signal(signal.SIGINT)
    status, _, err = finish(process)
    assert status == 128 + signal.SIGINT
    assert err == ["interrupted; the same command resumes from the last checkpoint"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_kills_what_hears_none(start, number):
    process = start("deaf_to_all", "x")
    wait_for(process, "ready", 2)
    process.send_signal(number)
    # Not one signal, if they came at once.
    time.sleep(0.3)
    process.send_signal(number)
    status, _, err = finish(process)
    assert status == 128 + number
    assert err[-1] == "interrupted; the same command resumes from the last checkpoint"


def test_when_one_saves_and_stops_all_do(start, tmp_path):
    assert finish(start("one_saves", tmp_path))[0] == 75


def test_no_orphans_after_kill_9(start, tmp_path):
    folder = tmp_path / "pids"
    folder.mkdir()
    process = start("waits", folder)
    wait_for(process, "ready", 2)
    process.kill()
    process.wait()
    names = {int(path.name) for path in folder.iterdir()}
    try:
        # Workers die with their parent; what they had started is theirs to end.
        workers = [pid for pid in names if "sleep" not in name_of(pid)]
        deadline = time.monotonic() + 20
        while not all(gone(pid) for pid in workers):
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        for pid in names:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def test_nothing_is_left_when_stopped(start, tmp_path):
    folder = tmp_path / "pids"
    folder.mkdir()
    process = start("waits", folder)
    wait_for(process, "ready", 2)
    process.terminate()
    assert finish(process)[0] == 128 + signal.SIGTERM
    assert all(gone(int(path.name)) for path in folder.iterdir())


def test_a_child_that_holds_the_pipe_is_no_reason_to_wait(start):
    status, _, err = finish(start("leaves_a_child", "x"))
    assert status == 0
    assert "[0] no newline at the end" in err


def name_of(pid):
    try:
        with open(f"/proc/{pid}/comm") as file:
            return file.read()
    except OSError:
        return ""


def gone(pid):
    """Not there any more, or waiting to be reaped by whoever has adopted it."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def call(*argv):
    return launch.call(list(argv))


def test_wrong_usage(capsys):
    assert call("--workers=2") == 2
    assert "nothing to run" in capsys.readouterr().err
    assert call("--workers=0", "--", "x") == 2
    assert call("--workers=two", "--", "x") == 2
    capsys.readouterr()
    assert call("--port=65535", "--", "x") == 2
    assert "65535; leave --port out" in capsys.readouterr().err


def test_a_forgotten_separator_is_pointed_out(capsys):
    assert call("--workers=2", "--config=demo", "--workdir=x") == 2
    assert "--config=demo is for the trainer, whose arguments follow" in capsys.readouterr().err


def test_a_taken_port_is_named(capsys):
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        assert call(f"--port={port}", "--", "x") == 1
    assert f"port {port} cannot be used" in capsys.readouterr().err


@pytest.mark.parametrize(
    "given",
    [
        ["--config.distribution=mirrored"],
        ["--config_override=distribution=mirrored"],
        ["--config_override", "distribution=mirrored"],
    ],
)
def test_a_distribution_that_is_given_stays(given):
    assert launch.with_distribution(given) == given


def test_gpus_are_shared_out():
    def shares(workers, text):
        found = launch.share_gpus(workers, {"CUDA_VISIBLE_DEVICES": text})
        return [share.get("CUDA_VISIBLE_DEVICES") for share in found]

    assert shares(2, "0,1,2,3") == ["0,1", "2,3"]
    assert shares(2, "5,6,7") == ["5", "6"]
    assert shares(2, "-1") == shares(2, "") == [None, None]
    with pytest.raises(UserError, match="here are 1 GPUs"):
        shares(2, "0")
