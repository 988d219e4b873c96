"""The workers of `alexnet_tf.reproduce`: processes that train and measure one run after another."""

from __future__ import annotations

import concurrent.futures
import contextlib
import ctypes
import multiprocessing
import os
import signal
import time
import traceback
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alexnet_common import signals
from alexnet_common.errors import UserError, one_line
from alexnet_common.messages import log
from alexnet_common.tensorflow_import import import_tensorflow
from alexnet_tf import recipes
from alexnet_tf.claims.trials import Trial
from alexnet_tf.claims.workers import DIVERGED, FAILED, FINISHED, STOPPED

if TYPE_CHECKING:
    from alexnet_tf.train_loop.successive import Successive

_PR_SET_PDEATHSIG = 1
# For a run to save itself after it was asked to stop.
STOP_SECONDS = 15.0


class ProcessWorker:
    """A worker in a process of its own, which starts at once; one that died is started anew."""

    def __init__(self) -> None:
        self._last: Future[Any] | None = None
        self._start()

    def train(self, trial: Trial, log_file: Path, until: float) -> Future[tuple[str, str]]:
        """As `Worker` says."""
        return self._submit(train, trial, log_file, until)

    def measure(self, name: str, folders: Sequence[Path], data_dir: str) -> Future[float | None]:
        """As `Worker` says."""
        return self._submit(measure, name, list(folders), data_dir)

    def ask_to_stop(self) -> None:
        """As `Worker` says."""
        self._asked = time.monotonic()
        if self._busy() and self._process.done():
            self._signal(signal.SIGTERM)

    def stop(self) -> None:
        """As `Worker` says."""
        if self._last and self._busy():
            left = self._asked + STOP_SECONDS - time.monotonic()
            _, late = concurrent.futures.wait([self._last], max(left, 0.0))
            # TensorFlow's compiler hears of nothing: whoever does not stop is ended.
            if late and self._process.done():
                self._signal(signal.SIGKILL)
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _start(self) -> None:
        # Not forked: TensorFlow does not survive that.
        context = multiprocessing.get_context("spawn")
        self._pool = concurrent.futures.ProcessPoolExecutor(1, context, _begin)
        self._process = self._pool.submit(os.getpid)

    def _busy(self) -> bool:
        return self._last is not None and not self._last.done()

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, concurrent.futures.BrokenExecutor):
            os.kill(self._process.result(), number)

    def _submit(self, function: Any, *arguments: Any) -> Future[Any]:
        try:
            self._last = self._pool.submit(function, *arguments)
        except concurrent.futures.BrokenExecutor:
            self._start()
            self._last = self._pool.submit(function, *arguments)
        return self._last


class ThisProcess:
    """A worker that trains and measures in this process, before it returns."""

    def train(self, trial: Trial, log_file: Path, until: float) -> Future[tuple[str, str]]:
        """As `Worker` says."""
        return _done(train(trial, log_file, until))

    def measure(self, name: str, folders: Sequence[Path], data_dir: str) -> Future[float | None]:
        """As `Worker` says."""
        return _done(measure(name, folders, data_dir))

    def ask_to_stop(self) -> None:
        """Nothing runs."""

    def stop(self) -> None:
        """Nothing to end."""


def _done(result: Any) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(result)
    return future


def _begin() -> None:
    """A worker process at its beginning: only its parent stops it, and its parent's death."""
    # Ctrl-C reaches all processes of a terminal; the parent passes it on, once.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    global _parent
    _parent = os.getppid()


_trainer: Successive | None = None
_parent: int | None = None


def train(trial: Trial, log_file: Path, until: float) -> tuple[str, str]:
    """Trains a trial in this process; see `Worker.train`."""
    import_tensorflow()
    from alexnet_tf.runs.workdir import WorkFolder
    from alexnet_tf.train_loop.divergence import TrainingDiverged
    from alexnet_tf.train_loop.logging.watchers import Watcher
    from alexnet_tf.train_loop.loop import Stopped
    from alexnet_tf.train_loop.successive import Successive

    class Until(Watcher):
        def steps_done(self, step: int) -> None:
            if time.time() > until:
                signal.raise_signal(signal.SIGTERM)

    global _trainer
    _trainer = _trainer or Successive()
    with (
        log_file.open("a", buffering=1) as output,
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(output),
    ):
        try:
            config = recipes.resolve(recipes.load(trial.recipe), trial.texts())
            with WorkFolder(trial.folder) as folder:
                _trainer.train(config, folder, [Until()])
            return FINISHED, ""
        except TrainingDiverged as error:
            log(one_line(error))
            return DIVERGED, one_line(error)
        except Stopped as stopped:
            log(str(stopped))
            if _parent not in (None, os.getppid()):
                os._exit(signals.EXIT_STATUS)  # Nobody is left to be told.
            return STOPPED, str(stopped)
        except UserError as error:
            log(f"error: {one_line(error)}")
            return FAILED, one_line(error)
        except Exception as error:
            # One trial's defect must not end the others'.
            traceback.print_exc()
            return FAILED, one_line(error)


def measure(name: str, folders: Sequence[Path], data_dir: str) -> float | None:
    """Takes a measure in this process; see `Worker.measure`."""
    import_tensorflow()
    from alexnet_tf.claims import measuring

    return measuring.MEASURES[name][1](folders, data_dir)
