"""A run: what it is made of, and where it stands."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from alexnet_tf.devices.distribution import Distribution
from alexnet_tf.evaluation.metrics import SUMS
from alexnet_tf.input import pipeline, synthetic
from alexnet_tf.input.preprocess import Preprocess
from alexnet_tf.optim import loss_scale
from alexnet_tf.optim.schedules import learning_rate
from alexnet_tf.recipes import ConfigDict
from alexnet_tf.runs import initial_weights, portable
from alexnet_tf.runs.workdir import WorkFolder
from alexnet_tf.tables import table
from alexnet_tf.train_loop import automatic
from data_prep import dataset


@dataclasses.dataclass
class Position:
    """Where a run stands, and what it has summed up since the last log line and epoch.

    Attributes:
        step: updates done.
        epoch: epochs finished, their evaluation included.
        interval, whole_epoch: sums, as `metrics.SUMS` names them.
        best: the lowest validation error so far and where it was.
        last: the last epoch's results.
        gradient_norm: of the last update that was made; None before the first.
        skipped_updates, skipped_in_a_row: left out because a gradient was not finite; in the whole
            run, and since the last one that was made.
    """

    step: int = 0
    epoch: int = 0
    interval: list[float] = dataclasses.field(default_factory=lambda: [0.0] * len(SUMS))
    whole_epoch: list[float] = dataclasses.field(default_factory=lambda: [0.0] * len(SUMS))
    best: dict[str, Any] | None = None
    last: dict[str, Any] = dataclasses.field(default_factory=dict)
    gradient_norm: float | None = None
    skipped_updates: int = 0
    skipped_in_a_row: int = 0


@dataclasses.dataclass
class Run:
    """One training run in one work folder, ready to train."""

    config: ConfigDict
    folder: WorkFolder
    distribution: Distribution
    data: dataset.Dataset
    table: table.Table
    prepare: Preprocess
    model: keras.Model
    optimizer: keras.optimizers.Optimizer
    loss_scale: loss_scale.LossScale | None
    rule: learning_rate.LearningRate
    variables: dict[str, Any]
    names: portable.Names
    examples: int
    steps_per_epoch: int
    last_step: int
    position: Position
    beginning: initial_weights.Beginning | None = None
    chosen: tuple[automatic.Choice, ...] = ()

    @property
    def crop(self) -> int:
        """Side of the network's input in pixels."""
        return self.table.input_size

    @property
    def epochs(self) -> int:
        """Epochs of the whole run; the last one may be cut short by config.train_steps."""
        return math.ceil(self.last_step / self.steps_per_epoch)

    @property
    def is_resident(self) -> bool:
        """Whether the training set lies on the device."""
        return self.prepare.resident is not None

    def training_batches(self, replicas: pipeline.Replicas) -> tf.data.Dataset:
        """Batches from the present position to the end of the run."""
        settings = self.config.input
        span = pipeline.Span(
            self.examples, self.config.batch_size, self.position.step, self.last_step, replicas
        )
        if self.config.synthetic_data:
            return synthetic.batches(self.data, span, self._augmentation())
        return pipeline.training_batches(
            self.data,
            span,
            self._augmentation(),
            seed=self.config.seed,
            threads=settings.threads,
            prefetch_batches=settings.prefetch_batches,
            cache=settings.cache,
        )

    def training_epochs(self, _: pipeline.Replicas) -> tf.data.Dataset:
        """Whole epochs of a resident set, from the one with the present position on."""
        steps = self.steps_per_epoch
        span = pipeline.Span(
            self.examples,
            self.config.batch_size,
            self.position.step // steps * steps,
            self.last_step,
        )
        return pipeline.training_epochs(
            self.data, span, self._augmentation(), seed=self.config.seed
        )

    def batch_of(self, epoch: Mapping[str, tf.Tensor], step: tf.Tensor) -> dict[str, tf.Tensor]:
        """A batch of one of `training_epochs`, as `training_batches` yields it.

        Args:
            epoch: the epoch.
            step: int64 [], counted from the start of the epoch.
        """
        size = self.config.batch_size
        # Not rows[step * size : ...], whose length XLA does not see.
        return {
            key: tf.slice(
                rows, [step * size, *[0] * (len(rows.shape) - 1)], [size, *rows.shape[1:]]
            )
            for key, rows in epoch.items()
        }

    def _augmentation(self) -> pipeline.Augmentation:
        settings = self.config.input
        return pipeline.Augmentation(
            crop=self.crop,
            random_crop=settings.random_crop,
            random_flip=settings.random_flip,
            crop_chunk=settings.crop_chunk,
            color_noise_stddev=self.prepare.noise_stddev,
        )
