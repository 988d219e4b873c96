"""Batches of requests that come together: rows go back to whom they belong."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from alexnet_tf.serving.http.batching import Batcher, Overloaded


def run(scenario, compute=lambda pixels: {"twice": 2 * pixels}, **settings):
    """Runs `scenario(batcher)`; returns its result and the sizes of the batches."""
    sizes: list[int] = []
    options = {"batch_size": 8, "wait_seconds": 0.05, "most_waiting": 100, **settings}

    async def main():
        with ThreadPoolExecutor(1) as executor:
            batcher = Batcher(compute, executor, observe=sizes.append, **options)
            try:
                return await scenario(batcher)
            finally:
                await batcher.close()

    return asyncio.run(main()), sizes


def test_requests_of_the_same_time_share_a_batch():
    parts = [np.arange(first, first + size) for first, size in ((0, 3), (10, 1), (20, 4))]

    async def scenario(batcher):
        return await asyncio.gather(*[batcher.submit(part) for part in parts])

    results, sizes = run(scenario)
    assert sizes == [8]
    for part, rows in zip(parts, results, strict=True):
        np.testing.assert_array_equal(rows["twice"], 2 * part)


def test_no_batch_is_larger_than_allowed():
    parts = [np.arange(size) + 100 * size for size in (5, 5, 20, 1)]

    async def scenario(batcher):
        return await asyncio.gather(*[batcher.submit(part) for part in parts])

    results, sizes = run(scenario)
    assert max(sizes) <= 8 and sum(sizes) == 31
    for part, rows in zip(parts, results, strict=True):
        np.testing.assert_array_equal(rows["twice"], 2 * part)


def test_an_error_reaches_those_of_its_batch_and_nobody_after():
    def compute(pixels):
        if (pixels < 0).any():
            raise ValueError("negative")
        return {"same": pixels}

    async def scenario(batcher):
        first = await asyncio.gather(
            batcher.submit(np.array([1])), batcher.submit(np.array([-1])), return_exceptions=True
        )
        return first, await batcher.submit(np.array([5]))

    (first, second), sizes = run(scenario, compute)
    assert all(isinstance(error, ValueError) for error in first) and sizes == [2, 1]
    np.testing.assert_array_equal(second["same"], [5])


def test_more_than_may_wait_is_refused_and_the_others_are_answered():
    go = threading.Event()

    def compute(pixels):
        go.wait(60)
        return {"same": pixels}

    async def scenario(batcher):
        begun = [asyncio.create_task(batcher.submit(np.arange(4))) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await batcher.submit(np.arange(4))
        go.set()
        answered = await asyncio.gather(*begun)
        return answered, await batcher.submit(np.arange(4))

    (answered, later), _ = run(scenario, compute, most_waiting=12)
    assert [len(rows["same"]) for rows in answered] == [4, 4, 4] and len(later["same"]) == 4


def test_who_gave_up_is_not_computed_for():
    computing, go = threading.Event(), threading.Event()
    seen = []

    def compute(pixels):
        seen.extend(pixels.tolist())
        computing.set()
        go.wait(60)
        return {"same": pixels}

    async def scenario(batcher):
        first = asyncio.create_task(batcher.submit(np.array([1])))
        await asyncio.to_thread(computing.wait, 60)
        second = asyncio.create_task(batcher.submit(np.array([2])))
        third = asyncio.create_task(batcher.submit(np.array([3])))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        go.set()
        return await first, await third

    run(scenario, compute, wait_seconds=0.0)
    assert seen == [1, 3]
