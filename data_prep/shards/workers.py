"""Worker processes: spawned, one TensorFlow thread each, no GPU, gone when their parent is.

Forking a process in which TensorFlow runs can hang it, so workers are always spawned. They share
a counter of finished images, for the progress bar, and a flag that asks them to stop.
"""

import concurrent.futures
import contextlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from tqdm import tqdm

from alexnet_common import tensorflow_import
from alexnet_common.errors import UserError
from alexnet_common.messages import log
from data_prep.shards import making

Task = TypeVar("Task")
Result = TypeVar("Result")
Report = Callable[[int], None]

# Read when NumPy and TensorFlow are imported, so they must stand before a worker starts.
WORKER_ENVIRONMENT = {
    "CUDA_VISIBLE_DEVICES": "-1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
_POLL_SECONDS = 0.2
LINE_SECONDS = 30.0

_counter: Any = None
_stop: Any = None


def available_cores() -> int:
    """CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run(
    function: Callable[[Task, Report], Result],
    tasks: Sequence[Task],
    num_workers: int,
    num_images: int,
    title: str,
    check: Callable[[Result], None] = lambda result: None,
) -> list[Result]:
    """Runs `function(task, report)` for every task in worker processes.

    Args:
        function: an importable function; it calls `report(n)` for every n finished images.
        tasks: picklable arguments.
        num_workers: processes; never more than tasks.
        num_images: images of all tasks, for the progress bar on stderr.
        title: what the progress bar says.
        check: called here with every result as it comes; what it raises ends the run.

    Returns:
        The results in the order of the tasks.

    Raises:
        UserError: a worker raised one, or died.
        OSError: there is no folder for temporary files.
    """
    if not tasks:
        return []
    tempfile.gettempdir()  # Workers need one for TensorFlow, and would each end with a traceback.
    context = multiprocessing.get_context("spawn")
    counter, stop = _shared(context)
    with environment(WORKER_ENVIRONMENT), _signals_as_interrupts():
        executor = concurrent.futures.ProcessPoolExecutor(
            min(num_workers, len(tasks)), context, _initialize, (counter, stop)
        )
        try:
            futures = [executor.submit(_call, function, task) for task in tasks]
            _wait(futures, counter, num_images, title, check)
            return [future.result() for future in futures]
        except concurrent.futures.process.BrokenProcessPool as error:
            raise UserError(
                "a worker process died (out of memory? see dmesg); run the same command again, "
                "perhaps with fewer --workers: finished shards are kept"
            ) from error
        finally:
            stop.set()
            executor.shutdown(wait=True, cancel_futures=True)


def _wait(
    futures: list[concurrent.futures.Future[Any]],
    counter: Any,
    num_images: int,
    title: str,
    check: Callable[[Any], None],
) -> None:
    """Waits for all futures, showing progress; the first error is raised at once."""
    waiting = set(futures)
    places = {future: place for place, future in enumerate(futures)}
    with _progress(num_images, title) as show:
        while waiting:
            done, waiting = concurrent.futures.wait(waiting, _POLL_SECONDS)
            show(counter.value)
            for future in sorted(done, key=places.__getitem__):
                check(future.result())
        show(counter.value)


@contextlib.contextmanager
def _progress(num_images: int, title: str) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal; in a file, where a bar would be thousands of lines, a line at times."""
    if sys.stderr is not None and sys.stderr.isatty():
        with tqdm(
            total=num_images, desc=title, unit=" images", mininterval=0.5, smoothing=0.1,
            file=sys.stderr, dynamic_ncols=True,
        ) as bar:  # fmt: skip
            yield lambda done: bar.update(done - bar.n) and None
        return
    begin = time.monotonic()
    told = begin

    def tell(done: int) -> None:
        nonlocal told
        now = time.monotonic()
        if now - told >= LINE_SECONDS and 0 < done < num_images:
            told = now
            left = (now - begin) / done * (num_images - done)
            log(f"{title}: {done:,} of {num_images:,} images, about {left / 60:,.1f} minutes left")

    yield tell


def _shared(context: Any) -> tuple[Any, Any]:
    """The counter and the flag that all workers share; the system keeps them in /dev/shm."""
    try:
        return context.Value("q", 0), context.Event()
    except OSError as error:
        raise UserError(
            f"worker processes share a few bytes in /dev/shm, and there it says: {error.strerror}; "
            "make room there (df /dev/shm), or in a container start it with --shm-size=64m"
        ) from error


def _call(function: Callable[[Any, Report], Any], task: Any) -> Any:
    return function(task, _report)


def _report(count: int) -> None:
    with _counter.get_lock():
        _counter.value += count
    if _stop.is_set():
        raise making.Cancelled


def _initialize(counter: Any, stop: Any) -> None:
    """Prepares a worker process, before its first task."""
    global _counter, _stop
    _counter, _stop = counter, stop
    # Ctrl-C reaches the whole group; the parent alone decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    tf = tensorflow_import.import_on_cpu()
    tf.config.set_visible_devices([], "GPU")
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def _die_with_parent() -> None:
    """A killed parent cannot stop its workers, which would wait for tasks for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    multiprocessing.connection.wait([parent.sentinel])
    os._exit(1)


@contextlib.contextmanager
def environment(values: dict[str, str]) -> Iterator[None]:
    """Sets environment variables that child processes inherit, for a while."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _signals_as_interrupts() -> Iterator[None]:
    """Turns SIGTERM into KeyboardInterrupt, so that a polite kill tidies up."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, stack: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
