"""Errors on a split: every image exactly once, on any number of replicas and views."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import keras
import numpy as np
import tensorflow as tf

from alexnet_common.errors import UserError
from alexnet_tf.devices.distribution import Distribution
from alexnet_tf.evaluation import metrics, predict
from alexnet_tf.input import pipeline, preprocess
from alexnet_tf.model import costs
from alexnet_tf.tables.table import Table
from data_prep import dataset


@dataclasses.dataclass(frozen=True)
class Errors:
    """Totals over `count` images; the properties are means."""

    loss_sum: float
    top_1_errors: int
    top_5_errors: int
    count: int

    @classmethod
    def from_sums(cls, sums: np.ndarray) -> Errors:
        """Totals from the vector that `metrics.SUMS` names."""
        return cls(float(sums[0]), int(sums[1]), int(sums[2]), int(sums[3]))

    def as_dict(self) -> dict[str, float | int]:
        """Shares, mean loss and counts, for JSON."""
        return {
            "top_1_error": self.top_1_error,
            "top_5_error": self.top_5_error,
            "loss": self.loss,
            "top_1_errors": self.top_1_errors,
            "top_5_errors": self.top_5_errors,
            "count": self.count,
        }

    @property
    def loss(self) -> float:
        """Mean cost; cross-entropy in nats, unless the network says otherwise."""
        return self.loss_sum / self.count

    @property
    def top_1_error(self) -> float:
        """Share of images whose best class is wrong, 0..1."""
        return self.top_1_errors / self.count

    @property
    def top_5_error(self) -> float:
        """Share of images whose class is not among the five best, 0..1."""
        return self.top_5_errors / self.count


class Interrupted(Exception):
    """A process that takes part in an evaluation asked to stop it."""


@dataclasses.dataclass(frozen=True, eq=False)
class Collected:
    """What was said of every image of a split, in its order.

    Attributes:
        errors: the totals.
        probabilities: float32 [N, classes], averaged over the views.
        labels: int32 [N], from 0.
    """

    errors: Errors
    probabilities: np.ndarray
    labels: np.ndarray


def errors_of(table: Table, probabilities: np.ndarray, labels: np.ndarray) -> Errors:
    """Errors of given probabilities: those of an ensemble, say.

    Args:
        table: the network, for its cost.
        probabilities: float32 [N, classes].
        labels: int32 [N], from 0.
    """
    total = np.zeros(len(metrics.SUMS), np.float64)
    # In parts, since sums of float32 are exact counts only as long as they are small.
    for first in range(0, len(labels), 4096):
        part = slice(first, first + 4096)
        label = tf.constant(labels[part], tf.int32)
        scores = tf.constant(probabilities[part], tf.float32)
        losses = costs.of_probabilities(table, scores, label)
        total += metrics.sums(losses, scores, label, tf.ones_like(losses)).numpy()
    return Errors.from_sums(total)


class Evaluator:
    """Evaluates a model on one split; compiled once, called after every epoch.

    Args:
        model: from float32 pixels to what the last layer yields.
        prepare: pixels to network input, from the training dataset's mean.
        data: the dataset that holds the split.
        split: "validation" or "train".
        table: the network, for its input size and its cost.
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
        table: Table,
        views: int,
        batch_size: int,
        examples: int | None = None,
        threads: int = 0,
    ):
        available = data.split(split).count
        self.examples = min(examples, available) if examples else available
        if self.examples == 0:
            raise UserError(f"{data.directory}: the split {split} has no images")
        self.views = views
        self._distribution = distribution
        span = pipeline.Span(self.examples, batch_size)
        # Made once: each has its own open files, and its own graphs.
        self._split_batches = distribution.batches(
            lambda replicas: pipeline.evaluation_batches(
                data, split, dataclasses.replace(span, replicas=replicas), threads=threads
            )
        )
        step = predict.make_evaluation_step(model, prepare, table=table, views=views)

        def one_replica(batch, wish):
            sums, probabilities = step(batch)
            return tf.concat([sums, wish], 0), probabilities

        @tf.function(autograph=False)
        def compiled(batch, wish):
            per_replica, probabilities = distribution.strategy.run(one_replica, args=(batch, wish))
            return distribution.sum(per_replica), probabilities

        self._step = compiled

    def __call__(self, wants_to_stop: Callable[[], bool] = lambda: False) -> Errors:
        """Runs over the split once.

        Args:
            wants_to_stop: asked before each batch. All workers add their answers up within the
                step, so that they stop after the same one.

        Raises:
            Interrupted: a worker wants to stop.
            RuntimeError: not every image was seen exactly once, which would be our own error.
        """
        total = np.zeros(len(metrics.SUMS), np.float64)
        for batch in self._batches():
            found, _ = self._step(batch, tf.constant([float(wants_to_stop())]))
            *sums, wishes = found.numpy()
            if wishes:
                raise Interrupted
            total += sums
        return self._checked(Errors.from_sums(total))

    def collect(self, progress: Callable[[int], None] | None = None) -> Collected:
        """Runs over the split once and keeps what was said of every image, in the split's order.

        Args:
            progress: told after each batch how many images it held.

        Raises:
            RuntimeError: not every image was seen exactly once.
            ValueError: several replicas, whose batches do not come in order.
        """
        if self._distribution.replicas.total > 1:
            raise ValueError("probabilities are collected on one replica only")
        total = np.zeros(len(metrics.SUMS), np.float64)
        probabilities, labels = [], []
        for batch in self._batches():
            sums, said = self._step(batch, tf.zeros([1]))
            total += sums.numpy()[:-1]
            real = batch["weight"].numpy() > 0
            probabilities.append(said.numpy()[real])
            labels.append(batch["label"].numpy()[real])
            if progress is not None:
                progress(int(real.sum()))
        errors = self._checked(Errors.from_sums(total))
        return Collected(errors, np.concatenate(probabilities), np.concatenate(labels))

    def probabilities(self) -> np.ndarray:
        """Averaged probabilities of every image in the split's order, float32 [N, classes]."""
        return self.collect().probabilities

    def _checked(self, errors: Errors) -> Errors:
        if errors.count != self.examples:
            raise RuntimeError(f"evaluated {errors.count} of {self.examples} images")
        return errors

    def _batches(self) -> Iterator:
        return self._distribution.once(self._split_batches)
