"""A few dozen updates of a run, as the run itself will make them: does it diverge, does it learn?

First the run's own first updates, with its batches, rates and step: the same bits that it will
compute. Then some on one of these batches alone, with the same masks and colour noise each time, so
that its loss falls by learning only and not by chance.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import tensorflow as tf

from alexnet_common.messages import log
from alexnet_tf.devices.failures import explain
from alexnet_tf.train_loop import divergence
from alexnet_tf.train_loop.run import Run
from alexnet_tf.train_loop.updates import StepResult, Updates, fetch

# After so many the demo is dead at a rate of 3, and without normalisation (2026-11-26).
UPDATES = 40
UPDATES_ON_ONE_BATCH = 20
# By which share the loss of one batch must fall. On 2026-11-26 the demo's fell from 2.05 to 0.0004,
# AlexNet's (alexnet_paper on 400 photographs) from 5.15 to 0, and at a rate of 1e-9 not at all.
LEAST_FALL = 0.01
# The standard deviation of the outputs over images, as a share of their magnitude, below which all
# images look the same to the network. A dead one has 0.
LEAST_SPREAD = 1e-6


@dataclasses.dataclass(frozen=True)
class Trial:
    """What came of it.

    Attributes:
        losses: mean loss of each update's batch, the updates on one batch last.
        text: what was done, in words.
        failures: why the run is not worth its time; empty: it is.
    """

    losses: tuple[float, ...]
    text: str
    failures: tuple[str, ...]


def train(run: Run) -> Trial:
    """Makes the updates; `run`'s weights and optimizer are others afterwards.

    Raises:
        UserError: unreadable data, or no memory.
    """
    try:
        return _Trial(run).train()
    except tf.errors.OpError as error:
        raise explain(error, run.distribution.workers) from error


class _Trial:
    def __init__(self, run: Run):
        self.run, self._updates = run, Updates(run)
        self.losses: list[float] = []

    def train(self) -> Trial:
        run = self.run
        number = min(UPDATES, run.last_step)
        log(f"trying {number + UPDATES_ON_ONE_BATCH} updates at the recipe's rate and batch ...")
        batches = run.distribution.iterate(run.training_batches)
        for step in range(number):
            batch = next(batches)
            if failure := self._update(batch, step):
                return self._result(number, [failure])
        before = len(self.losses)
        for _ in range(UPDATES_ON_ONE_BATCH):
            if failure := self._update(batch, number - 1):
                return self._result(number, [failure])
        alone = self.losses[before:]
        return self._result(number, self._failures(batch, alone, number - 1))

    def _update(self, batch: Any, step: int) -> str:
        """One update; what is wrong with it, or nothing."""
        (result,) = fetch([self._updates.one(batch, step)])
        self.losses.append(_mean_loss(result))
        scale = self.run.loss_scale
        may_skip = scale is not None and scale.dynamic
        verdict = divergence.of_update(result.loss, result.gradient_norm, may_skip=may_skip)
        if verdict.diverged:
            return (
                f"the {verdict.diverged} became NaN or infinite at update {len(self.losses)}; "
                "try a lower config.learning_rate.initial"
            )
        return ""

    def _failures(self, batch: Any, alone: list[float], step: int) -> list[str]:
        failures = []
        spread = self._spread(batch)
        if not spread > LEAST_SPREAD:
            failures.append(
                "the network says the same of every image: its units are dead; try a lower "
                "config.learning_rate.initial"
            )
        # In a warm-up, rates are small by intention.
        least = LEAST_FALL * self.run.rule.warmup_factor(step)
        fall = 1 - alone[-1] / alone[0] if alone[0] > 0 else 1.0
        if not fall >= least:
            failures.append(
                f"the loss of one batch does not fall: {alone[0]:.4g} -> {alone[-1]:.4g} in "
                f"{len(alone)} updates; try another config.learning_rate.initial"
            )
        return failures

    def _spread(self, batch: Any) -> float:
        """Mean deviation of the outputs over the batch's images, as a share of their magnitude."""
        local = self.run.distribution.strategy.experimental_local_results
        first = {key: local(value)[0] for key, value in batch.items() if key != "noise"}
        pixels = self.run.prepare.training(first)
        outputs = np.asarray(self.run.model(pixels, training=False), np.float64)
        return float(outputs.std(axis=0).mean() / max(np.abs(outputs).mean(), 1e-30))

    def _result(self, number: int, failures: list[str]) -> Trial:
        losses = self.losses
        stream, rate = losses[:number], self.run.rule.rate_at(number - 1)
        text = (
            f"{len(losses)} updates, rate {rate:g}, batch {self.run.config.batch_size}: "
            f"loss {stream[0]:.4g} -> {stream[-1]:.4g}"
        )
        if len(losses) > number:
            text += f"; on one batch alone {losses[number]:.4g} -> {losses[-1]:.4g}"
        return Trial(tuple(losses), text, tuple(failures))


def _mean_loss(result: StepResult) -> float:
    return result.loss / result.examples if result.examples else math.nan
