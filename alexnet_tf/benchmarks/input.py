"""Images per second of the input pipeline, stage by stage.

Example:
  python -m alexnet_tf.benchmark input --config.data_dir=DATASET

Stages:
  read         records from the shard files, in the random order of an epoch, checksums checked
  bare_decode  the store's images from memory, decoded by as many threads and put into batches,
               nothing else (JPEG only)
  decode       whole images in order, read and decoded
  input        what reaches the device: whole uint8 images in an epoch's order, with the draws for
               crops, mirror images and colour noise; on a GPU with the copy to it
  device_pass  the same, and the pass over the pixels with which the step begins: crop, mirror
               image, mean, colour noise. On a GPU no work of the input; on a CPU the same cores do
               it. It is counted in `benchmark step` too
`cpu_microseconds_per_image` is what all threads took: on a machine that others use too it says more
than images/s. `of_bare_decode` is the bare loop's CPU time over the stage's: the median over the
rounds. In each round every stage runs once through --images images of the training split, in turns;
its clock starts before its first image is read, and stops behind its last. Prints JSON.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from absl import flags

from alexnet_common.errors import UsageError
from alexnet_common.messages import log
from alexnet_common.tensorflow_import import import_tensorflow
from alexnet_tf import recipes
from alexnet_tf.benchmarks.step import define_config_flags

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf

    from data_prep.dataset import Dataset


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
            began, busy = time.monotonic(), time.process_time()
            seen = sum(stage())
            spent, busy = time.monotonic() - began, time.process_time() - busy
            if seen != images:
                raise RuntimeError(f"stage {name} saw {seen} of {images} images")
            if round_number:
                seconds[name].append(spent)
                cpu[name].append(1e6 * busy / images)
        log(f"round {round_number} of {flag_values.rounds}")
    report = {
        "benchmark": "input",
        "config": config.name,
        "batch_size": config.batch_size,
        "images": images,
        "stages": {
            name: _measure.speed(spent, images) | _cpu(name, cpu) for name, spent in seconds.items()
        },
        "machine": _measure.machine(),
    }
    print(json.dumps(report))
    return 0


def _cpu(name: str, cpu: dict[str, list[float]]) -> dict[str, float]:
    """A stage's CPU time per image, and its speed by it beside that of bare decoding."""
    from alexnet_tf.benchmarks import _measure

    facts = {"cpu_microseconds_per_image": round(statistics.median(cpu[name]), 1)}
    if name in ("decode", "input", "device_pass") and "bare_decode" in cpu:
        facts["of_bare_decode"] = _measure.ratios(cpu[name], cpu["bare_decode"])["median"]
    return facts


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
    # Whole batches, of several epochs where the dataset is small. What fills up an epoch's last
    # batch is decoded too, and would count here: of 400 images in batches of 128 a quarter more.
    available -= available % size if available > size else 0
    per_epoch = pipeline.steps_per_epoch(available, size)
    epochs = max(1, round(wanted / available))
    steps = per_epoch * epochs if available < wanted else max(1, wanted // size)
    images = steps * min(size, available)
    reader = records.RecordReader(data, "train")
    order = np.random.default_rng(config.seed).permutation(available)
    prepared = tf.function(prepare.training, autograph=False)

    span = pipeline.Span(available, size, last_step=steps)

    def read() -> Iterator[int]:
        for step in range(steps):
            start = step % per_epoch * size
            yield len(reader.read(order[start : start + size]))

    settings = config.input
    ahead = {"threads": settings.threads, "prefetch_batches": settings.prefetch_batches}
    # Each pipeline is made once, as a run does, and read from its start in every round.
    in_order = pipeline.evaluation_batches(data, "train", span, **ahead)
    training = pipeline.training_batches(
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
        **ahead,
    )
    gpus = tf.config.list_logical_devices("GPU")

    def to_device() -> Iterator[int]:
        for batch in training:
            if gpus:
                with tf.device(gpus[0].name):
                    # The device has it when the host has one of its numbers.
                    tf.identity(batch["image"])[0, 0, 0, 0].numpy()
            yield _count(batch)

    def device_pass() -> Iterator[int]:
        for batch in training:
            last = prepared(batch)
            yield _count(batch)
        last[0, 0, 0, 0].numpy()

    bare: dict[str, Callable[[], Iterable[int]]] = {}
    if data.store == "jpeg":
        loop = _bare_decode(data, reader.read(order[: min(available, images)]), images, size, ahead)
        bare["bare_decode"] = lambda: map(len, loop)
    return {
        "read": read,
        **bare,
        "decode": lambda: map(_count, in_order),
        "input": to_device,
        "device_pass": device_pass,
    }, images


def _bare_decode(
    data: Dataset, examples: np.ndarray, images: int, size: int, ahead: dict[str, int]
) -> tf.data.Dataset:
    """Batches of `images` decoded images, of serialized examples in memory."""
    import tensorflow as tf

    kinds = {data.image_key: tf.io.FixedLenFeature([], tf.string)}
    parsed = tf.io.parse_example(tf.constant(examples, tf.string), kinds)

    def decoded(content: tf.Tensor) -> tf.Tensor:
        image = tf.image.decode_jpeg(content, channels=3, dct_method="INTEGER_ACCURATE")
        return tf.ensure_shape(image, [data.image_size, data.image_size, 3])

    contents = tf.data.Dataset.from_tensor_slices(parsed[data.image_key])
    threads = ahead["threads"] or len(os.sched_getaffinity(0))
    loop = contents.repeat().take(images).map(decoded, num_parallel_calls=threads)
    options = tf.data.Options()
    options.autotune.enabled = False  # As in `pipeline`: an iterator's end would wait for it.
    if ahead["threads"]:
        options.threading.private_threadpool_size = ahead["threads"]
    return loop.batch(size).prefetch(ahead["prefetch_batches"]).with_options(options)


def _count(batch: Mapping[str, tf.Tensor]) -> int:
    """Images of a batch, without those that fill it up."""
    # Not the pixels as arrays of NumPy: that would copy every image once more.
    return round(float(batch["weight"].numpy().sum()))
