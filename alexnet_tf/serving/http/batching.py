"""Requests that come at the same time go through the network as one batch."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from concurrent.futures import Executor

import numpy as np

Rows = dict[str, np.ndarray]


class Overloaded(Exception):
    """More images wait than the server keeps."""


@dataclasses.dataclass
class _Waiting:
    pixels: np.ndarray
    result: asyncio.Future[Rows]


class Batcher:
    """Collects images until a batch is full or the first one has waited long enough.

    While a batch is computed the next one collects, so that the wait costs nothing under load.

    Args:
        compute: from images [B, ...] to outputs of B rows by name; called in the executor.
        executor: of one thread for all batchers of a model: TensorFlow uses all cores itself.
        batch_size: images at most in a call.
        wait_seconds: for more images after the first one.
        most_waiting: images that may wait.
        observe: told the size of every batch.
    """

    def __init__(
        self,
        compute: Callable[[np.ndarray], Rows],
        executor: Executor,
        *,
        batch_size: int,
        wait_seconds: float,
        most_waiting: int,
        observe: Callable[[int], None] = lambda size: None,
    ):
        self._compute, self._executor, self._observe = compute, executor, observe
        self._batch_size, self._wait = batch_size, wait_seconds
        self._most_waiting = most_waiting
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue()
        self._left_over: _Waiting | None = None
        self._waiting = 0
        self._worker: asyncio.Task[None] | None = None

    async def submit(self, pixels: np.ndarray) -> Rows:
        """The outputs for images [n, ...], in their order, once their batches are computed.

        Raises:
            Overloaded: too many images wait already.
        """
        if self._waiting + len(pixels) > self._most_waiting:
            raise Overloaded
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        loop = asyncio.get_running_loop()
        parts = []
        for first in range(0, max(len(pixels), 1), self._batch_size):
            part = pixels[first : first + self._batch_size]
            parts.append(_Waiting(part, loop.create_future()))
        self._waiting += len(pixels)
        try:
            for part_waiting in parts:
                self._queue.put_nowait(part_waiting)
            results = [await part_waiting.result for part_waiting in parts]
        finally:
            self._waiting -= len(pixels)
            for part_waiting in parts:
                # Who gave up is not computed for.
                part_waiting.result.cancel()
        if len(results) == 1:
            return results[0]
        return {name: np.concatenate([part[name] for part in results]) for name in results[0]}

    async def close(self) -> None:
        """Ends the worker; what waits is not answered."""
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            batch = await self._collect()
            if not batch:
                continue
            pixels = np.concatenate([waiting.pixels for waiting in batch])
            self._observe(len(pixels))
            try:
                outputs = await loop.run_in_executor(self._executor, self._compute, pixels)
            except Exception as error:
                for waiting in batch:
                    if not waiting.result.done():
                        waiting.result.set_exception(error)
                continue
            first = 0
            for waiting in batch:
                last = first + len(waiting.pixels)
                if not waiting.result.done():
                    rows = {name: values[first:last] for name, values in outputs.items()}
                    waiting.result.set_result(rows)
                first = last

    async def _collect(self) -> list[_Waiting]:
        """The next batch, of those that still wait for their result."""
        batch = [self._left_over or await self._queue.get()]
        self._left_over = None
        size = len(batch[0].pixels)
        deadline = asyncio.get_running_loop().time() + self._wait
        while size < self._batch_size:
            try:
                async with asyncio.timeout_at(deadline):
                    waiting = await self._queue.get()
            except TimeoutError:
                break
            if size + len(waiting.pixels) > self._batch_size:
                self._left_over = waiting
                break
            batch.append(waiting)
            size += len(waiting.pixels)
        return [waiting for waiting in batch if not waiting.result.done()]
