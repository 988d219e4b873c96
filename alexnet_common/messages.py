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
