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

import json
from typing import TYPE_CHECKING, Any

from absl import flags

from alexnet_tf import config as recipes
from data_prep import command

if TYPE_CHECKING:
    from alexnet_tf.benchmarks._measure import Block
    from alexnet_tf.network.table import Table


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
        raise command.UsageError(f"unexpected argument {arguments[0]!r}")
    config = recipes.from_flags(flag_values)
    if config.network.name != "alexnet":
        raise command.UsageError(
            f"the plain Keras model is AlexNet; --config={flag_values.config} trains "
            f"{config.network.name!r}"
        )
    from alexnet_tf.benchmarks import _measure
    from alexnet_tf.network import table

    classes = _num_classes(config)
    layers = table.from_config(config.network, classes)
    options = table.options("alexnet") | dict(config.network.items())
    batch_size = flag_values.batch_size
    contestants = {
        "ours": _ours(config, layers, batch_size),
        "plain_keras": _plain(options, layers, batch_size),
    }
    seconds = _measure.alternate(
        contestants,
        steps=flag_values.steps,
        block_steps=min(flag_values.block_steps, flag_values.steps),
    )
    report = {
        "benchmark": "step",
        "config": config.name,
        "batch_size": batch_size,
        "steps": flag_values.steps,
        "input_of_ours": "dataset" if config.data_dir else "memory",
        "ours": _measure.speed(seconds["ours"], batch_size),
        "plain_keras": _measure.speed(seconds["plain_keras"], batch_size),
        "ratio": _measure.ratios(seconds["ours"], seconds["plain_keras"]),
        "machine": _measure.machine(),
    }
    print(json.dumps(report))
    return 0


def _num_classes(config: recipes.ConfigDict) -> int:
    from data_prep import dataset

    return dataset.load(config.data_dir).num_classes if config.data_dir else config.num_classes


def _ours(config: recipes.ConfigDict, layers: Table, batch_size: int) -> Block:
    """Blocks of our step, from memory or from the dataset."""
    import tensorflow as tf

    from alexnet_tf.benchmarks import _memory
    from alexnet_tf.input import pipeline
    from alexnet_tf.input.preprocess import Preprocess
    from alexnet_tf.network import build
    from alexnet_tf.training import optimizer as optimizers
    from alexnet_tf.training import step as steps
    from data_prep import dataset

    crop = layers.input_size
    data = (
        dataset.load(config.data_dir)
        if config.data_dir
        else _memory.Facts.make(crop + 32, layers.num_classes)
    )
    prepare = Preprocess(data, config.preprocess, crop)
    model = build.build(layers, seed=config.seed)
    optimizer = optimizers.make(config, build.variable_settings(model))
    optimizer.build(model.trainable_variables)
    update = tf.function(
        steps.make_train_step(model, optimizer, prepare, seed=config.seed, batch_size=batch_size)
    )
    fixed = _memory.batch(batch_size, crop, layers.num_classes, prepare.noise_stddev)
    position = 0

    def batches(count: int) -> Any:
        if not config.data_dir:
            return [fixed] * count
        # Made anew for every block, so that no batch was prepared during the other's turn.
        return pipeline.training_batches(
            data,
            seed=config.seed,
            examples=data.split("train").count,
            batch_size=batch_size,
            crop=crop,
            random_crop=config.input.random_crop,
            random_flip=config.input.random_flip,
            color_noise_stddev=prepare.noise_stddev,
            first_step=position,
            last_step=position + count,
            threads=config.input.threads,
            prefetch_batches=config.input.prefetch_batches,
        )

    def block(count: int) -> None:
        nonlocal position
        sums = None
        for batch in batches(count):
            step = tf.constant(position, tf.int64)
            sums = update(batch, step, tf.reduce_sum(batch["weight"]))
            position += 1
        if sums is not None:
            sums.numpy()

    return block


def _plain(options: dict[str, Any], layers: Table, batch_size: int) -> Block:
    """Blocks of the plain model's step, from memory."""
    import tensorflow as tf

    from alexnet_tf.benchmarks import _plain_keras

    # conv1's zeros at the end (section 3.5's 224 against 55 outputs) are part of its input here.
    first = next(row.name for row in layers.layers if row.name.startswith("conv1"))
    side = 11 + 4 * (layers.shapes()[first][0] - 1)
    model = _plain_keras.model(options, side, layers.num_classes)
    update = _plain_keras.train_step(model)
    random = tf.random.Generator.from_seed(0)
    images = random.normal([batch_size, side, side, 3], stddev=60.0)
    labels = random.uniform([batch_size], 0, layers.num_classes, tf.int32)

    def block(count: int) -> None:
        for _ in range(count):
            loss = update(images, labels)
        loss.numpy()

    return block
