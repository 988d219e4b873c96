"""Starts several workers of a run on this machine, to try out multi-worker training.

Example:
  python -m alexnet_tf.launch --workers=2 -- --config=configs/demo.py \\
      --config.data_dir=DATASET --workdir=RUN

What follows -- goes to python -m alexnet_tf.train, with --config.distribution=multi_worker unless
a distribution is given. Log lines are marked with their worker: [0], [1], ... Only worker 0 writes
to stdout. GPUs are shared out evenly.
When one worker dies, the others are ended within seconds; the same command resumes the run.
SIGINT and SIGTERM are passed on: the workers save and stop. A second one ends them at once.
Exit status: 0 trained to the end, 75 stopped by a signal and saved, 128 + signal number if it came
twice or before the training; else that of the first worker that died (128 + signal number if it was
killed).
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import glob
import math
import os
import re
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import IO, Any

from absl import flags

from alexnet_common import command, signals
from alexnet_common.errors import WRONG_USAGE, UsageError, UserError
from alexnet_common.messages import TOLD_WIDTH, log, terminal_width
from alexnet_tf.devices import cluster

# Linux: prctl(PR_SET_PDEATHSIG, signal).
_PR_SET_PDEATHSIG = 1
_POLL_SECONDS = 0.1
# How long the end of a worker's output is waited for after it has ended.
_DRAIN_SECONDS = 2.0
# From a second signal to the kill of a worker that does not hear it.
_LAST_WORDS_SECONDS = 1.0


def define_flags(flag_values: flags.FlagValues) -> None:
    """Defines the command's flags."""
    flags.DEFINE_integer("workers", 2, "Processes to start.", 1, flag_values=flag_values)
    flags.DEFINE_integer(
        "port",
        0,
        "First of the loopback ports, one per worker; 0: any free ones.",
        lower_bound=0,
        upper_bound=65535,
        flag_values=flag_values,
    )
    flags.DEFINE_float(
        "grace_seconds",
        5.0,
        "When a worker has died: seconds between asking the others to end and killing them.",
        lower_bound=0.0,
        flag_values=flag_values,
    )
    flags.DEFINE_string(
        "module",
        "alexnet_tf.train",
        "What each worker runs: python -m MODULE.",
        flag_values=flag_values,
    )


def main(flag_values: flags.FlagValues, arguments: list[str]) -> int:
    """Runs the command."""
    if not arguments:
        raise UsageError("nothing to run: ... --workers=2 -- --config=... --workdir=...")
    arguments = with_distribution(arguments)
    ports = free_ports(flag_values.workers, flag_values.port)
    devices = share_gpus(flag_values.workers, os.environ)
    workers = [f"127.0.0.1:{port}" for port in ports]
    with Workers(flag_values.grace_seconds) as group:
        for index in range(flag_values.workers):
            environment = {**os.environ, **devices[index], **room(index), "PYTHONUNBUFFERED": "1"}
            cluster.export(cluster.Cluster(tuple(workers), index, "launch"), environment)
            group.start([sys.executable, "-m", flag_values.module, *arguments], environment)
        return group.wait()


def mark(index: int) -> str:
    """What stands in front of a worker's lines."""
    return f"[{index}] "


def room(index: int) -> dict[str, str]:
    """Width that a worker is told: what its mark leaves of the terminal; nothing without one."""
    columns = terminal_width()
    return {TOLD_WIDTH: str(max(1, columns - len(mark(index))))} if columns else {}


def with_distribution(arguments: Sequence[str]) -> list[str]:
    """The trainer's arguments, with `multi_worker` unless they name a distribution."""
    pattern = re.compile(r"--?(config\.|config_override[= ])distribution(=|$)")
    pairs = [*arguments, *(" ".join(pair) for pair in zip(arguments, arguments[1:], strict=False))]
    if any(pattern.match(text) for text in pairs):
        return list(arguments)
    return [*arguments, "--config.distribution=multi_worker"]


