"""What the train loop costs beside its compiled step: data, logs, callbacks, checkpoints.

Example:
  python -m alexnet_tf.benchmark loop --config=configs/demo.py --config.data_dir=DATASET

The recipe is trained for --steps steps in a temporary work folder; before and after, the same
compiled step runs as often on one batch that lies ready. Evaluation and what else happens between
epochs is left out. Prints JSON: images/s of both, the loop's overhead (0.02: 2% more time than the
bare step) and the share of time in which the loop waited for data. With
--config.synthetic_data=True the data costs nothing.
"""

from __future__ import annotations

import json
import statistics
import time
from typing import TYPE_CHECKING, Any

from absl import flags

from alexnet_common import folders
from alexnet_common.errors import UsageError, UserError
from alexnet_common.messages import log
from alexnet_common.tensorflow_import import import_tensorflow
from alexnet_tf import recipes
from alexnet_tf.benchmarks.step import define_config_flags

if TYPE_CHECKING:
    from alexnet_tf.runs.workdir import WorkFolder


def define_flags(flag_values: flags.FlagValues) -> None:
    """Defines the benchmark's flags."""
    define_config_flags(flag_values, "alexnet_paper")
    flags.DEFINE_integer("steps", 50, "Steps of each.", lower_bound=3, flag_values=flag_values)


def main(flag_values: flags.FlagValues, arguments: list[str]) -> int:
    """Runs the benchmark."""
    if arguments:
        raise UsageError(f"unexpected argument {arguments[0]!r}")
    config = recipes.from_flags(flag_values)
    if not config.data_dir and not config.synthetic_data:
        raise UsageError("--config.data_dir is missing: the dataset to train on")
    with config.unlocked():
        config.train_steps = flag_values.steps
        config.checkpoint.every_minutes = 0.0
        # The bare step makes one update per call, too.
        config.steps_per_call = config.steps_per_call or 1
    import_tensorflow()
    from alexnet_tf.runs.workdir import WorkFolder

    with folders.scratch_folder() as name:
        with WorkFolder(name) as folder:
            report = _measure_loop(config, folder, flag_values.steps)
    print(json.dumps(report))
    return 0


def _measure_loop(config: recipes.ConfigDict, folder: WorkFolder, count: int) -> dict[str, Any]:
    from alexnet_tf.benchmarks import _measure
    from alexnet_tf.benchmarks._watched import Waits, batches
    from alexnet_tf.train_loop.loop import Loop
    from alexnet_tf.train_loop.setup import set_up
    from alexnet_tf.train_loop.updates import Updates

    run = set_up(config, folder)
    with config.unlocked():
        # Several intervals per epoch, whatever its length.
        shortest = min(config.log.every_steps, run.steps_per_epoch // 3, count // 3)
        config.log.every_steps = max(1, shortest)
    updates, waits = Updates(run), Waits()
    batch = next(batches(run, 0, 1))

    def bare(steps: int) -> float:
        start = time.monotonic()
        for number in range(steps):
            result = updates.one(batch, number)
        result.loss.numpy()
        return (time.monotonic() - start) / steps

    log(f"compiled, and two steps run, in {2 * bare(2):.1f} s")
    before = bare(count)
    results = Loop(run, watchers=[waits], updates=updates).train()
    after = bare(count)
    in_loop = waits.seconds_per_step(run.steps_per_epoch)
    if in_loop is None:
        raise UserError(
            "the dataset has too few images: an epoch must have at least 3 steps; "
            "lower --config.batch_size"
        )
    return {
        "benchmark": "loop",
        "config": config.name,
        "batch_size": config.batch_size,
        "steps": count,
        "bare_step": _measure.speed([before, after], config.batch_size),
        "loop": _measure.speed([in_loop], config.batch_size),
        "overhead": round(in_loop / statistics.mean([before, after]) - 1, 4),
        "data_wait": round(float(results.get("data_wait", 0.0)), 4),
        "machine": _measure.machine(),
    }
