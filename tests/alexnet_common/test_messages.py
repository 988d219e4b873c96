"""Lines within the width of what they are written to."""

import os
import pty
import struct
import sys

import pytest

from alexnet_common import messages

TEXT = "one two-word /a/path/that/is/long/enough/to/be/broken/elsewhere three four five six"


def test_a_heading_with_a_text_beside_it():
    lines = messages.headed("note", TEXT, columns=40).split("\n")
    assert lines == [
        "note           one two-word",
        "               /a/path/that/is/long/enough/to/be/broken/elsewhere",
        "               three four five six",
    ]
    assert messages.headed("note", "short") == "note           short"


@pytest.mark.parametrize(("columns", "width"), [(80, 80), (160, 100), (0, 100)])
def test_the_width_is_the_terminals_up_to_100(monkeypatch, columns, width):
    fcntl, termios = pytest.importorskip("fcntl"), pytest.importorskip("termios")
    ours, theirs = pty.openpty()
    try:
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        with os.fdopen(os.dup(theirs), "w") as stderr:
            monkeypatch.setattr(sys, "stderr", stderr)
            assert messages.width() == width
    finally:
        os.close(ours)
        os.close(theirs)


@pytest.mark.parametrize(("told", "width"), [(None, 100), ("76", 76), ("300", 100), ("wide", 100)])
def test_files_have_lines_of_100_or_what_launch_says(monkeypatch, tmp_path, told, width):
    monkeypatch.delenv("ALEXNET_COLUMNS", raising=False)
    if told is not None:
        monkeypatch.setenv("ALEXNET_COLUMNS", told)
    with (tmp_path / "log").open("w") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        assert messages.width() == width