def free_ports(count: int, first: int = 0) -> list[int]:
    """Loopback ports that nobody listens on: `first`, `first` + 1, ..., or any.

    Raises:
        UserError: one of the wanted ports is taken.
    """
    if first + count - 1 > 65535:
        raise UsageError(
            f"--port={first}: {count} workers need as many ports, and the last one there is is "
            "65535; leave --port out to take free ones"
        )
    with contextlib.ExitStack() as held:
        ports = []
        for number in range(count):
            wanted = first + number if first else 0
            listener = held.enter_context(socket.socket())
            # As gRPC does: a port of a run that has just ended is free.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("127.0.0.1", wanted))
            except OSError as error:
                raise UserError(
                    f"--port={first}: port {wanted} cannot be used ({error.strerror}); "
                    "leave --port out to take free ones"
                ) from error
            ports.append(listener.getsockname()[1])
        return ports


def share_gpus(workers: int, environment: Mapping[str, str]) -> list[dict[str, str]]:
    """CUDA_VISIBLE_DEVICES of every worker: two processes on one GPU fight for its memory.

    Raises:
        UserError: there are GPUs, but fewer than workers.
    """
    named = environment.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        device_files = sorted(glob.glob("/dev/nvidia[0-9]*"))
        devices = [str(number) for number in range(len(device_files))]
    else:
        devices = [name.strip() for name in named.split(",") if name.strip()]
        if devices[:1] == ["-1"]:
            devices = []
    if not devices:
        return [{}] * workers
    if len(devices) < workers:
        raise UserError(
            f"--workers={workers}, but here are {len(devices)} GPUs; each worker needs its own "
            "(to try it on the CPU: CUDA_VISIBLE_DEVICES=-1)"
        )
    share = len(devices) // workers
    return [
        {"CUDA_VISIBLE_DEVICES": ",".join(devices[index * share : (index + 1) * share])}
        for index in range(workers)
    ]


