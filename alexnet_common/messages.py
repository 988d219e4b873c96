"""Lines for people: they go to stderr, so that stdout is kept for results that scripts read."""

from __future__ import annotations

import contextlib
import os
import sys


def log(text: str) -> None:
    """Writes one line to stderr at once.

    A log that cannot be written (a full disk, a pipe whose reader is gone) ends no work of days.
    """
    # On a terminal the cursor may stand behind a progress bar, which is drawn again later.
    terminal = sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    with contextlib.suppress(OSError):
        print(f"\r\033[K{text}" if terminal else text, file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """A time a person reads at a glance: "45 s", "3 min 20 s", "2 h 5 min", "3 d 4 h"."""
    whole = round(seconds)
    units = ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s"))
    for size, unit, smaller, small_unit in units:
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // smaller} {small_unit}"
    return f"{whole} s"
