"""Ctrl-C while a library computes, and files that were being written then."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import tempfile
import time

import pytest

from alexnet_common import files, folders
from alexnet_common.errors import UserError

# Hours within one call of C, which lets other threads run and does not look at signals.
HOURS = """
    while True:
        try:
            print("begun", flush=True)
            hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)
        except KeyboardInterrupt:  # It came before the call.
            sys.stdout = sys.stderr
"""
BUSY = f"""
import hashlib, sys
from alexnet_common import files, signals

with signals.ends_on_interrupt(), files.atomic_writer(sys.argv[1]) as file:
    file.write(b"half")
{HOURS}"""
# The same, with a folder that is for this process alone.
SCRATCH = f"""
import hashlib, os, sys
from alexnet_common import folders, signals

with signals.ends_on_interrupt(), folders.scratch_folder() as folder:
    os.mkdir(os.path.join(folder, "checkpoints"))
{HOURS}"""
# What Python itself can end cleans up as it likes, if it comes to that in time.
POLITE = """
import time
from alexnet_common import signals

signals.GRACE_SECONDS = 50
try:
    with signals.ends_on_interrupt():
        print("begun", flush=True)
        time.sleep(3600)
except KeyboardInterrupt:
    print("cleaned up", flush=True)
"""


# A step that waits for another worker, say, hears of no signal; then it ends.
STEP = """
import time
from alexnet_common import signals

with signals.StopRequest() as stop:
    print("begun", flush=True)
    while not stop.requested:
        time.sleep(0.01)
print(f"saved after {stop.requested}")
"""
STUCK = """
import hashlib
from alexnet_common import signals

with signals.StopRequest():
    print("begun", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)
"""


# All is done but one thing, which hears of no signal.
DONE = """
import hashlib, sys
from alexnet_common import files, signals

print("begun", flush=True)
sys.stdout = open(1, "w")  # Kept until it is flushed, whatever PYTHONUNBUFFERED says.
with signals.ends_well_on_signals("no report; all else is saved"):
    print("the result")
    with files.atomic_writer(FILE) as file:
        file.write(b"half")
        hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)
"""


def started(code: str, repository, before: str = "") -> subprocess.Popen[str]:
    """A Python that has begun; `before`: what the shell does first."""
    process = subprocess.Popen(
        ["sh", "-c", f'{before}exec "$0" -c "$1"', sys.executable, code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=repository,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    return process


def interrupted(code: str, repository, *arguments: str) -> tuple[int, str, str]:
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=repository,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def test_a_call_that_hears_no_signal_is_ended_and_its_half_file_removed(repository, tmp_path):
    status, out, err = interrupted(BUSY, repository, str(tmp_path / "file"))
    assert (status, out, err.removeprefix("begun\n")) == (130, "", "interrupted\n")
    assert os.listdir(tmp_path) == []


def test_a_scratch_folder_is_gone_after_a_sudden_end(repository, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    status, out, err = interrupted(SCRATCH, repository)
    assert (status, out, err.removeprefix("begun\n")) == (130, "", "interrupted\n")
    assert os.listdir(tmp_path) == []


def test_a_scratch_folder_lasts_as_long_as_its_block(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with folders.scratch_folder() as folder:
        assert os.listdir(tmp_path) == [os.path.basename(folder)] and os.listdir(folder) == []
    assert os.listdir(tmp_path) == [] and files.UNFINISHED == set()


def test_python_that_hears_it_is_left_alone(repository):
    assert interrupted(POLITE, repository) == (0, "cleaned up\n", "")


# A library that is interrupted in a function of ours that it calls may raise an error of its own.
TURNED = """
import time
from alexnet_common import command, signals
from alexnet_common.errors import UserError

signals.GRACE_SECONDS = 50

def main(flag_values, arguments):
    try:
        print("begun", flush=True)
        time.sleep(3600)
    except KeyboardInterrupt:
        raise ERROR("cannot be written") from None

command.run_until_interrupted(lambda flag_values: None, main, None)
"""
# Fails because its files are being removed.
REMOVED = """
import time
from alexnet_common import command, files, signals
from alexnet_common.errors import UserError

signals.GRACE_SECONDS = 0
removing = []

def remove():
    removing.append(1)
    time.sleep(2)

files.remove_unfinished = remove

def main(flag_values, arguments):
    print("begun", flush=True)
    while not removing:
        try:
            time.sleep(0.01)
        except KeyboardInterrupt:
            pass
    raise UserError("cannot be written")

