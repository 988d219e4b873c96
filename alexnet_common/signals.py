"""SIGTERM and SIGINT: for a run, the first one asks to save and stop, a second one ends it at once.

Commands that keep nothing worth saving end at once (`ends_on_interrupt`).
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any, NoReturn

from alexnet_common import files
from alexnet_common.errors import FAILED, INTERRUPTED
from alexnet_common.messages import log

# From Ctrl-C to the end of a command in `ends_on_interrupt`, if Python does not get that far.
GRACE_SECONDS = 0.5

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


@contextlib.contextmanager
def ends_on_interrupt() -> Iterator[None]:
    """Within the block, Ctrl-C ends the process within a second, whatever it is doing.

    Python raises KeyboardInterrupt between two of its own instructions only; a library that
    compiles or computes can be seconds away from the next one. So a thread of its own hears of the
    signal as well (through the file descriptor that Python writes it to), and ends the process if
    it is still there after `GRACE_SECONDS`. Use it in the main thread, and only where nothing is
    lost; what `files.atomic_writer` has begun is removed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard, told = socket.socketpair()
    told.setblocking(False)
    before = signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)

    def watch() -> None:
        while number := heard.recv(1):
            if number[0] == signal.SIGINT and not over.wait(GRACE_SECONDS):
                files.remove_unfinished()
                log("interrupted")
                os._exit(INTERRUPTED)

    over = threading.Event()
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        signal.set_wakeup_fd(before)
        told.close()
        watcher.join(timeout=GRACE_SECONDS)
        heard.close()


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
