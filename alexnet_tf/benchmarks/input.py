"""Images per second of the input pipeline, stage by stage.

Example:
  python -m alexnet_tf.benchmark input --config.data_dir=DATASET

The stages, each holding what the one before does:
  read       records from the shard files, in the random order of an epoch, checksums checked
  decode     whole images
  crop       centre crops of the network's input size (JPEGs are decoded whole)
  augment    the recipe's random crops, mirror images and colour noise draws: what training gets
  device     the same, moved to the device and mean-subtracted there
All run once through --images images of the training split, in turns. Prints JSON.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from absl import flags

from alexnet_common.errors import UsageError
from alexnet_common.messages import log
from alexnet_common.tensorflow_import import import_tensorflow
from alexnet_tf import config as recipes
from alexnet_tf.benchmarks.step import define_config_flags


def define_flags(flag_values: flags.FlagValues) -> None:
    """Defines the benchmark's flags."""
    define_config_flags(flag_values, "alexnet_paper")
    flags.DEFINE_integer(
        "images", 2560, "Images per stage and round.", lower_bound=1, flag_values=flag_values
    )
    flags.DEFINE_integer("rounds", 3, "Rounds.", lower_bound=1, flag_values=flag_values)


def main(flag_values: flags.FlagValues, arguments: list[str]) -> int:
    """Runs the benchmark."""
    if arguments:
        raise UsageError(f"unexpected argument {arguments[0]!r}")
    config = recipes.from_flags(flag_values)
    if not config.data_dir:
        raise UsageError("--config.data_dir is missing: the dataset to read")
    import_tensorflow()
    from alexnet_tf.benchmarks import _measure

    stages, images = _stages(config, flag_values.images)
    seconds: dict[str, list[float]] = {name: [] for name in stages}
    # The first round warms up: page cache, threads, compiled functions.
    for round_number in range(flag_values.rounds + 1):
        for name, stage in stages.items():
            began = time.monotonic()
            seen = stage()
            spent = time.monotonic() - began
            if seen != images:
                raise RuntimeError(f"stage {name} saw {seen} of {images} images")
            if round_number:
                seconds[name].append(spent)
        log(f"round {round_number} of {flag_values.rounds}")
    report = {
        "benchmark": "input",
        "config": config.name,
        "batch_size": config.batch_size,
        "images": images,
        "stages": {name: _measure.speed(spent, images) for name, spent in seconds.items()},
        "machine": _measure.machine(),
    }
    print(json.dumps(report))
    return 0


def _stages(config: recipes.ConfigDict, wanted: int) -> tuple[dict[str, Callable[[], int]], int]:
    """Functions that run a stage over all images and return how many they saw."""
    import numpy as np
    import tensorflow as tf

    from alexnet_tf.input import pipeline, records
    from alexnet_tf.input.preprocess import Preprocess
    from alexnet_tf.tables import table
    from data_prep import dataset

    data = dataset.load(config.data_dir)
    crop = table.from_config(config.network, data.num_classes).input_size
    prepare = Preprocess(data, config.preprocess, crop)
    size = config.batch_size
    available = data.split("train").count
    # Whole batches, of several epochs where the dataset is small.
    per_epoch = pipeline.steps_per_epoch(available, size)
    epochs = max(1, round(wanted / available))
    steps = per_epoch * epochs if available < wanted else max(1, wanted // size)
    images = sum(min(size, available - step % per_epoch * size) for step in range(steps))
    reader = records.RecordReader(data, "train")
    order = np.random.default_rng(config.seed).permutation(available)
    prepared = tf.function(prepare.training, autograph=False)

    def read() -> int:
        seen = 0
        for step in range(steps):
            start = step % per_epoch * size
            seen += len(reader.read(order[start : start + size]))
        return seen

    def decode() -> int:
        seen = 0
        while seen < images:
            batches = pipeline.evaluation_batches(
                data,
                "train",
                pipeline.Span(min(available, images - seen), size),
                threads=config.input.threads,
                prefetch_batches=config.input.prefetch_batches,
            )
            seen += _count(batches)
        return seen

    def training(augment: bool) -> Any:
        settings = config.input
        return pipeline.training_batches(
            data,
            pipeline.Span(available, size, last_step=steps),
            pipeline.Augmentation(
                crop,
                random_crop=augment and settings.random_crop,
                random_flip=augment and settings.random_flip,
                crop_chunk=settings.crop_chunk,
                color_noise_stddev=prepare.noise_stddev if augment else 0.0,
            ),
            seed=config.seed,
            threads=settings.threads,
            prefetch_batches=settings.prefetch_batches,
        )

    def device() -> int:
        seen, last = 0, None
        for batch in training(True):
            last = prepared(batch)
            seen += int(tf.reduce_sum(batch["weight"]))
        if last is not None:
            last.numpy()
        return seen

    return {
        "read": read,
        "decode": decode,
        "crop": lambda: _count(training(False)),
        "augment": lambda: _count(training(True)),
        "device": device,
    }, images


def _count(batches: Any) -> int:
    return sum(int(batch["weight"].sum()) for batch in batches.as_numpy_iterator())
