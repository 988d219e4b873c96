"""Requests for a loaded model: decoded beside each other, computed in common batches."""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np

from alexnet_tf.serving import loaded
from alexnet_tf.serving.http.batching import Batcher
from alexnet_tf.serving.http.metrics import Metrics
from alexnet_tf.serving.loaded import LoadedModel, Rows, Squares
from data_prep.pixels.headers import Header

T = TypeVar("T")

# A larger image is decoded alone, so that many at once do not fill the memory.
LARGE_PIXELS = 1 << 24


@dataclasses.dataclass(frozen=True)
class Settings:
    """Limits of a server.

    Attributes:
        batch_size: images at most in a call of the network.
        batch_wait_seconds: that the first image of a batch waits for others.
        max_instances: images at most in one request.
        max_pixels: decoded pixels at most of one image.
        max_body_bytes: of one request.
        body_seconds: that a request may take to arrive.
        answer_seconds: that an answer may take.
    """

    batch_size: int = 32
    batch_wait_seconds: float = 0.002
    max_instances: int = 256
    max_pixels: int = 1 << 26
    max_body_bytes: int = 32 << 20
    body_seconds: float = 20.0
    answer_seconds: float = 60.0

    @property
    def most_waiting(self) -> int:
        """Images of all requests that may wait for the network."""
        return 4 * max(self.max_instances, self.batch_size)


class Inference:
    """Answers of a model to many clients; belongs to one event loop."""

    def __init__(self, model: LoadedModel, settings: Settings, metrics: Metrics):
        self.model, self.settings, self.metrics = model, settings, metrics
        # One call of the network at a time: it uses all cores itself.
        self._network = ThreadPoolExecutor(1, "network")
        self._decoders = ThreadPoolExecutor(os.cpu_count() or 1, "decoder")
        self._large = asyncio.Lock()
        self._batchers: dict[str, Batcher] = {}

    async def of_files(self, signature: str, contents: Sequence[bytes]) -> Rows:
        """What a signature of files yields, one row per file; files that are refused are blank.

        Raises:
            Overloaded: too many images wait already.
        """
        squares = await self._squares(contents)
        valid = [index for index, error in enumerate(squares.errors) if not error]
        self.metrics.images.labels("answered").inc(len(valid))
        self.metrics.images.labels("refused").inc(len(contents) - len(valid))
        if valid:
            rows = await self._batcher(signature).submit(squares.pixels[valid])
        else:
            rows = self.model.of_pixels(signature, squares.pixels[:0])
        return loaded.spread(rows, squares.errors)

    async def call(self, signature: str, inputs: Mapping[str, np.ndarray]) -> Rows:
        """Any other signature, as it is.

        Raises:
            UserError: TensorFlow refuses the inputs.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._network, self.model.call, signature, inputs)

    async def in_thread(self, function: Callable[..., T], *arguments: Any) -> T:
        """Runs a function of much work beside the event loop."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._decoders, function, *arguments)

    async def close(self) -> None:
        """Ends the threads."""
        for batcher in self._batchers.values():
            await batcher.close()
        for executor in (self._network, self._decoders):
            executor.shutdown(wait=False, cancel_futures=True)

    async def _squares(self, contents: Sequence[bytes]) -> Squares:
        inspected = await self.in_thread(self._inspect, contents)
        large = [
            index
            for index, header in enumerate(inspected)
            if isinstance(header, Header) and header.width * header.height > LARGE_PIXELS
        ]
        later = set(large)
        first = ["" if index in later else header for index, header in enumerate(inspected)]
        squares = await self.in_thread(self.model.squares, contents, first)
        for index in large:
            async with self._large:
                one = await self.in_thread(
                    self.model.squares, [contents[index]], [inspected[index]]
                )
            squares.pixels[index], squares.errors[index] = one.pixels[0], one.errors[0]
        return squares

    def _inspect(self, contents: Sequence[bytes]) -> list[Header | str]:
        """What `loaded.inspect` says, and the server's own limit of pixels."""
        headers: list[Header | str] = []
        for content in contents:
            header = loaded.inspect(content)
            if (
                isinstance(header, Header)
                and header.width * header.height > self.settings.max_pixels
            ):
                header = (
                    f"{header.width}x{header.height} pixels are more than the "
                    f"{self.settings.max_pixels:,} that this server decodes"
                )
            headers.append(header)
        return headers

    def _batcher(self, signature: str) -> Batcher:
        if signature not in self._batchers:
            self._batchers[signature] = Batcher(
                lambda pixels: self.model.of_pixels(signature, pixels),
                self._network,
                batch_size=self.settings.batch_size,
                wait_seconds=self.settings.batch_wait_seconds,
                most_waiting=self.settings.most_waiting,
                observe=self.metrics.batch.observe,
            )
        return self._batchers[signature]
