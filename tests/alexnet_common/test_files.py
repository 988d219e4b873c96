"""Files by their names: what stands for an open file, and places that cannot be asked."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from alexnet_common import files

# No file system that TensorFlow has.
ELSEWHERE = "nowhere://bucket/folder"

WRITE = """
from alexnet_common import files
print("before", flush=False)
files.check_writable("/dev/fd/1", "--output")
files.write_atomically("/dev/fd/1", b"result\\n")
print("after")
"""


def test_what_stands_for_stdout_goes_where_stdout_goes(tmp_path: Path) -> None:
    """Of a file that stdout was redirected to, neither the name nor the content is replaced."""
    target = tmp_path / "out"
    target.write_text("kept\n")
    with target.open("a") as file:
        subprocess.run([sys.executable, "-c", WRITE], stdout=file, check=True, timeout=60)
        # The shell's own place in the file, behind all that was written.
        os.write(file.fileno(), b"more\n")
    assert target.read_text() == "kept\nbefore\nresult\nafter\nmore\n"
    assert os.listdir(tmp_path) == ["out"]


def test_a_descriptor_may_be_named_by_its_number(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with target.open("wb", buffering=0) as file:
        file.write(b"one\n")
        files.write_atomically(f"/proc/self/fd/{file.fileno()}", b"two\n")
        file.write(b"three\n")
    assert target.read_bytes() == b"one\ntwo\nthree\n"


def test_a_descriptor_that_is_not_open_is_named() -> None:
    with pytest.raises(OSError, match="/dev/fd/987654") as error:
        files.write_atomically("/dev/fd/987654", b"")
    assert error.value.strerror == "Bad file descriptor"


def _write(path: str) -> None:
    with files.open_for_writing(path) as file:
        file.write(b"x")


def _read(path: str) -> None:
    with files.open_for_reading(path) as file:
        file.read(1)


@pytest.mark.parametrize(
    "ask",
    [
        files.exists,
        files.is_dir,
        files.size,
        files.make_dirs,
        files.remove,
        files.read_bytes,
        _read,
        _write,
    ],
)
def test_what_a_remote_place_answers_is_an_error_of_the_system(ask) -> None:
    """A folder that cannot be asked for is not a folder that is not there."""
    pytest.importorskip("tensorflow")
    with pytest.raises(OSError, match=rf"^{ELSEWHERE}: .*'nowhere' not implemented"):
        ask(ELSEWHERE)


def test_a_remote_file_that_cannot_be_renamed_is_named() -> None:
    pytest.importorskip("tensorflow")
    with pytest.raises(OSError, match=rf"^{ELSEWHERE}/file: .*'nowhere' not implemented"):
        files.publish(f"{ELSEWHERE}/.file.tmp-1", f"{ELSEWHERE}/file")


def test_a_remote_folder_that_cannot_be_listed_is_named() -> None:
    pytest.importorskip("tensorflow")
    with pytest.raises(OSError, match=f"^{ELSEWHERE}: "):
        files.list_dir(ELSEWHERE)
