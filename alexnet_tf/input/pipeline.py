"""From a dataset folder to batches of uint8 pixels, as a pure function of (seed, epoch, position).

    position in the run -> example index -> record -> crop and flip -> batch

Epoch e, step s of a run trains on positions s*B ... s*B + B-1 of a permutation that (seed, e)
determines. Crop, flip and colour noise of an example depend on (seed, e, example index) alone; crop
and flip that `crop_chunk` consecutive images share, on (seed, e, position // crop_chunk). So the
pipeline holds no state worth saving: it starts anywhere, and any number of replicas and machines
sees the same examples in the same form.

Batches have one fixed size. Where the last batch of an epoch is short, or the batch does not divide
by the number of replicas, rows are filled up with weight 0, which adds exactly nothing to sums and
gradients.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import NamedTuple

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


@dataclasses.dataclass(frozen=True)
class Span:
    """Which examples stand in which batches, and which rows of them this process feeds.

    Attributes:
        examples: how many an epoch has: all of the split, or the first ones.
        batch_size: examples per update over all replicas.
        first_step, last_step: global steps first_step ... last_step - 1, counted from the start of
            the run; without last_step to the end of the first epoch.
        replicas: those that this process feeds.
    """

    examples: int
    batch_size: int
    first_step: int = 0
    last_step: int | None = None
    replicas: Replicas = Replicas()

    @property
    def rows(self) -> int:
        """Rows of one replica's batch."""
        return per_replica_batch_size(self.batch_size, self.replicas.total)

    def parts(self) -> tf.data.Dataset:
        """A number for every batch to feed: step by step, within a step replica by replica."""
        steps = steps_per_epoch(self.examples, self.batch_size)
        last_step = steps if self.last_step is None else self.last_step
        local = self.replicas.local
        return tf.data.Dataset.range(self.first_step * local, last_step * local)

    def places(self, part: tf.Tensor) -> Places:
        """Where the rows of a batch stand: in their epoch and in the global batch."""
        steps = steps_per_epoch(self.examples, self.batch_size)
        step = part // self.replicas.local
        replica = self.replicas.first + part % self.replicas.local
        slots = replica * self.rows + tf.range(self.rows, dtype=tf.int64)
        positions = step % steps * self.batch_size + slots
        valid = (slots < self.batch_size) & (positions < self.examples)
        return Places(
            epoch=step // steps,
            positions=tf.where(valid, positions, 0),
            valid=valid,
            # Rows of weight 0 may lie beyond the batch; any row of it serves them.
            row=tf.cast(tf.minimum(slots, self.batch_size - 1), tf.int32),
        )


class Places(NamedTuple):
    """The rows of one batch.

    Attributes:
        epoch: int64 scalar, from 0.
        positions: int64 [b], places in the epoch; 0 where `valid` is False.
        valid: bool [b]; False for rows that only fill up, and get weight 0.
        row: int32 [b], places in the global batch.
    """

    epoch: tf.Tensor
    positions: tf.Tensor
    valid: tf.Tensor
    row: tf.Tensor


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """How training images are varied (section 4.1).

    Attributes:
        crop: side of the crops in pixels; at most the dataset's image size.
        random_crop: crops at random offsets, else the centre.
        random_flip: mirrors half of the images.
        crop_chunk: so many consecutive images of an epoch share one offset and one flip.
        color_noise_stddev: standard deviation of the three random variables of the colour noise;
            0 leaves them out.
    """

    crop: int
    random_crop: bool = True
    random_flip: bool = True
    crop_chunk: int = 1
    color_noise_stddev: float = 0.0


def training_batches(
    data: dataset.Dataset,
    span: Span,
    augmentation: Augmentation,
    *,
    seed: int,
    threads: int = 0,
    prefetch_batches: int = 4,
) -> tf.data.Dataset:
    """Batches of the training split, one element per step and local replica.

    Args:
        data: the dataset folder.
        span: which batches.
        augmentation: how images are varied.
        seed: the run's seed.
        threads: that read and decode; 0 for one per core.
        prefetch_batches: batches prepared ahead.

    Returns:
        Elements are dicts of tensors with b = ceil(batch_size / replicas) rows: `image` uint8
        [b, crop, crop, 3] (float32 for the store "centered"), `label` int32 [b] from 0, `weight`
        float32 [b] of 1 or 0, `row` int32 [b] (place in the global batch), and, with colour
        noise, `noise` float32 [b, 3].
    """

    def numbers(places: Places) -> tf.Tensor:
        return shuffled(places.positions, places.epoch, seed, span.examples)

    augment = _Augment(data, seed, augmentation)
    batches = _batches(data, "train", span, numbers, augment, threads)
    return batches.prefetch(prefetch_batches)


def shuffled(positions: tf.Tensor, epoch: tf.Tensor, seed: int, examples: int) -> tf.Tensor:
    """Numbers of the examples at `positions` of an epoch, int64 of the same shape."""
    return tf.random.experimental.index_shuffle(
        positions,
        seed=tf.stack([tf.constant(seed_key(seed, ORDER), tf.int64), epoch]),
        max_index=tf.constant(examples - 1, tf.int64),
    )


