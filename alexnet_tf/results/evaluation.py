"""Errors on a split: every image exactly once, on any number of replicas and views."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf

from alexnet_tf.input import pipeline, preprocess
from alexnet_tf.training import step as steps
from alexnet_tf.training.distribution import Distribution
from data_prep import command, dataset


@dataclasses.dataclass(frozen=True)
class Errors:
    """Totals over `count` images; the properties are means."""

    loss_sum: float
    top_1_errors: int
    top_5_errors: int
    count: int

    @property
    def loss(self) -> float:
        """Mean cross-entropy in nats."""
        return self.loss_sum / self.count

    @property
    def top_1_error(self) -> float:
        """Share of images whose best class is wrong, 0..1."""
        return self.top_1_errors / self.count

    @property
    def top_5_error(self) -> float:
        """Share of images whose class is not among the five best, 0..1."""
        return self.top_5_errors / self.count


class Evaluator:
    """Evaluates a model on one split; compiled once, called after every epoch.

    Args:
        model: from float32 pixels to logits.
        prepare: pixels to network input, from the training dataset's mean.
        data: the dataset that holds the split.
        split: "validation" or "train".
        views: 1 (centre) or 10.
        batch_size: images per step, over all replicas.
        examples: how many images of the split; None for all.
    """

    def __init__(
        self,
        model: keras.Model,
        prepare: preprocess.Preprocess,
        data: dataset.Dataset,
        distribution: Distribution,
        *,
        split: str,
        crop: int,
        views: int,
        batch_size: int,
        examples: int | None = None,
        threads: int = 0,
    ):
        available = data.split(split).count
        self.examples = min(examples, available) if examples else available
        if self.examples == 0:
            raise command.UserError(f"{data.directory}: the split {split} has no images")
        self.views = views
        self._data, self._split = data, split
        self._distribution = distribution
        self._batch_size = batch_size
        self._threads = threads
        step = steps.make_evaluation_step(model, prepare, crop=crop, views=views)

        @tf.function(autograph=False)
        def compiled(batch):
            per_replica, probabilities = distribution.strategy.run(step, args=(batch,))
            return distribution.sum(per_replica), probabilities

        self._step = compiled

    def __call__(self) -> Errors:
        """Runs over the split once.

        Raises:
            RuntimeError: not every image was seen exactly once, which would be our own error.
        """
        total = np.zeros(len(steps.SUMS), np.float64)
        for batch in self._batches():
            sums, _ = self._step(batch)
            total += sums.numpy()
        errors = Errors(float(total[0]), int(total[1]), int(total[2]), int(total[3]))
        if errors.count != self.examples:
            raise RuntimeError(f"evaluated {errors.count} of {self.examples} images")
        return errors

    def probabilities(self) -> np.ndarray:
        """Averaged probabilities of every image in order, float32 [examples, classes].

        For a single replica, whose batches come in the order of the split.
        """
        parts = []
        for batch in self._batches():
            _, probabilities = self._step(batch)
            parts.append(probabilities.numpy()[batch["weight"].numpy() > 0])
        return np.concatenate(parts)

    def _batches(self) -> Iterator:
        return self._distribution.iterate(
            lambda replicas: pipeline.evaluation_batches(
                self._data,
                self._split,
                examples=self.examples,
                batch_size=self._batch_size,
                replicas=replicas,
                threads=self._threads,
            )
        )
