"""A training step of this program against the plain Keras model with Conv2D(groups=2).

Example:
  python -m alexnet_tf.benchmark step
  python -m alexnet_tf.benchmark step --config.data_dir=DATASET

Both train the same network at the same batch size, in turns, in one process. The plain model is fed
mean-subtracted float32 pixels from memory. Ours does its whole step, with mean subtraction, colour
noise and the batch's errors, on uint8 pixels from memory too, or, with --config.data_dir, from that
dataset through the input pipeline. Prints JSON: images/s of both, block by block, and the ratio.
"""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

from absl import flags

from alexnet_common import folders
from alexnet_common.errors import UsageError
from alexnet_common.tensorflow_import import import_tensorflow
from alexnet_tf import recipes

if TYPE_CHECKING:
    from alexnet_tf.benchmarks._measure import Block
    from alexnet_tf.runs.workdir import WorkFolder
    from alexnet_tf.train_loop.run import Run


def define_flags(flag_values: flags.FlagValues) -> None:
    """Defines the benchmark's flags."""
    define_config_flags(flag_values, "alexnet_paper")
    flags.DEFINE_integer(
        "batch_size", 128, "Images per step.", lower_bound=1, flag_values=flag_values
    )
    flags.DEFINE_integer(
        "steps", 20, "Steps of each that are measured.", lower_bound=1, flag_values=flag_values
    )
    flags.DEFINE_integer(
        "block_steps",
        5,
        "Steps of one before it is the other's turn.",
        lower_bound=1,
        flag_values=flag_values,
    )


def define_config_flags(flag_values: flags.FlagValues, default: str) -> None:
    """`--config` and `--config.KEY=VALUE` with a recipe that needs not be named."""
    flags.DEFINE_string(
        "config",
        default,
        "Recipe: a name or the path of its file. Change a value with --config.section.key=value.",
        flag_values=flag_values,
    )
    flags.DEFINE_multi_string(
        "config_override", [], "The same as --config.KEY=VALUE: KEY=VALUE.", flag_values=flag_values
    )


def main(flag_values: flags.FlagValues, arguments: list[str]) -> int:
    """Runs the benchmark."""
    if arguments:
        raise UsageError(f"unexpected argument {arguments[0]!r}")
    config = recipes.from_flags(flag_values)
    if config.network.name != "alexnet":
        raise UsageError(
            f"the plain Keras model is AlexNet; --config={flag_values.config} trains "
            f"{config.network.name!r}"
        )
    with config.unlocked():
        config.batch_size = flag_values.batch_size
        config.synthetic_data = not config.data_dir
    import_tensorflow()
    from alexnet_tf.runs.workdir import WorkFolder

    with folders.scratch_folder() as name:
        with WorkFolder(name) as folder:
            report = _compare(config, folder, flag_values.steps, flag_values.block_steps)
    print(json.dumps(report))
    return 0


def _compare(
    config: recipes.ConfigDict, folder: WorkFolder, steps: int, block_steps: int
) -> dict[str, Any]:
    from alexnet_tf.benchmarks import _measure
    from alexnet_tf.train_loop.setup import set_up

    run = set_up(config, folder)
    contestants = {"ours": updates_of(run), "plain_keras": _plain(run)}
    seconds = _measure.alternate(contestants, steps=steps, block_steps=min(block_steps, steps))
    batch_size = config.batch_size
    return {
        "benchmark": "step",
        "config": config.name,
        "batch_size": batch_size,
        "classes": run.data.num_classes,
        "precision_of_ours": config.precision,
        "input_of_ours": "dataset" if config.data_dir else "memory",
        "ours": _measure.speed(seconds["ours"], batch_size),
        "plain_keras": _measure.speed(seconds["plain_keras"], batch_size),
        "ratio": _measure.ratios(seconds["ours"], seconds["plain_keras"]),
        "machine": _measure.machine(),
    }


def updates_of(run: Run) -> Block:
    """Blocks of our update, as the train loop calls it."""
    from alexnet_tf.benchmarks._watched import batches
    from alexnet_tf.train_loop.updates import Updates

    updates = Updates(run)
    fixed = next(batches(run, 0, 1))
    position = 0

    def block(count: int) -> None:
        nonlocal position
        from_memory = run.config.synthetic_data
        # Made anew for every block, so that no batch is prepared during the other's turn.
        fed = itertools.repeat(fixed) if from_memory else batches(run, position, count)
        for step in range(position, position + count):
            result = updates.one(next(fed), step)
        result.loss.numpy()
        position += count

    return block


def _plain(run: Run) -> Block:
    """Blocks of the plain model's update, from memory."""
    import tensorflow as tf

    from alexnet_tf.benchmarks import _plain_keras
    from alexnet_tf.tables import table

    options = table.options("alexnet") | dict(run.config.network.items())
    # conv1's zeros at the end (section 3.5's 224 against 55 outputs) are part of its input here.
    first = next(row.name for row in run.table.layers if row.name.startswith("conv1"))
    side = 11 + 4 * (run.table.shapes()[first][0] - 1)
    update = _plain_keras.train_step(_plain_keras.model(options, side, run.data.num_classes))
    random = tf.random.Generator.from_seed(0)
    batch_size = run.config.batch_size
    images = random.normal([batch_size, side, side, 3], stddev=60.0)
    labels = random.uniform([batch_size], 0, run.data.num_classes, tf.int32)

    def block(count: int) -> None:
        for _ in range(count):
            loss = update(images, labels)
        loss.numpy()

    return block
