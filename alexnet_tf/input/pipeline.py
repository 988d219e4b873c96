"""From a dataset folder to batches of uint8 pixels, as a pure function of (seed, epoch, position).

    position in the run -> example index -> record -> crop and flip -> batch

Epoch e, step s of a run trains on positions s*B ... s*B + B-1 of a permutation that (seed, e)
determines. Crop, flip and colour noise of an example depend on (seed, e, example index) alone; crop
and flip that `crop_chunk` consecutive images share, on (seed, e, position // crop_chunk). So the
pipeline holds no state worth saving: it starts anywhere, and any number of replicas and machines
sees the same examples in the same form.

Batches have one fixed size. Where the last batch of an epoch is short, or the batch does not divide
by the number of replicas, it is filled up with examples of weight 0, which add exactly nothing
to sums and gradients.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from alexnet_tf.input import draws, images
from data_prep import dataset

# What a random draw is for: a part of its seed, so that draws are independent of one another.
ORDER, CROP, COLOR_NOISE, DROPOUT = range(4)
# Batches that are read and decoded at the same time.
_BATCHES_AT_ONCE = 4


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
    """Examples that each replica gets, filled up with weight 0 where the batch does not divide."""
    return math.ceil(batch_size / replicas)


@dataclasses.dataclass(frozen=True)
class Span:
    """Which examples stand in which batches, and which of them this process feeds.

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
    def replica_batch_size(self) -> int:
        """Examples of one replica's batch, those of weight 0 included."""
        return per_replica_batch_size(self.batch_size, self.replicas.total)

    def parts(self) -> tf.data.Dataset:
        """A number for every batch to feed: step by step, within a step replica by replica."""
        steps = steps_per_epoch(self.examples, self.batch_size)
        last_step = steps if self.last_step is None else self.last_step
        local = self.replicas.local
        return tf.data.Dataset.range(self.first_step * local, last_step * local)

    def places(self, part: tf.Tensor) -> Places:
        """Where the examples of a batch stand: in their epoch and in the global batch."""
        steps = steps_per_epoch(self.examples, self.batch_size)
        step = part // self.replicas.local
        replica = self.replicas.first + part % self.replicas.local
        size = self.replica_batch_size
        slots = replica * size + tf.range(size, dtype=tf.int64)
        positions = step % steps * self.batch_size + slots
        valid = (slots < self.batch_size) & (positions < self.examples)
        return Places(
            epoch=step // steps,
            positions=tf.where(valid, positions, 0),
            valid=valid,
            # Examples of weight 0 may lie beyond the batch; any place in it serves them.
            row=tf.cast(tf.minimum(slots, self.batch_size - 1), tf.int32),
        )


