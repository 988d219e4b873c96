"""SIGTERM and SIGINT: the first one asks the run to save and stop, a second one ends it at once."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from types import FrameType
from typing import Any, NoReturn

from alexnet_common.errors import FAILED
from alexnet_common.messages import log

# sysexits.h EX_TEMPFAIL: not done, nothing lost, start the same command again.
EXIT_STATUS = 75


class StopRequest:
    """While entered, notes the first SIGTERM or SIGINT in `requested` instead of dying of it."""

    def __init__(self) -> None:
        self.requested = ""
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        """Installs the handlers, which only the main thread may do."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        """Puts the old handlers back."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            os._exit(128 + number)
        self.requested = signal.Signals(number).name
        log(f"{self.requested}: finishing this step and saving; once more to leave at once")


def leave(status: int) -> NoReturn:
    """Ends the process at once, all that was printed included.

    For the end of a command whose files are all closed: taking TensorFlow's objects down one by one
    can take longer than the whole time between a signal and the kill that follows it.

    Whoever prints a result that does not arrive has failed.
    """
    try:
        sys.stdout.flush()
    except OSError as error:
        log(f"error: stdout cannot be written: {error.strerror}")
        status = status or FAILED
    with contextlib.suppress(OSError):
        sys.stderr.flush()
    os._exit(status)
