"""Images per second of the input pipeline, stage by stage.

Example:
  python -m alexnet_tf.benchmark input --config.data_dir=DATASET

The stages, each but the second holding what the one before does:
  read         records from the shard files, in the random order of an epoch, checksums checked
  bare_decode  the store's images from memory, decoded by as many threads, nothing else (JPEG only)
  decode       whole images in order
  augment      in an epoch's order, with the draws for crops, mirror images and colour noise: what
               training gets
  device       the same, moved to the device; cropped, mirrored and mean-subtracted there
`cpu_microseconds_per_image` is what all threads took: on a machine that others use too it says more
than images/s. All run once through --images images of the training split, in turns. Prints JSON.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
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
        "images", 7680, "Images per stage and round.", lower_bound=1, flag_values=flag_values
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
    cpu: dict[str, list[float]] = {name: [] for name in stages}
    # The first round warms up: page cache, threads, compiled functions.
    for round_number in range(flag_values.rounds + 1):
        for name, stage in stages.items():
            counts = iter(stage())
            # A run makes its pipeline once: the clock starts when its first batch is there.
            seen = first = next(counts)
            began, busy = time.monotonic(), time.process_time()
            seen += sum(counts)
            spent, busy = time.monotonic() - began, time.process_time() - busy
            if seen != images:
                raise RuntimeError(f"stage {name} saw {seen} of {images} images")
            if round_number:
                seconds[name].append(spent * images / max(images - first, 1))
                cpu[name].append(1e6 * busy / max(images - first, 1))
        log(f"round {round_number} of {flag_values.rounds}")
    report = {
        "benchmark": "input",
        "config": config.name,
        "batch_size": config.batch_size,
        "images": images,
        "stages": {
            name: _measure.speed(spent, images)
            | {"cpu_microseconds_per_image": round(statistics.median(cpu[name]), 1)}
            for name, spent in seconds.items()
        },
        "machine": _measure.machine(),
    }
    print(json.dumps(report))
    return 0


def _stages(
    config: recipes.ConfigDict, wanted: int
) -> tuple[dict[str, Callable[[], Iterable[int]]], int]:
    """Functions that run a stage, and yield how many images each batch held; images in all."""
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

    span = pipeline.Span(available, size, last_step=steps)

    def read() -> Iterator[int]:
        for step in range(steps):
            start = step % per_epoch * size
            yield len(reader.read(order[start : start + size]))

    def decode() -> Iterator[int]:
        return _counts(
            pipeline.evaluation_batches(
                data,
                "train",
                span,
                threads=config.input.threads,
                prefetch_batches=config.input.prefetch_batches,
            )
        )

    def bare_decode() -> Iterator[int]:
        kinds = {data.image_key: tf.io.FixedLenFeature([], tf.string)}
        wanted = order[: min(available, images)]
        parsed = tf.io.parse_example(tf.constant(reader.read(wanted), tf.string), kinds)

        def decoded(content: tf.Tensor) -> tf.Tensor:
            image = tf.image.decode_jpeg(content, channels=3, dct_method="INTEGER_ACCURATE")
            return tf.ensure_shape(image, [data.image_size, data.image_size, 3])

        contents = tf.data.Dataset.from_tensor_slices(parsed[data.image_key])
        loop = contents.repeat().take(images).map(decoded, num_parallel_calls=tf.data.AUTOTUNE)
        options = tf.data.Options()
        if config.input.threads:
            options.threading.private_threadpool_size = config.input.threads
        loop = loop.batch(size).prefetch(config.input.prefetch_batches).with_options(options)
        return (len(batch) for batch in loop)

    def training() -> Any:
        settings = config.input
        return pipeline.training_batches(
            data,
            span,
            pipeline.Augmentation(
                crop,
                random_crop=settings.random_crop,
                random_flip=settings.random_flip,
                crop_chunk=settings.crop_chunk,
                color_noise_stddev=prepare.noise_stddev,
            ),
            seed=config.seed,
            threads=settings.threads,
            prefetch_batches=settings.prefetch_batches,
        )

    def device() -> Iterator[int]:
        for batch in training():
            last = prepared(batch)
            yield int(tf.reduce_sum(batch["weight"]))
        last.numpy()

    bare = {"bare_decode": bare_decode} if data.store == "jpeg" else {}
    return {
        "read": read,
        **bare,
        "decode": decode,
        "augment": lambda: _counts(training()),
        "device": device,
    }, images


def _counts(batches: Any) -> Iterator[int]:
    # Not as arrays of NumPy: that would copy every image once more.
    return (round(float(sum(batch["weight"].numpy()))) for batch in batches)
