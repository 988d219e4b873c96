"""The training run: epochs of steps, each ended by evaluation, learning-rate rule and checkpoint.

The state of a run is weights + optimizer + learning-rate rule + (epoch, step). All of it is in
every checkpoint, and the data pipeline derives the rest from the seed; so a run that was killed and
started again computes the same as one that never was.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from collections.abc import Sequence
from typing import Any, NoReturn

import tensorflow as tf

from alexnet_common.memory import peak_memory
from alexnet_common.messages import log
from alexnet_common.signals import StopRequest
from alexnet_tf.devices.failures import explain
from alexnet_tf.evaluation import metrics
from alexnet_tf.evaluation.evaluator import Evaluator, Interrupted
from alexnet_tf.input import resident
from alexnet_tf.model import placement
from alexnet_tf.optim import optimizer as optimizers
from alexnet_tf.runs import checkpoint
from alexnet_tf.train_loop import automatic, divergence
from alexnet_tf.train_loop.logging.chosen import chosen
from alexnet_tf.train_loop.logging.clock import Clock
from alexnet_tf.train_loop.logging.records import Epoch, Interval, Means, Norms, Validation, given
from alexnet_tf.train_loop.logging.watchers import Watcher, Watchers
from alexnet_tf.train_loop.run import Run
from alexnet_tf.train_loop.saving import Saver
from alexnet_tf.train_loop.updates import StepResult, Updates, fetch


class Stopped(Exception):
    """A signal asked the run to stop; its checkpoint is written."""


@dataclasses.dataclass
class State:
    """What the loop holds beside the run's position: nothing of it is needed to resume.

    Attributes:
        pending: results of the calls that were not fetched from the device yet.
        last_calls: results of the last two calls, for the workers' agreement on when to stop.
    """

    pending: list[StepResult] = dataclasses.field(default_factory=list)
    last_calls: list[StepResult] = dataclasses.field(default_factory=list)


class Loop:
    """Trains one run to its end.

    Args:
        run: as `setup.set_up` returns it.
        quiet: say nothing but warnings.
        watchers: who is told of it beside the watchers that its config asks for.
        updates: its compiled updates, where they are there already.
        like: the loop of a run that differs in its seed alone (`successive.restart`), whose
            compiled parts are taken over; it is of no use afterwards.
    """

    def __init__(
        self,
        run: Run,
        quiet: bool = False,
        watchers: Sequence[Watcher] = (),
        *,
        updates: Updates | None = None,
        like: Loop | None = None,
    ):
        self.run = run
        self._quiet = quiet
        self._watchers = Watchers([*chosen(run, quiet), *watchers])
        self._updates: Updates = like._updates if like else updates or Updates(run)
        self._evaluator: Evaluator | None = like._evaluator if like else _evaluator(run)
        self._norms_now: Any = like._norms_now if like else _norms_function(run)
        if like:
            self._updates.begin(run)
        self._clock = Clock(quiet or not run.distribution.is_chief)
        self._saver = Saver(run)
        self._state = State()

    def train(self) -> dict[str, Any]:
        """Trains to the end and returns the last epoch's results, as metrics.jsonl names them.

        Of a run that has already ended, it returns the same results again.

        Raises:
            Stopped: SIGTERM or SIGINT came; everything is saved.
            TrainingDiverged: loss, gradient or weights are not finite; the last good checkpoint
                stays.
            OSError: the last checkpoint cannot be written, or several in a row: the disk is full.
            UserError: unreadable data, or another worker is gone.
        """
        run, position, watchers = self.run, self.run.position, self._watchers
        results = dict(position.last)
        self._batches = run.distribution.iterate(
            run.training_epochs if run.is_resident else run.training_batches
        )
        self._epoch_data: Any = None
        with contextlib.closing(watchers), contextlib.closing(self._clock), StopRequest() as stop:
            for epoch in range(position.epoch, run.epochs):
                end = min((epoch + 1) * run.steps_per_epoch, run.last_step)
                watchers.begin_epoch(epoch, position.step)
                while position.step < end:
                    self._update(end, stop)
                    if self._log_is_due():
                        watchers.interval(self._interval())
                    watchers.steps_done(position.step)
                    if self._must_stop(stop):
                        self._save_and_stop(stop)
                    if position.step < end and self._saver.is_due():
                        self._save()
                try:
                    record = self._end_epoch(epoch, stop)
                except Interrupted:
                    # The epoch stays unfinished: it is evaluated from the start after a resume.
                    self._save_and_stop(stop, ", within its evaluation")
                watchers.end_epoch(record)
                self._adjust_rates(record)
                self._save(best=record.is_best, last=position.step == run.last_step)
                results = record.values() | record.timing()
            watchers.end_run()
        return results

    def _update(self, end: int, stop: StopRequest) -> None:
        """One compiled call: as many steps as config.steps_per_call and the next halt allow."""
        run, position = self.run, self.run.position
        number = steps_ahead(run, end)
        self._clock.start_step()
        try:
            result = self._compute(number, bool(stop.requested))
        except tf.errors.OpError as error:
            raise explain(error, run.distribution.workers) from error
        self._state.pending.append(result)
        self._state.last_calls = [*self._state.last_calls[-1:], result]
        before = position.step % run.steps_per_epoch * run.config.batch_size
        position.step += number
        if self._log_is_due():
            self._collect()
        images = min(number * run.config.batch_size, run.examples - before)
        self._clock.end_step(images, number)

    def _compute(self, number: int, stop: bool) -> StepResult:
        """The next `number` updates, under the name that the profiler knows steps by."""
        first = self.run.position.step
        with tf.profiler.experimental.Trace("train", step_num=first + 1, _r=1):
            if self.run.is_resident:
                if self._epoch_data is None or first % self.run.steps_per_epoch == 0:
                    self._epoch_data = next(self._batches)
                self._clock.got_batch()
                return self._updates.resident(self._epoch_data, first, number, stop)
            if number == 1:
                batch = next(self._batches)
                self._clock.got_batch()
                return self._updates.one(batch, first, stop)
            # The data arrives inside the call, so that the wait for it cannot be told apart.
            self._clock.got_batch()
            return self._updates.several(self._batches, first, number, stop)

    def _must_stop(self, stop: StopRequest) -> bool:
        if self.run.distribution.workers == 1:
            return bool(stop.requested)
        # All workers must stop after the same step, or those that go on wait for ever: each passes
        # its wish into the step, and all read the sum of the wishes of the call before the last,
        # which needs no waiting for the device.
        calls = self._state.last_calls
        return len(calls) == 2 and float(calls[0].stop_requests.numpy().max()) > 0

    def _save_and_stop(self, stop: StopRequest, where: str = "") -> NoReturn:
        self._save(last=True)
        why = f"by {stop.requested}" if stop.requested else "with another worker"
        raise Stopped(f"stopped {why} at step {self.run.position.step:,}{where}")

    def _save(self, best: bool = False, last: bool = False) -> None:
        # A checkpoint holds no weights that are not finite, nor any that such a gradient touched.
        self._collect()
        self._norms()
        self._saver.save(best, last)

    def _log_is_due(self) -> bool:
        return self.run.position.step % self.run.config.log.every_steps == 0

    def _interval(self) -> Interval:
        """How the steps since the last log line went; their sums begin anew."""
        position = self.run.position
        left = self._clock.seconds_left(self.run.last_step - position.step)
        means = self._means(position.interval)
        position.interval = [0.0] * len(metrics.SUMS)
        return Interval(means, self._norms(), self._clock.interval(), left)

    def _end_epoch(self, epoch: int, stop: StopRequest) -> Epoch:
        """Evaluates where that is due, and notes the epoch's results in the position.

        Raises:
            Interrupted: a process that takes part was asked to stop; nothing is noted.
        """
        run, position = self.run, self.run.position
        self._collect()
        self._norms()  # Evaluation has nothing to say of weights that are not finite.
        means, (speed, seconds) = self._means(position.whole_epoch), self._clock.epoch()
        due = (epoch + 1) % run.config.evaluation.every_epochs == 0 or epoch + 1 == run.epochs
        validation = self._evaluate(stop) if due and self._evaluator else None
        best = position.best["val_top_1_error"] if position.best else math.inf
        is_best = validation is not None and validation.top_1_error < best
        left = self._clock.seconds_left(run.last_step - position.step)
        record = Epoch(means, speed, seconds, validation, is_best, left, peak_memory())
        if validation is not None and is_best:
            position.best = {
                "val_top_1_error": validation.top_1_error,
                "epoch": epoch + 1,
                "step": position.step,
            }
        position.whole_epoch = [0.0] * len(metrics.SUMS)
        position.epoch = epoch + 1
        position.last = record.values()
        return record

    def _evaluate(self, stop: StopRequest) -> Validation:
        run, began = self.run, time.monotonic()
        assert self._evaluator is not None
        self._watchers.begin_evaluation(run.position.step)
        try:
            with optimizers.averaged(run.optimizer, run.model.trainable_variables):
                errors = self._evaluator(lambda: bool(stop.requested))
        except tf.errors.OpError as error:
            raise explain(error, run.distribution.workers, "the evaluation") from error
        seconds = time.monotonic() - began
        return Validation(
            errors.loss,
            errors.top_1_error,
            errors.top_5_error,
            errors.count,
            seconds,
            errors.cost_means,
        )

    def _adjust_rates(self, record: Epoch) -> None:
        """Lets the rule look at the epoch's errors; the next checkpoint holds the new rate."""
        for line in self.run.rule.end_epoch(self.run.position.step, record.values()):
            if not self._quiet and self.run.distribution.is_chief:
                log(line)
        self._updates.set_rates(self.run.position.step)

    def _collect(self) -> None:
        """Adds the sums of the steps since the last call, which waits for the device.

        Raises:
            TrainingDiverged: a loss or a gradient among them is not finite.
        """
        run, position = self.run, self.run.position
        try:
            results, self._state.pending = fetch(self._state.pending), []
        except tf.errors.OpError as error:
            raise explain(error, run.distribution.workers) from error
        may_skip = run.loss_scale is not None and run.loss_scale.dynamic
        first = position.step - len(results) + 1
        for step, result in enumerate(results, first):
            verdict = divergence.of_update(
                result.loss,
                result.gradient_norm,
                may_skip=may_skip,
                skipped_before=position.skipped_in_a_row,
            )
            if verdict.diverged:
                where = f"at step {step}, found in steps {first} to {position.step}"
                raise self._diverged(verdict, where)
            if verdict.skipped:
                position.skipped_updates += 1
                position.skipped_in_a_row += 1
            else:
                position.gradient_norm, position.skipped_in_a_row = result.gradient_norm, 0
            for total in (position.interval, position.whole_epoch):
                total[:] = [old + new for old, new in zip(total, result.sums, strict=True)]

    def _norms(self) -> Norms:
        """l2 norms of all weights, the last gradient and the last update.

        Raises:
            TrainingDiverged: the weights are not finite, though the gradients were.
        """
        weights, update = self._norms_now()
        norms = Norms(
            parameter_norm=float(weights),
            gradient_norm=self.run.position.gradient_norm,
            update_norm=None if update is None else float(update),
        )
        verdict = divergence.of_norms(given(norms))
        if verdict.diverged:
            raise self._diverged(verdict, f"by step {self.run.position.step}")
        return norms

    def _diverged(self, verdict: divergence.Verdict, where: str) -> divergence.TrainingDiverged:
        folder, scale = self.run.folder, self.run.loss_scale
        return divergence.error(
            verdict,
            where,
            workdir=str(folder.folder),
            checkpoints=str(folder.checkpoints) if checkpoint.steps(folder.checkpoints) else "",
            loss_scale=None if scale is None else float(scale.factor()),
        )

    def _means(self, sums: Sequence[float]) -> Means:
        """Means from sums over examples, as `metrics.SUMS` names them."""
        run, position = self.run, self.run.position
        total = metrics.Sums(*sums)
        count = max(total.examples, 1.0)
        scale = run.loss_scale
        return Means(
            epoch=(position.step - 1) // run.steps_per_epoch + 1,
            step=position.step,
            loss=total.loss / count,
            top_1_error=total.top_1_errors / count,
            top_5_error=total.top_5_errors / count,
            learning_rate=optimizers.learning_rate(run.optimizer),
            loss_scale=None if scale is None else float(scale.factor()),
            skipped_updates=None if scale is None else position.skipped_updates,
        )


