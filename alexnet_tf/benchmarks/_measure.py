"""How benchmarks measure: contestants in turn, block by block, in one process.

Machines are shared and change their speed from minute to minute. Two contestants that take turns
meet the same weather, and the ratio of neighbouring blocks says more than two separate figures.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

from alexnet_common.messages import log

# Runs so many steps and returns when the device has finished them.
Block = Callable[[int], None]


def alternate(
    contestants: Mapping[str, Block], *, steps: int, block_steps: int, warm_up_steps: int = 2
) -> dict[str, list[float]]:
    """Seconds per step of each contestant in each block.

    Args:
        contestants: by name.
        steps: of each contestant in all, rounded up to whole blocks.
        block_steps: steps of one contestant before it is the next one's turn.
        warm_up_steps: of each beforehand, which are not counted (tracing, memory).
    """
    for name, run in contestants.items():
        began = time.monotonic()
        run(warm_up_steps)
        log(f"{name}: {warm_up_steps} steps of warm-up in {time.monotonic() - began:.1f} s")
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for block in range(-(-steps // block_steps)):
        for name, run in contestants.items():
            began = time.monotonic()
            run(block_steps)
            seconds[name].append((time.monotonic() - began) / block_steps)
            log(f"block {block + 1}, {name}: {seconds[name][-1]:.4f} s/step")
    return seconds


def speed(seconds_per_step: list[float], batch_size: int) -> dict[str, Any]:
    """Images per second: the median over the blocks, and every block."""
    rates = [batch_size / seconds for seconds in seconds_per_step]
    return {
        "images_per_second": round(statistics.median(rates), 2),
        "images_per_second_of_blocks": [round(rate, 2) for rate in rates],
    }


def ratios(ours: list[float], other: list[float]) -> dict[str, float]:
    """How many times faster ours is: the median, least and largest over neighbouring blocks."""
    speedups = [theirs / mine for mine, theirs in zip(ours, other, strict=True)]
    return {
        "median": round(statistics.median(speedups), 3),
        "least": round(min(speedups), 3),
        "largest": round(max(speedups), 3),
    }


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    import keras
    import tensorflow as tf

    gpus = [
        tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name)
        for gpu in tf.config.list_physical_devices("GPU")
    ]
    return {
        "cpu_cores": len(os.sched_getaffinity(0)),
        "architecture": platform.machine(),
        "gpus": gpus,
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
    }
