"""Lines for people: they go to stderr, so that stdout is kept for results that scripts read."""

from __future__ import annotations

import contextlib
import os
import sys
import textwrap

HEADING = 15
# Of files, and of terminals that are wider: longer lines are hard to read.
WIDEST = 100
# Environment variable: columns of the lines of a process whose stderr is no terminal.
TOLD_WIDTH = "ALEXNET_COLUMNS"


def log(text: str) -> None:
    """Writes one line to stderr at once.

    A log that cannot be written (a full disk, a pipe whose reader is gone) ends no work of days.
    """
    # On a terminal the cursor may stand behind a progress bar, which is drawn again later.
    terminal = sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    with contextlib.suppress(OSError):
        print(f"\r\033[K{text}" if terminal else text, file=sys.stderr, flush=True)


def terminal_width() -> int:
    """Columns of the terminal that stderr is; 0: it is none, or does not say (a container's)."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns
    except (OSError, ValueError, AttributeError):
        return 0


def width() -> int:
    """Columns that a line may have, never more than WIDEST.

    The terminal's if stderr is one, else what `launch` tells its workers. Not COLUMNS: shells and
    tools export it, and would narrow the lines of files.
    """
    told = os.environ.get(TOLD_WIDTH, "")
    columns = terminal_width() or (int(told) if told.isdecimal() else 0)
    return min(columns or WIDEST, WIDEST)


def headed(heading: str, text: str, columns: int | None = None) -> str:
    """A heading, and a text beside it that is broken at spaces, never within a word.

    Args:
        heading: shorter than HEADING characters; "": the text goes on below.
        text: one paragraph.
        columns: that a line may have; None: those of `width()`.
    """
    assert len(heading) < HEADING
    return textwrap.fill(
        text,
        max(columns or width(), 2 * HEADING),
        initial_indent=heading.ljust(HEADING),
        subsequent_indent=" " * HEADING,
        break_long_words=False,
        break_on_hyphens=False,
    )


def duration(seconds: float) -> str:
    """A time a person reads at a glance: "45 s", "3 min 20 s", "2 h 5 min", "3 d 4 h"."""
    whole = round(seconds)
    units = ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s"))
    for size, unit, smaller, small_unit in units:
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // smaller} {small_unit}"
    return f"{whole} s"