def evaluation_batches(
    data: dataset.Dataset,
    split: str,
    span: Span,
    *,
    numbers: np.ndarray | None = None,
    threads: int = 0,
    prefetch_batches: int = 4,
) -> tf.data.Dataset:
    """Examples of a split in order, as whole images.

    Args:
        data: the dataset folder.
        split: "train" or "validation".
        span: which batches.
        numbers: of the examples, int [span.examples], where others than the first ones are wanted.
        threads: that read and decode; 0 for one per core.
        prefetch_batches: batches prepared ahead.

    Returns:
        As `training_batches`, with `image` [b, image_size, image_size, 3]: the views are cut on
        the device. Rows beyond the last example have weight 0.
    """
    whole = _Augment(data, 0, Augmentation(data.image_size, False, False))

    def examples(places: Places) -> tf.Tensor:
        if numbers is None:
            return places.positions
        return tf.gather(tf.constant(numbers, tf.int64), places.positions)

    return _batches(data, split, span, examples, whole, threads).prefetch(prefetch_batches)


def _batches(
    data: dataset.Dataset,
    split: str,
    span: Span,
    numbers: Callable[[Places], tf.Tensor],
    augment: _Augment,
    threads: int,
) -> tf.data.Dataset:
    """Batches of the examples that `numbers` names for every place."""
    reader = records.RecordReader(data, split)
    features = {
        data.image_key: tf.io.FixedLenFeature([], tf.string),
        dataset.LABEL_KEY: tf.io.FixedLenFeature([], tf.int64),
    }

    def read(part: tf.Tensor) -> dict[str, tf.Tensor]:
        places = span.places(part)
        examples = tf.where(places.valid, numbers(places), 0)
        serialized = tf.numpy_function(reader.read, [examples], tf.string, stateful=False)
        parsed = tf.io.parse_example(tf.ensure_shape(serialized, [span.rows]), features)
        return {
            "encoded": parsed[data.image_key],
            "label": tf.cast(parsed[dataset.LABEL_KEY] - data.label_offset, tf.int32),
            "weight": tf.cast(places.valid, tf.float32),
            "row": places.row,
            "example": examples,
            "position": places.positions,
            "epoch": tf.fill(tf.shape(examples), places.epoch),
        }

    options = tf.data.Options()
    options.deterministic = True
    if threads:
        options.threading.private_threadpool_size = threads
    return (
        # Reading waits for the disk, not for a core: a few batches at once hide its latency.
        span.parts()
        .map(read, num_parallel_calls=4)
        .unbatch()
        .map(augment, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(span.rows, drop_remainder=True)
        .with_options(options)
    )


class _Augment:
    """One record to one training image: decode, crop, mirror, draw the colour noise."""

    def __init__(self, data: dataset.Dataset, seed: int, settings: Augmentation):
        self._settings = settings
        self._crop = settings.crop
        self._size = data.image_size
        self._store = data.store
        self._random_crop = settings.random_crop and settings.crop < data.image_size
        self._crop_key = seed_key(seed, CROP)
        self._noise_key = seed_key(seed, COLOR_NOISE)
        self._mean_image = data.mean_image() if data.store == "centered" else None

    def __call__(self, record: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        settings, epoch = self._settings, record["epoch"]
        border = self._size - self._crop
        offset = tf.constant([border // 2, border // 2], tf.int32)
        flip = tf.constant(False)
        if self._random_crop or settings.random_flip:
            chunked = settings.crop_chunk > 1
            drawn_for = record["position"] // settings.crop_chunk if chunked else record["example"]
            draw = tf.random.stateless_uniform(
                [3], _seed(self._crop_key, epoch, drawn_for), dtype=tf.float32, alg="philox"
            )
            if self._random_crop:
                # Offsets 0 ... border, both included, as the 2012 code drew them.
                offset = tf.cast(draw[:2] * (border + 1), tf.int32)
            if settings.random_flip:
                flip = draw[2] < 0.5
        image = self._decode(record["encoded"], offset)
        if settings.random_flip:
            image = tf.cond(flip, lambda: tf.reverse(image, [1]), lambda: image)
        element = {key: record[key] for key in ("label", "weight", "row")}
        element["image"] = tf.ensure_shape(image, [self._crop, self._crop, 3])
        if settings.color_noise_stddev:
            element["noise"] = tf.random.stateless_normal(
                [3],
                _seed(self._noise_key, epoch, record["example"]),
                stddev=settings.color_noise_stddev,
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


def _seed(key: int, epoch: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
    """A stateless seed of (run seed and purpose, epoch, number of an example or a chunk).

    Epoch and number share the second word: 2^20 epochs of 2^43 examples.
    """
    return tf.stack([tf.constant(key, tf.int64), epoch * (1 << 43) + number])
