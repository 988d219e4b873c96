"""From a dataset folder to batches of uint8 pixels, as a pure function of (seed, epoch, position).

    position in the run -> example index -> record -> crop and flip -> batch

Epoch e, step s of a run trains on positions s*B ... s*B + B-1 of a permutation that (seed, e)
determines. Crop, flip and colour noise of an example depend on (seed, e, example index) alone. So
the pipeline holds no state worth saving: it starts anywhere, and any number of replicas and
machines sees the same examples in the same form.

Batches have one fixed size. Where the last batch of an epoch is short, or the batch does not divide
by the number of replicas, rows are filled up with weight 0, which adds exactly nothing to sums and
gradients.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from alexnet_tf.input import records
from data_prep import dataset

# What a random draw is for: a part of its seed, so that draws are independent of one another.
ORDER, CROP, COLOR_NOISE, DROPOUT = range(4)


@dataclasses.dataclass(frozen=True)
class Replicas:
    """Which of all replicas this process feeds: `local` of them, from number `first` on."""

    total: int = 1
    first: int = 0
    local: int = 1


def seed_key(seed: int, purpose: int) -> int:
    """A 62-bit number that stands for (run seed, purpose) in stateless seeds."""
    return int(np.random.SeedSequence([seed, purpose]).generate_state(1, np.uint64)[0]) >> 2


def steps_per_epoch(examples: int, batch_size: int) -> int:
    """Updates in which every example is seen once; the last one may be short."""
    return math.ceil(examples / batch_size)


def per_replica_batch_size(batch_size: int, replicas: int) -> int:
    """Rows that each replica gets, filled up with weight 0 where the batch does not divide."""
    return math.ceil(batch_size / replicas)


def training_batches(
    data: dataset.Dataset,
    *,
    seed: int,
    examples: int,
    batch_size: int,
    crop: int,
    random_crop: bool = True,
    random_flip: bool = True,
    color_noise_stddev: float = 0.0,
    first_step: int = 0,
    last_step: int,
    replicas: Replicas | None = None,
    threads: int = 0,
    prefetch_batches: int = 4,
) -> tf.data.Dataset:
    """Batches for the global steps first_step ... last_step - 1, one element per local replica.

    Args:
        data: the dataset folder.
        seed: the run's seed.
        examples: how many examples of the training split an epoch has (all, or the first ones).
        batch_size: examples per update over all replicas.
        crop: side of the crops in pixels; at most the dataset's image size.
        random_crop: crops at random offsets (section 4.1), else the centre.
        random_flip: mirrors half of the images.
        color_noise_stddev: standard deviation of the three random variables of the colour noise;
            0 leaves them out.
        first_step, last_step: global steps, counted from the start of the run.
        replicas: which replicas to feed.
        threads: that read and decode; 0 for one per core.
        prefetch_batches: batches prepared ahead.

    Returns:
        Elements are dicts of tensors with b = ceil(batch_size / replicas) rows: `image` uint8
        [b, crop, crop, 3] (float32 for the store "centered"), `label` int32 [b] from 0, `weight`
        float32 [b] of 1 or 0, `row` int32 [b] (place in the global batch), and, with colour
        noise, `noise` float32 [b, 3].
    """
    steps = steps_per_epoch(examples, batch_size)
    order_key = seed_key(seed, ORDER)

    def choose(step: tf.Tensor, slots: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        epoch, step_in_epoch = step // steps, step % steps
        positions = step_in_epoch * batch_size + slots
        valid = (slots < batch_size) & (positions < examples)
        shuffled = tf.random.experimental.index_shuffle(
            tf.where(valid, positions, 0),
            seed=tf.stack([tf.constant(order_key, tf.int64), epoch]),
            max_index=tf.constant(examples - 1, tf.int64),
        )
        return tf.where(valid, shuffled, 0), valid, tf.fill(tf.shape(slots), epoch)

    augment = _Augmentation(data, seed, crop, random_crop, random_flip, color_noise_stddev)
    return _batches(
        data,
        "train",
        choose,
        augment,
        batch_size=batch_size,
        first_step=first_step,
        last_step=last_step,
        replicas=replicas or Replicas(),
        threads=threads,
        prefetch_batches=prefetch_batches,
    )


def evaluation_batches(
    data: dataset.Dataset,
    split: str,
    *,
    examples: int,
    batch_size: int,
    replicas: Replicas | None = None,
    threads: int = 0,
    prefetch_batches: int = 4,
) -> tf.data.Dataset:
    """The first `examples` examples of a split once, in order, as whole images.

    Returns:
        As `training_batches`, with `image` [b, image_size, image_size, 3]: the views are cut on
        the device. Rows beyond the last example have weight 0.
    """

    def choose(step: tf.Tensor, slots: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        positions = step * batch_size + slots
        valid = (slots < batch_size) & (positions < examples)
        return tf.where(valid, positions, 0), valid, tf.zeros_like(slots)

    whole = _Augmentation(data, 0, data.image_size, False, False, 0.0)
    return _batches(
        data,
        split,
        choose,
        whole,
        batch_size=batch_size,
        first_step=0,
        last_step=steps_per_epoch(examples, batch_size),
        replicas=replicas or Replicas(),
        threads=threads,
        prefetch_batches=prefetch_batches,
    )


def _batches(
    data: dataset.Dataset,
    split: str,
    choose: Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor, tf.Tensor]],
    augment: _Augmentation,
    *,
    batch_size: int,
    first_step: int,
    last_step: int,
    replicas: Replicas,
    threads: int,
    prefetch_batches: int,
) -> tf.data.Dataset:
    reader = records.RecordReader(data, split)
    rows = per_replica_batch_size(batch_size, replicas.total)
    features = {
        data.image_key: tf.io.FixedLenFeature([], tf.string),
        dataset.LABEL_KEY: tf.io.FixedLenFeature([], tf.int64),
    }

    def read(part: tf.Tensor) -> dict[str, tf.Tensor]:
        step = part // replicas.local
        replica = replicas.first + part % replicas.local
        slots = replica * rows + tf.range(rows, dtype=tf.int64)
        numbers, valid, epoch = choose(step, slots)
        serialized = tf.numpy_function(reader.read, [numbers], tf.string, stateful=False)
        parsed = tf.io.parse_example(tf.ensure_shape(serialized, [rows]), features)
        return {
            "encoded": parsed[data.image_key],
            "label": tf.cast(parsed[dataset.LABEL_KEY] - data.label_offset, tf.int32),
            "weight": tf.cast(valid, tf.float32),
            # Rows of weight 0 may lie beyond the batch; any row of it serves them.
            "row": tf.cast(tf.minimum(slots, batch_size - 1), tf.int32),
            "example": numbers,
            "epoch": epoch,
        }

    options = tf.data.Options()
    options.deterministic = True
    if threads:
        options.threading.private_threadpool_size = threads
    parts = tf.data.Dataset.range(first_step * replicas.local, last_step * replicas.local)
    return (
        # Reading waits for the disk, not for a core: a few batches at once hide its latency.
        parts.map(read, num_parallel_calls=4)
        .unbatch()
        .map(augment, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(rows, drop_remainder=True)
        .prefetch(prefetch_batches)
        .with_options(options)
    )


class _Augmentation:
    """One record to one training image: decode, crop, mirror, draw the colour noise."""

    def __init__(
        self,
        data: dataset.Dataset,
        seed: int,
        crop: int,
        random_crop: bool,
        random_flip: bool,
        color_noise_stddev: float,
    ):
        self._size = data.image_size
        self._crop = crop
        self._store = data.store
        self._random_crop = random_crop and crop < data.image_size
        self._random_flip = random_flip
        self._color_noise_stddev = color_noise_stddev
        self._crop_key = seed_key(seed, CROP)
        self._noise_key = seed_key(seed, COLOR_NOISE)
        self._mean_image = data.mean_image() if data.store == "centered" else None

    def __call__(self, record: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        border = self._size - self._crop
        offset = tf.constant([border // 2, border // 2], tf.int32)
        flip = tf.constant(False)
        if self._random_crop or self._random_flip:
            draw = tf.random.stateless_uniform(
                [3], _seed(self._crop_key, record), dtype=tf.float32, alg="philox"
            )
            if self._random_crop:
                # Offsets 0 ... border, both included, as the 2012 code drew them.
                offset = tf.cast(draw[:2] * (border + 1), tf.int32)
            if self._random_flip:
                flip = draw[2] < 0.5
        image = self._decode(record["encoded"], offset)
        if self._random_flip:
            image = tf.cond(flip, lambda: tf.reverse(image, [1]), lambda: image)
        element = {key: record[key] for key in ("label", "weight", "row")}
        element["image"] = tf.ensure_shape(image, [self._crop, self._crop, 3])
        if self._color_noise_stddev:
            element["noise"] = tf.random.stateless_normal(
                [3],
                _seed(self._noise_key, record),
                stddev=self._color_noise_stddev,
                alg="philox",
            )
        return element

    def _decode(self, encoded: tf.Tensor, offset: tf.Tensor) -> tf.Tensor:
        if self._store == "jpeg":
            # Decoded whole, although the fused decode-and-crop is about a tenth faster: that one
            # changes pixels at the crop's right edge, and does not notice a truncated file.
            image = tf.image.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE")
            return self._cut(tf.ensure_shape(image, [self._size, self._size, 3]), offset)
        if self._store == "uint8":
            return self._cut(_raw(encoded, tf.uint8, self._size), offset)
        # The records hold pixels minus the mean image. It is added again, so that every store
        # reaches the device as pixels and one rule of mean subtraction serves all of them.
        centered = tf.cast(self._cut(_raw(encoded, tf.float16, self._size), offset), tf.float32)
        return centered + self._cut(tf.constant(self._mean_image), offset)

    def _cut(self, image: tf.Tensor, offset: tf.Tensor) -> tf.Tensor:
        return tf.slice(
            image, tf.concat([offset, [0]], 0), tf.constant([self._crop, self._crop, 3])
        )


def _raw(encoded: tf.Tensor, dtype: tf.DType, size: int) -> tf.Tensor:
    return tf.reshape(tf.io.decode_raw(encoded, dtype), [size, size, 3])


def _seed(key: int, record: dict[str, tf.Tensor]) -> tf.Tensor:
    """A stateless seed of (run seed and purpose, epoch, example index).

    Epoch and index share the second word: 2^20 epochs of 2^43 examples.
    """
    second = record["epoch"] * (1 << 43) + record["example"]
    return tf.stack([tf.constant(key, tf.int64), second])