def steps_ahead(run: Run, end: int) -> int:
    """Steps until config.steps_per_call, a halt, or a change of the rates; at least one.

    Halts are for log lines, checkpoints and profiles.

    Args:
        run: at its present position.
        end: step at which the epoch ends.
    """
    step, config = run.position.step, run.config
    halts = [
        every - step % every
        for every in (config.log.every_steps, config.checkpoint.every_steps)
        if every
    ]
    if config.log.profile_steps:
        # A profile begins and ends between two calls.
        before_first, last = config.log.profile_steps[0] - 1, config.log.profile_steps[1]
        halts += [place - step for place in (before_first, last) if place > step]
    limit = min(config.steps_per_call, end - step, *halts)
    number = 1
    while number < limit and run.rule.rates_at(step + number) == run.rule.rates_at(step):
        number += 1
    return number


def _evaluator(run: Run) -> Evaluator | None:
    if "validation" not in run.data.splits:
        return None
    size = resident.decoded_bytes(run.data, run.data.split("validation").count)
    # Where the training set lies on the device, an epoch may take less time than to decode these.
    keep = run.is_resident and size <= automatic.LARGEST_SET and resident.fits_memory(size)
    return Evaluator(
        run.model,
        run.prepare,
        run.data,
        run.distribution,
        split="validation",
        table=run.table,
        views=1,
        batch_size=run.config.evaluation.batch_size,
        threads=run.config.input.threads,
        cache="memory" if keep else "none",
    )


def _norms_function(run: Run) -> Any:
    """A compiled function that returns the norms of all weights and of the last update."""
    weights = [placement.tensorflow_variable(v) for v in run.model.trainable_variables]
    # The velocity is what the paper's rule has just added to the weights.
    velocities = getattr(run.optimizer, "momentums", None) or []
    updates = [placement.tensorflow_variable(velocity) for velocity in velocities]

    @tf.function(autograph=False)
    def norms() -> tuple[tf.Tensor, tf.Tensor | None]:
        return tf.linalg.global_norm(weights), tf.linalg.global_norm(updates) if updates else None

    return norms
