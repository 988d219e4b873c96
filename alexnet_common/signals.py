"""SIGTERM and SIGINT: for a run, the first one asks to save and stop, a second one ends it at once.

Commands that keep nothing worth saving end at once (`ends_on_interrupt`).
"""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NoReturn

from alexnet_common import environment, files
from alexnet_common.errors import FAILED, INTERRUPTED
from alexnet_common.messages import log

# From Ctrl-C to the end of a command in `ends_on_interrupt`, if Python does not get that far.
GRACE_SECONDS = 0.5

# sysexits.h EX_TEMPFAIL: not done, nothing lost, start the same command again.
EXIT_STATUS = 75


class StopRequest:
    """While entered, notes the first signal that asks to stop, in `requested`.

    SIGTERM, SIGINT, and SIGHUP where it is not ignored (nohup). A second one ends the process at
    once, also where Python does not get to hear of it: in a step that waits for another worker.
    """

    SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    # The one that is entered.
    current: StopRequest | None = None

    def __init__(self) -> None:
        self.requested = ""
        self._heard = 0
        self._entered = contextlib.ExitStack()

    def __enter__(self) -> StopRequest:
        """Installs the handlers, which only the main thread may do."""
        if threading.current_thread() is threading.main_thread():
            for number in self.SIGNALS:
                previous = signal.getsignal(number)
                if previous is signal.SIG_IGN:
                    continue
                signal.signal(number, self._note)
                self._entered.callback(signal.signal, number, previous)
            self._entered.enter_context(_heard_by(self._hear))
        StopRequest.current = self
        return self

    def __exit__(self, *_: object) -> None:
        """Puts the old handlers back."""
        StopRequest.current = None
        self._entered.close()

    def ask(self, number: int) -> None:
        """Asks to stop as the signal `number` does, unless one has asked already."""
        if not self._heard:
            self._hear(number)
            self._note(number, None)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.requested = self.requested or signal.Signals(number).name

    def _hear(self, number: int) -> None:
        if number not in self.SIGNALS:
            return
        self._heard += 1
        if self._heard > 1:
            os._exit(128 + number)
        name = signal.Signals(number).name
        log(f"{name}: finishing this step and saving; once more to leave at once")


def pass_on(number: int) -> None:
    """Does what the signal `number` would, had it reached this process and not somebody else.

    A run that was asked to stop already is not asked again, which would end it at once.
    """
    if StopRequest.current is None:
        os.kill(os.getpid(), number)
    else:
        StopRequest.current.ask(number)


@contextlib.contextmanager
def ends_on_interrupt() -> Iterator[threading.Event]:
    """Within the block, Ctrl-C ends the process within a second, whatever it is doing.

    Python raises KeyboardInterrupt between two of its own instructions only; a library that
    compiles or computes can be seconds away from the next one. So the process ends if it is still
    there after `GRACE_SECONDS`. Use it in the main thread, and only where nothing is lost; what
    `files.atomic_writer` has begun is removed.

    Yields:
        An event that is set once Ctrl-C was pressed: libraries that are interrupted in a function
        of ours that they call may raise something else than KeyboardInterrupt.
    """
    over, ending, one_at_a_time = threading.Event(), threading.Event(), threading.Lock()
    pressed = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield pressed
        return

    def end(number: int) -> None:
        if number != signal.SIGINT:
            return
        pressed.set()
        if over.wait(GRACE_SECONDS):
            return
        with one_at_a_time:
            if over.is_set():
                return
            ending.set()
        files.remove_unfinished()
        log("interrupted")
        os._exit(INTERRUPTED)

    with _heard_by(end):
        try:
            yield pressed
        finally:
            with one_at_a_time:
                over.set()
            while ending.is_set():
                # What failed here failed for its files, which are being removed: not with a
                # status of its own. The other thread ends the process.
                with contextlib.suppress(KeyboardInterrupt):
                    time.sleep(1)


@contextlib.contextmanager
def ends_well_on_signals(words: str) -> Iterator[None]:
    """Within the block, signals that ask to stop end the process at once, with status 0.

    For what follows when all that the command was started for is done and saved. What was printed
    is flushed; what `files.atomic_writer` has begun is removed.

    Args:
        words: for people, behind the signal's name.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int) -> None:
        if number in StopRequest.SIGNALS:
            files.remove_unfinished()
            log(f"{signal.Signals(number).name}: {words}")
            leave(0)

    with contextlib.ExitStack() as left:
        for number in StopRequest.SIGNALS:
            previous = signal.getsignal(number)
            if previous is not signal.SIG_IGN:
                # The thread hears of what Python handles, if only by nothing.
                left.callback(signal.signal, number, signal.signal(number, lambda *_: None))
        left.enter_context(_heard_by(end))
        yield


@contextlib.contextmanager
def ends_when_waited_for(seconds: float, words: str) -> Iterator[None]:
    """Within the block, Ctrl-C ends the process at once, and so does waiting for too long.

    For a call that keeps all of Python waiting, threads too, because it holds the interpreter's
    lock: signals get their default action, and the time is watched by faulthandler's own thread,
    which needs no lock and exits with status 1. A shell that reads what it writes says why.
    (TensorFlow takes SIGTERM for itself while it connects workers: `devices.noticed_signals`.)

    Args:
        seconds: how long to wait.
        words: the error line for people.
    """
    with contextlib.ExitStack() as left:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                left.callback(signal.signal, number, signal.signal(number, signal.SIG_DFL))
        speaker = left.enter_context(
            subprocess.Popen(
                ["sh", "-c", 'read -r _ && printf "%s\\n" "$0" >&2', f"error: {words}"],
                stdin=subprocess.PIPE,
            )
        )
        assert speaker.stdin is not None
        faulthandler.dump_traceback_later(seconds, exit=True, file=speaker.stdin.fileno())
        left.callback(faulthandler.cancel_dump_traceback_later)
        yield


@contextlib.contextmanager
def _heard_by(hear: Callable[[int], None]) -> Iterator[None]:
    """Calls `hear` with every signal that Python handles, in a thread that never waits for Python.

    The thread hears of them through the file descriptor that Python's handler in C writes to.
    """
    # Before the sockets, which would take the number of a stream that is closed.
    environment.prepare_streams()
    heard, told = socket.socketpair()
    told.setblocking(False)
    before = signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)

    def listen() -> None:
        while number := heard.recv(1):
            hear(number[0])

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        told.close()
        thread.join(timeout=GRACE_SECONDS)
        heard.close()


def leave(status: int) -> NoReturn:
    """Ends the process at once, all that was printed included.

    For the end of a command whose files are all closed: taking TensorFlow's objects down one by one
    can take longer than the whole time between a signal and the kill that follows it. What
    libraries have asked to be done at the end is done: it takes temporary files away.

    Whoever prints a result that does not arrive has failed.
    """
    try:
        sys.stdout.flush()
    except OSError as error:
        log(f"error: stdout cannot be written: {error.strerror}")
        status = status or FAILED
    with contextlib.suppress(OSError):
        sys.stderr.flush()
    atexit._run_exitfuncs()
    os._exit(status)
