"""Seconds from the start of this process to the first update, part by part.

Example:
  python -m alexnet_tf.benchmark start
  python -m alexnet_tf.benchmark start --config=configs/demo.py

Random pixels stand for a dataset. Parts: `tensorflow`, the import of it and of Keras; `import` of
this program; `set_up` (devices, network, weights, optimizer); `first_update` (traced, compiled,
run); `second_update`, of which only running is left. `cpu` is what all threads of the process took
meanwhile. `help` is a process of its own: `python -m alexnet_tf.train --help`. Prints JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

from absl import flags

from alexnet_common import folders
from alexnet_common.errors import UsageError
from alexnet_common.tensorflow_import import import_tensorflow
from alexnet_tf import recipes
from alexnet_tf.benchmarks.step import define_config_flags


def define_flags(flag_values: flags.FlagValues) -> None:
    """Defines the benchmark's flags."""
    define_config_flags(flag_values, "alexnet_paper")


def main(flag_values: flags.FlagValues, arguments: list[str]) -> int:
    """Runs the benchmark."""
    if arguments:
        raise UsageError(f"unexpected argument {arguments[0]!r}")
    config = recipes.from_flags(flag_values)
    with config.unlocked():
        config.synthetic_data = True
    seconds, cpu = {}, {}
    began = _now()

    def note(part: str) -> None:
        nonlocal began
        ended = _now()
        seconds[part], cpu[part] = (round(b - a, 3) for a, b in zip(began, ended, strict=True))
        began = ended

    help_began = time.monotonic()
    command = [sys.executable, "-m", "alexnet_tf.train", "--help"]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    help_seconds = round(time.monotonic() - help_began, 3)
    began = _now()
    import_tensorflow()
    import keras  # noqa: F401

    note("tensorflow")
    from alexnet_tf.benchmarks import _measure
    from alexnet_tf.benchmarks._watched import batches
    from alexnet_tf.runs.workdir import WorkFolder
    from alexnet_tf.train_loop import updates
    from alexnet_tf.train_loop.setup import set_up

    note("import")
    with folders.scratch_folder() as name:
        with WorkFolder(name) as folder:
            run = set_up(config, folder)
            note("set_up")
            compiled = updates.Updates(run)
            batch = next(batches(run, 0, 1))
            for number, part in enumerate(("first_update", "second_update")):
                compiled.one(batch, number).loss.numpy()
                note(part)
    report = {
        "benchmark": "start",
        "config": config.name,
        "batch_size": config.batch_size,
        "help": help_seconds,
        "seconds": seconds,
        "cpu": cpu,
        "to_the_first_update": round(sum(seconds.values()) - seconds["second_update"], 3),
        "machine": _measure.machine(),
    }
    print(json.dumps(report))
    return 0


def _now() -> tuple[float, float]:
    times = os.times()
    return time.monotonic(), times.user + times.system