command.run_until_interrupted(lambda flag_values: None, main, None)
"""


@pytest.mark.parametrize("error", ["UserError", "OSError", "RuntimeError"])
def test_an_interrupt_that_a_library_turned_into_an_error_is_one(repository, error):
    status, _, err = interrupted(TURNED.replace("ERROR", error), repository)
    assert (status, err.splitlines()[-1]) == (130, "interrupted")
    assert "Traceback" not in err


def test_a_failure_for_files_that_are_being_removed_is_an_interrupt(repository):
    status, _, err = interrupted(REMOVED, repository)
    assert (status, err.splitlines()[-1]) == (130, "interrupted")


# Keeps the interpreter's lock for ever, as TensorFlow does while it waits for other workers.
LOCKED = """
import ctypes, sys
from alexnet_common import signals

with signals.ends_when_waited_for(float(SECONDS), "nobody came; it's 'late'"):
    print("begun", flush=True)
    ctypes.PyDLL(None).sleep(1000)
"""


def test_waiting_that_keeps_the_lock_ends_after_its_time(repository):
    process = started(LOCKED.replace("SECONDS", "1"), repository)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (1, "", "error: nobody came; it's 'late'\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_waiting_that_keeps_the_lock_hears_signals(repository, number):
    process = started(LOCKED.replace("SECONDS", "1000"), repository)
    process.send_signal(number)
    assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == -number


def test_what_comes_in_time_goes_on(repository):
    code = LOCKED.replace("SECONDS", "1000").replace("sleep(1000)", "sleep(0)") + "print('on')"
    out, err = started(code, repository).communicate(timeout=60)
    assert (out, err) == ("on\n", "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_the_first_signal_asks_to_save(repository, number):
    process = started(STEP, repository)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, f"saved after {number.name}\n")
    assert err.startswith(f"{number.name}: ") and len(err.splitlines()) == 1


def test_a_hangup_that_nohup_ignores_stays_ignored(repository):
    process = started(STEP, repository, "trap '' HUP; ")
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert out == "saved after SIGTERM\n" and "SIGHUP" not in err


def test_the_second_signal_ends_also_what_hears_of_none(repository):
    process = started(STUCK, repository)
    assert process.stderr is not None
    process.send_signal(signal.SIGTERM)
    assert process.stderr.readline().startswith("SIGTERM: ")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGINT


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_after_the_work_is_done_is_no_failure(repository, tmp_path, number):
    process = started(DONE.replace("FILE", repr(str(tmp_path / "file"))), repository)
    while not os.listdir(tmp_path):
        time.sleep(0.01)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, "the result\n")
    assert err == f"{number.name}: no report; all else is saved\n"
    assert os.listdir(tmp_path) == []


def test_writable_or_one_line(tmp_path):
    files.check_writable(str(tmp_path / "absent" / "deep" / "file.json"), "--output")
    assert os.listdir(tmp_path) == []
    (tmp_path / "new").mkdir()
    (tmp_path / "kept").write_text("mine")
    files.check_writable(str(tmp_path / "kept"), "--output")
    assert (tmp_path / "kept").read_text() == "mine"
    with pytest.raises(UserError, match="--output .*new is a folder; name a file"):
        files.check_writable(str(tmp_path / "new"), "--output")
    with pytest.raises(
        UserError, match="--output .*cannot be written: a part of its path is a file"
    ):
        files.check_writable(str(tmp_path / "kept" / "file"), "--output")


def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE)
    files.check_writable(str(pipe), "--output")
    files.write_atomically(pipe, b"result")
    assert reader.communicate(timeout=60)[0] == b"result"
    assert os.listdir(tmp_path) == ["pipe"] and pipe.is_fifo()


PASSED_ON = """
import signal, time
from alexnet_common import signals

with signals.StopRequest() as stop:
    for _ in range(3):
        signals.pass_on(signal.SIGTERM)
    print(stop.requested, flush=True)
signals.pass_on(signal.SIGTERM)
print("not reached")
"""


def test_a_signal_that_was_passed_on_asks_once_and_only_within_a_run():
    found = subprocess.run([sys.executable, "-c", PASSED_ON], capture_output=True, text=True)
    # Within a run it asks to save, however often; outside it is the signal itself.
    assert (found.stdout, found.returncode) == ("SIGTERM\n", -signal.SIGTERM)
    assert found.stderr.count("SIGTERM: finishing this step and saving") == 1


def test_a_full_disk_is_told_with_the_files_name(tmp_path):
    path = tmp_path / "result.json"
    with pytest.raises(OSError, match="result.json") as caught, files.atomic_writer(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert caught.value.filename == str(path) and os.listdir(tmp_path) == []
    with pytest.raises(OSError, match="^no bucket$"), files.atomic_writer(path):
        raise OSError("no bucket")
