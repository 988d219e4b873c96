"""Progress: one line where nobody watches, a bar that is wiped on a terminal."""

from __future__ import annotations

import io

import pytest

from alexnet_common import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("total", "line"), [(1, "x: 1 image\n"), (2000, "x: 2,000 images\n")])
def test_one_line_where_there_is_no_terminal(capsys, total, line):
    update = progress.bar("x", total)
    update(1)
    assert capsys.readouterr() == ("", line)


def test_a_bar_on_a_terminal_counts_and_goes(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    update = progress.bar("features", 4)
    update(3)
    update(1)
    shown = terminal.getvalue()
    assert "features" in shown and "0/4" in shown
    # tqdm wipes what it leaves.
    assert shown.rstrip("\n").endswith("\r")