class Workers:
    """Processes that live and die together.

    Args:
        grace_seconds: between asking the rest to end and killing it, when one has died.

    Each has a session of its own, so that Ctrl-C on a terminal reaches it once, through this
    process, and so that whatever it starts can be ended with it.
    """

    def __init__(self, grace_seconds: float):
        self._grace = grace_seconds
        self._processes: list[subprocess.Popen[bytes]] = []
        self._selector = selectors.DefaultSelector()
        self._rest: dict[Any, bytes] = {}
        self._previous: dict[int, Any] = {}
        self._signals: list[int] = []
        self._passed_on: list[int] = []

    def __enter__(self) -> Workers:
        """From here on, signals to this process are noted and passed on."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # Under nohup, a terminal that closes asks for nothing.
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        """Leaves nothing running."""
        self._kill()
        for process in self._processes:
            process.wait()
        self._selector.close()
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def start(self, argv: Sequence[str], environment: Mapping[str, str]) -> None:
        """Starts one more worker."""
        process = subprocess.Popen(
            argv,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            # Safe here: this process has no threads.
            preexec_fn=functools.partial(_die_with_parent, os.getpid()),
        )
        index = len(self._processes)
        self._processes.append(process)
        assert process.stdout is not None and process.stderr is not None
        for stream, is_result in ((process.stdout, index == 0), (process.stderr, False)):
            os.set_blocking(stream.fileno(), False)
            prefix = b"" if is_result else mark(index).encode()
            target = sys.stdout if is_result else sys.stderr
            self._selector.register(stream, selectors.EVENT_READ, (target, prefix))
            self._rest[stream] = b""

    def wait(self) -> int:
        """Passes on output and signals until all workers have ended; the exit status."""
        failed: tuple[int, int] | None = None
        kill_at: float | None = None
        told = False
        while True:
            told |= self._pass_on_signals()
            if len(self._passed_on) > 1 and kill_at is None:
                kill_at = time.monotonic() + _LAST_WORDS_SECONDS
            # All of them are polled, not only up to the first that runs.
            running = None in [process.poll() for process in self._processes]
            self._copy(_POLL_SECONDS if running else 0.0)
            if failed is None and (failed := self._failure()):
                if not self._asked_for(failed[1]):
                    log(f"worker {failed[0]} {_how(failed[1])}; ending the others")
                # A collective that waits for the dead one does not hear SIGTERM.
                self._send(signal.SIGTERM)
                kill_at = time.monotonic() + self._grace
            if not told and self._saved():
                # Somebody asked one worker to stop; what it saved, all resume from.
                self._send(signal.SIGTERM)
                told = True
            if not running:
                break
            if kill_at is not None and time.monotonic() > kill_at:
                for index, process in enumerate(self._processes):
                    if process.poll() is None:
                        log(f"worker {index} does not end, and is killed")
                self._kill()
                kill_at = math.inf
        self._drain()
        if failed is not None and self._asked_for(failed[1]):
            log("interrupted; the same command resumes from the last checkpoint")
            return 128 + self._passed_on[0]
        if failed is not None:
            log(f"error: worker {failed[0]} of {len(self._processes)} {_how(failed[1])}")
            return failed[1] if failed[1] > 0 else 128 - failed[1]
        return signals.EXIT_STATUS if self._saved() else 0

    def _failure(self) -> tuple[int, int] | None:
        """(index, status) of a worker that has failed; one that was killed before its victims.

        One that ended of a signal that was passed on to it comes last.
        """
        failed = [
            (index, process.returncode)
            for index, process in enumerate(self._processes)
            if process.returncode not in (None, 0, signals.EXIT_STATUS)
        ]
        return min(failed, key=lambda pair: (self._asked_for(pair[1]), pair[1] > 0), default=None)

    def _asked_for(self, status: int) -> bool:
        """Whether a worker ended so because of a signal that was passed on."""
        if len(self._passed_on) > 1 and status == -signal.SIGKILL:
            return True
        return any(status in (-number, 128 + number) for number in self._passed_on)

    def _saved(self) -> bool:
        return any(process.returncode == signals.EXIT_STATUS for process in self._processes)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._signals.append(number)

    def _pass_on_signals(self) -> bool:
        """Sends on what has come since the last call; whether that was anything."""
        fresh, self._signals = self._signals, []
        for number in fresh:
            # A terminal that closes asks for the same as Ctrl-C. A second Ctrl-C ends, also what
            # Python still does after a worker has saved, where SIGINT would make a traceback.
            if number == signal.SIGHUP or self._passed_on:
                number = signal.SIGTERM
            self._passed_on.append(number)
            self._send(number)
        return bool(fresh)

    def _send(self, number: int) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.send_signal(number)

    def _kill(self) -> None:
        for process in self._processes:
            # The session is the worker and all that it started.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)

    def _copy(self, seconds: float) -> None:
        """Copies what workers have written, line by line, waiting at most so long for some."""
        if not self._selector.get_map():
            time.sleep(seconds)
            return
        for key, _ in self._selector.select(seconds):
            stream, (target, prefix) = key.fileobj, key.data
            data = os.read(key.fd, 1 << 16)
            *lines, self._rest[stream] = (self._rest[stream] + data).split(b"\n")
            if not data:
                self._selector.unregister(stream)
                if self._rest[stream]:
                    lines.append(self._rest[stream])
            _write(target, b"".join(prefix + line + b"\n" for line in lines))

    def _drain(self) -> None:
        """The last words; what a worker left running may hold its pipes open, and is killed."""
        self._kill()
        end = time.monotonic() + _DRAIN_SECONDS
        while self._selector.get_map() and time.monotonic() < end:
            self._copy(_POLL_SECONDS)


def _die_with_parent(parent: int) -> None:
    """In the child: it shall not outlive this process, even if that is killed."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        # The parent may have died before.
        if os.getppid() != parent:
            os._exit(1)


def _how(status: int) -> str:
    if status < 0:
        with contextlib.suppress(ValueError):
            return f"was killed by {signal.Signals(-status).name}"
        return f"was killed by signal {-status}"
    return f"failed with exit status {status}"


def _write(target: IO[str], data: bytes) -> None:
    # Workers outlive a log that cannot be written, but a lost result is an error.
    with contextlib.suppress(OSError) if target is sys.stderr else contextlib.nullcontext():
        target.write(data.decode(errors="replace"))
        target.flush()


_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def call(argv: list[str]) -> int:
    """Runs the command and returns its exit status."""
    stray = next((text for text in argv if re.match(r"--?(config|workdir)\b", text)), None)
    if stray and "--" not in argv:
        log(
            f"error: {stray} is for the trainer, whose arguments follow a --: "
            "... --workers=2 -- --config=... --workdir=..."
        )
        return WRONG_USAGE
    return command.call(define_flags, main, __doc__, argv)


def run() -> None:
    """Console entry point."""
    sys.exit(call(sys.argv[1:]))


if __name__ == "__main__":
    run()