class Places(NamedTuple):
    """The examples of one batch.

    Attributes:
        epoch: int64 scalar, from 0.
        positions: int64 [b], places in the epoch; 0 where `valid` is False.
        valid: bool [b]; False for examples that only fill up, and get weight 0.
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
    cache: str = "none",
) -> tf.data.Dataset:
    """Batches of the training split, one element per step and local replica.

    Images come whole; the device crops and mirrors them (`preprocess.Preprocess.training`), which
    costs nothing there. At most `prefetch_batches` + 4 batches lie in the host's memory.

    Args:
        data: the dataset folder.
        span: which batches.
        augmentation: how images are varied.
        seed: the run's seed.
        threads: that read and decode; 0 for one per core.
        prefetch_batches: batches prepared ahead.
        cache: "none"; "memory": images are decoded once and kept; "device": elements name their
            images instead of holding them (`resident.Resident` has them).

    Returns:
        Elements are dicts of tensors with b = ceil(batch_size / replicas) examples: `image` uint8
        [b, S, S, 3] with the dataset's S (float32 for the store "centered") and `label` int32 [b]
        from 0, or `example` int64 [b] in place of both; `weight` float32 [b] of 1 or 0, `row` int32
        [b] (place in the global batch); with random crops `offset` int32 [b, 2] (y, x), with
        random flips `flip` bool [b], and with colour noise `noise` float32 [b, 3].
    """

    def numbers(places: Places) -> tf.Tensor:
        return shuffled(places.positions, places.epoch, seed, span.examples)

    source = None
    if cache != "device":
        keep = span.examples if cache == "memory" else 0
        source = images.Images(data, "train", keep)
    augment = _Augment(data, seed, augmentation, span.replica_batch_size)
    return _batches(span, source, numbers, augment, threads).prefetch(prefetch_batches)


def training_epochs(
    data: dataset.Dataset, span: Span, augmentation: Augmentation, *, seed: int
) -> tf.data.Dataset:
    """Whole epochs of batches that name their images, one element per epoch.

    For a set that lies on the device: all that an epoch needs of the host is one such table, made
    while the epoch before is trained on.

    Args:
        data: the dataset folder.
        span: which batches, from the first step of an epoch on; one replica's.
        augmentation: how images are varied.
        seed: the run's seed.

    Returns:
        Elements as those of `training_batches` with the cache "device", batch behind batch: the
        first dimension is steps of an epoch x batch_size.
    """
    steps = steps_per_epoch(span.examples, span.batch_size)
    last = steps if span.last_step is None else span.last_step
    # An epoch is one batch of all its batches: draws depend on epoch and example alone.
    size = steps * span.batch_size
    whole = Span(span.examples, size, span.first_step // steps, math.ceil(last / steps))
    epochs = training_batches(
        data, whole, augmentation, seed=seed, prefetch_batches=1, cache="device"
    )
    row = tf.tile(tf.range(span.batch_size), [steps])

    @tf.autograph.experimental.do_not_convert
    def with_row(epoch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return epoch | {"row": row}

    return epochs.map(with_row)


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
    cache: str = "none",
) -> tf.data.Dataset:
    """Examples of a split in order, as whole images.

    Args:
        data: the dataset folder.
        split: "train" or "validation".
        span: which batches.
        numbers: of the examples, int [span.examples], where others than the first ones are wanted.
        threads: that read and decode; 0 for one per core.
        prefetch_batches: batches prepared ahead.
        cache: "none", or "memory": what this dataset yields is decoded once and kept.

    Returns:
        As `training_batches`, without random draws. Rows beyond the last example have weight 0.
    """

    def examples(places: Places) -> tf.Tensor:
        if numbers is None:
            return places.positions
        return tf.gather(tf.constant(numbers, tf.int64), places.positions)

    last = span.examples if numbers is None else int(numbers.max()) + 1
    source = images.Images(data, split, last if cache == "memory" else 0)
    return _batches(span, source, examples, None, threads).prefetch(prefetch_batches)


def _batches(
    span: Span,
    source: images.Images | None,
    numbers: Callable[[Places], tf.Tensor],
    augment: _Augment | None,
    threads: int,
) -> tf.data.Dataset:
    """Batches of the examples that `numbers` names for every place."""

    # Converting it would write a file per function into $TMPDIR and find nothing to convert.
    @tf.autograph.experimental.do_not_convert
    def make(part: tf.Tensor) -> dict[str, tf.Tensor]:
        places = span.places(part)
        examples = tf.ensure_shape(
            tf.where(places.valid, numbers(places), 0), [span.replica_batch_size]
        )
        element = {"weight": tf.cast(places.valid, tf.float32), "row": places.row}
        if source is None:
            element["example"] = examples
        else:
            element["image"], element["label"] = source.batch(examples, span.replica_batch_size)
        return element | (augment(places, examples) if augment else {})

    options = tf.data.Options()
    options.deterministic = True
    # Nothing here is left to it, and at the end of every third pass or so its thread is not woken:
    # the end of an iterator then takes most of the time that the pass took (docs/performance.md).
    options.autotune.enabled = False
    if threads:
        options.threading.private_threadpool_size = threads
    # Each batch is decoded by several threads already. A few at once hide the disk's latency and
    # the end of a batch, where not all threads have an image left.
    return span.parts().map(make, num_parallel_calls=_BATCHES_AT_ONCE).with_options(options)


class _Augment:
    """The random draws of a batch: where to crop, whether to mirror, the colour noise."""

    def __init__(self, data: dataset.Dataset, seed: int, settings: Augmentation, count: int):
        self._settings = settings
        self._count = count
        self._offsets = settings.crop < data.image_size and settings.random_crop
        self._border = data.image_size - settings.crop
        self._crop_seed = seed_key(seed, CROP)
        self._noise_seed = seed_key(seed, COLOR_NOISE)

    def __call__(self, places: Places, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        settings, count = self._settings, self._count
        drawn: dict[str, tf.Tensor] = {}
        if self._offsets or settings.random_flip:
            chunked = settings.crop_chunk > 1
            drawn_for = places.positions // settings.crop_chunk if chunked else examples
            offset, flip = tf.numpy_function(
                self._crops, [_numbers(places.epoch, drawn_for)], [tf.int32, tf.bool], False
            )
            if self._offsets:
                drawn["offset"] = tf.ensure_shape(offset, [count, 2])
            if settings.random_flip:
                drawn["flip"] = tf.ensure_shape(flip, [count])
        if settings.color_noise_stddev:
            keys, counters = tf.numpy_function(
                lambda numbers: draws.keys_and_counters(self._noise_seed, numbers),
                [_numbers(places.epoch, examples)],
                [tf.uint64, tf.uint64],
                False,
            )
            drawn["noise"] = draws.normals(
                tf.ensure_shape(keys, [count]),
                tf.ensure_shape(counters, [count, 2]),
                count,
                settings.color_noise_stddev,
            )
        return drawn

    def _crops(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        drawn = draws.uniforms(self._crop_seed, numbers)
        # Offsets 0 ... border, both included, as the 2012 code drew them.
        offset = (drawn[:, :2] * np.float32(self._border + 1)).astype(np.int32)
        return offset, drawn[:, 2] < 0.5


def _numbers(epoch: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
    """The second word of stateless seeds, int64 [b], for examples or chunks of an epoch.

    Epoch and number share it: 2^20 epochs of 2^43 examples.
    """
    return epoch * (1 << 43) + number
