"""Errors on a split: every image exactly once, on any number of replicas and views."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from alexnet_common.errors import UserError
from alexnet_tf.devices.distribution import Distribution
from alexnet_tf.evaluation import metrics, predict
from alexnet_tf.input import pipeline, preprocess
from alexnet_tf.model import costs
from alexnet_tf.tables import rows
from alexnet_tf.tables.table import Table
from data_prep import dataset


@dataclasses.dataclass(frozen=True)
class Errors:
    """Totals over `count` images; the properties are means.

    Attributes:
        loss_sum: of the costs' sum.
        top_1_errors, top_5_errors: images whose class is not the best, or among the five best.
        count: images.
        costs: of a network with several costs, by their names: the sum of the cost, and the top-1
            errors of its own scores, where it is a softmax (else None).
    """

    loss_sum: float
    top_1_errors: int
    top_5_errors: int
    count: int
    costs: dict[str, tuple[float, int | None]] = dataclasses.field(default_factory=dict)

    def __add__(self, other: Errors) -> Errors:
        """Totals over the images of both."""
        return Errors(
            self.loss_sum + other.loss_sum,
            self.top_1_errors + other.top_1_errors,
            self.top_5_errors + other.top_5_errors,
            self.count + other.count,
            {
                name: (loss + other.costs[name][0], _sum(wrong, other.costs[name][1]))
                for name, (loss, wrong) in self.costs.items()
            },
        )

    @classmethod
    def from_sums(cls, sums: np.ndarray, costs: Sequence[rows.Cost] = ()) -> Errors:
        """Totals from the vector that `metrics.SUMS` names, and behind them two for each cost."""
        first, others = sums[: len(metrics.SUMS)], sums[len(metrics.SUMS) :]
        of_costs = {
            cost.name: (float(loss), int(wrong) if predict.is_softmax(cost) else None)
            for cost, (loss, wrong) in zip(costs, np.reshape(others, (-1, 2)), strict=True)
        }
        return cls(float(first[0]), int(first[1]), int(first[2]), int(first[3]), of_costs)

    @property
    def cost_means(self) -> dict[str, dict[str, float]]:
        """Of several costs by their names: `loss`, and of a softmax `top_1_error`."""
        return {
            name: {"loss": loss / self.count}
            | ({} if wrong is None else {"top_1_error": wrong / self.count})
            for name, (loss, wrong) in self.costs.items()
        }

    def as_dict(self) -> dict[str, Any]:
        """Shares, mean loss and counts, for JSON; of several costs `costs` as well."""
        costs = {"costs": self.cost_means} if self.costs else {}
        return {
            "top_1_error": self.top_1_error,
            "top_5_error": self.top_5_error,
            "loss": self.loss,
            "top_1_errors": self.top_1_errors,
            "top_5_errors": self.top_5_errors,
            "count": self.count,
            **costs,
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


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other


class Interrupted(Exception):
    """A process that takes part in an evaluation asked to stop it."""


@dataclasses.dataclass(frozen=True, eq=False)
class Scored:
    """Scores of some consecutive images of a split.

    Attributes:
        first: the number of the first of them in the split, from 0.
        labels: int32 [n], from 0.
        probabilities: float32 [n, classes] by number of views averaged over: 1, and 10 where ten
            were asked for.
    """

    first: int
    labels: np.ndarray
    probabilities: dict[int, np.ndarray]


@dataclasses.dataclass(frozen=True, eq=False)
class Collected:
    """Scores of every image of a split, in its order.

    Attributes:
        labels: int32 [N], from 0.
        probabilities: float32 [N, classes] by number of views, as in `Scored`.
        errors: the totals, by number of views.
    """

    labels: np.ndarray
    probabilities: dict[int, np.ndarray]
    errors: dict[int, Errors]


def errors_of(table: Table, probabilities: np.ndarray, labels: np.ndarray) -> Errors:
    """Errors of given probabilities: those of an ensemble, say.

    Of several costs the loss is that of the classes' scores alone: no other scores are given.

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
        views: 1 (centre), or 10, of which the centre alone is reported too.
        batch_size: images per step, over all replicas.
        examples: how many images of the split; None for all.
        threads: that read and decode; 0 for one per core.
        cache: "none", or "memory": images are decoded once and kept.
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
        cache: str = "none",
    ):
        available = data.split(split).count
        self.examples = min(examples, available) if examples else available
        if self.examples == 0:
            raise UserError(f"{data.directory}: the split {split} has no images")
        self.views = views
        self.view_counts = predict.view_counts(views)
        self._distribution = distribution
        span = pipeline.Span(self.examples, batch_size)
        # Made once: every dataset has open files and graphs of its own.
        self._split_batches = distribution.batches(
            lambda replicas: pipeline.evaluation_batches(
                data,
                split,
                dataclasses.replace(span, replicas=replicas),
                threads=threads,
                cache=cache,
            )
        )
        step = predict.make_evaluation_step(predict.Scorer(model, prepare, table, views))

        def one_replica(batch, wish):
            sums, probabilities = step(batch)
            return tf.concat([tf.reshape(sums, [-1]), wish], 0), probabilities

        @tf.function(autograph=False)
        def compiled(batch, wish):
            per_replica, probabilities = distribution.strategy.run(one_replica, args=(batch, wish))
            return distribution.sum(per_replica), probabilities

        self._step = compiled
        self._costs = costs.all_costs(table) if table.more_costs else ()
        # By number of views, of the last time that the split was run over to its end.
        self.errors: dict[int, Errors] = {}

    def __call__(self, wants_to_stop: Callable[[], bool] = lambda: False) -> Errors:
        """Runs over the split once, and returns the errors of all views together.

        Args:
            wants_to_stop: asked before each batch. All workers add their answers up within the
                step, so that they stop after the same one.

        Raises:
            Interrupted: a worker wants to stop.
            RuntimeError: not every image was seen exactly once, which would be our own error.
        """
        for _ in self._run(wants_to_stop):
            pass
        return self.errors[self.views]

    def scored(self) -> Iterator[Scored]:
        """Runs over the split once, and yields the scores of its images, in the split's order.

        Memory holds one batch at a time. At the end `errors` has the totals.

        Raises:
            RuntimeError: not every image was seen exactly once.
            ValueError: several replicas, whose batches do not come in order.
        """
        if self._distribution.replicas.total > 1:
            raise ValueError("probabilities are collected on one replica only")
        first = 0
        for batch, probabilities in self._run():
            real = batch["weight"].numpy() > 0
            labels = batch["label"].numpy()[real]
            of_views = probabilities.numpy()[:, real]
            yield Scored(first, labels, dict(zip(self.view_counts, of_views, strict=True)))
            first += len(labels)

    def collect(self, progress: Callable[[int], None] | None = None) -> Collected:
        """All that `scored` yields, in one piece.

        Args:
            progress: told after each batch how many images it held.
        """
        labels, probabilities = [], []
        for part in self.scored():
            labels.append(part.labels)
            probabilities.append(part.probabilities)
            if progress is not None:
                progress(len(part.labels))
        joined = {
            views: np.concatenate([part[views] for part in probabilities])
            for views in self.view_counts
        }
        return Collected(np.concatenate(labels), joined, self.errors)

    def _run(self, wants_to_stop: Callable[[], bool] = lambda: False) -> Iterator[tuple[Any, Any]]:
        """Yields batches and their probabilities; then the totals are in `errors`."""
        width = len(metrics.SUMS) + 2 * len(self._costs)
        totals = np.zeros((len(self.view_counts), width), np.float64)
        for batch in self._batches():
            totals_and_wish, probabilities = self._step(
                batch, tf.constant([float(wants_to_stop())])
            )
            *sums, wishes = totals_and_wish.numpy()
            if wishes:
                raise Interrupted
            totals += np.reshape(sums, totals.shape)
            yield batch, probabilities
        errors = [Errors.from_sums(total, self._costs) for total in totals]
        for total in errors:
            if total.count != self.examples:
                raise RuntimeError(f"evaluated {total.count:,} of {self.examples:,} images")
        self.errors = dict(zip(self.view_counts, errors, strict=True))

    def _batches(self) -> Iterator:
        return self._distribution.once(self._split_batches)
