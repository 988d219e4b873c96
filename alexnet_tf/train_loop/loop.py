"""The training run: epochs of steps, each ended by evaluation, learning-rate rule and checkpoint.

The state of a run is weights + optimizer + learning-rate rule + (epoch, step). All of it is in
every checkpoint, and the data pipeline derives the rest from the seed; so a run that was killed and
started again computes the same as one that never was.
"""

from __future__ import annotations

import contextlib
import time
from typing import Any, NoReturn

import keras
import numpy as np
import tensorflow as tf

from alexnet_common.signals import StopRequest
from alexnet_tf.devices.failures import explain
from alexnet_tf.evaluation import metrics
from alexnet_tf.evaluation.evaluator import Evaluator, Interrupted
from alexnet_tf.model import placement
from alexnet_tf.optim import optimizer as optimizers
from alexnet_tf.optim.schedules import learning_rate
from alexnet_tf.train_loop import divergence
from alexnet_tf.train_loop import step as steps
from alexnet_tf.train_loop.logging import callbacks, tensorboard
from alexnet_tf.train_loop.logging.clock import Clock
from alexnet_tf.train_loop.saving import Saver
from alexnet_tf.train_loop.setup import Run


class Stopped(Exception):
    """A signal asked the run to stop; its checkpoint is written."""


# A compiled step returns `SUMS`, the norm of its gradient, and how many replicas' workers want to
# stop.
NORM, WISH = len(metrics.SUMS), len(metrics.SUMS) + 1


class Loop:
    """Trains one run to its end.

    Args:
        run: as `run.set_up` returns it.
        quiet: say nothing but warnings.
    """

    def __init__(self, run: Run, quiet: bool = False):
        self.run = run
        self._quiet = run.rule.quiet = quiet
        self._clock = Clock(quiet)
        self._saver = Saver(run)
        self._pending: list[tf.Tensor] = []
        # Sums of the last two calls, for the workers' agreement on when to stop.
        self._last_call: tf.Tensor | None = None
        self._before: tf.Tensor | None = None
        self._present_rates: tuple[Any, Any, Any] | None = None
        self._logs: dict[str, Any] = dict(run.position.last)

    def train(self) -> dict[str, Any]:
        """Trains to the end and returns the last epoch's logs.

        Of a run that has already ended, it returns the same logs again.

        Raises:
            Stopped: SIGTERM or SIGINT came; everything is saved.
            TrainingDiverged: loss, gradient or weights are not finite; the last good checkpoint
                stays.
            UserError: unreadable data, or another worker is gone.
        """
        run, position = self.run, self.run.position
        watchers = self._callbacks()
        evaluator = self._evaluator()
        self._one, self._many = self._compile()
        self._norm_function = self._make_norms()
        self._batches = run.distribution.iterate(run.training_batches)
        watchers.on_train_begin()
        with contextlib.ExitStack() as left, StopRequest() as stop:
            # However it ends: no bar before the last words, no profile lost.
            for watcher in watchers.callbacks:
                if hasattr(watcher, "close"):
                    left.callback(watcher.close)
            for epoch in range(position.epoch, run.epochs):
                end = min((epoch + 1) * run.steps_per_epoch, run.last_step)
                in_epoch = position.step - epoch * run.steps_per_epoch
                watchers.on_epoch_begin(epoch, {"step_in_epoch": in_epoch})
                while position.step < end:
                    self._advance(end, watchers, bool(stop.requested))
                    if self._must_stop(bool(stop.requested)):
                        self._stop(stop)
                    if position.step < end and self._saver.is_due():
                        self._save()
                try:
                    self._finish_epoch(epoch, evaluator, watchers, stop)
                except Interrupted:
                    # The epoch stays unfinished: whoever resumes evaluates it from the start.
                    self._stop(stop, ", within its evaluation")
        watchers.on_train_end()
        return self._logs

    def _stop(self, stop: StopRequest, where: str = "") -> NoReturn:
        self._save()
        why = f"by {stop.requested}" if stop.requested else "with another worker"
        raise Stopped(f"stopped {why} at step {self.run.position.step}{where}")

    def _advance(self, end: int, watchers: Any, stopping: bool) -> None:
        """One compiled call: as many steps as config.steps_per_call and the next halt allow."""
        run, position = self.run, self.run.position
        number = self._steps_ahead(end)
        first = position.step % run.steps_per_epoch
        self._set_rates(position.step)
        controls = tf.constant([float(stopping), self._noise_factor(position.step)])
        self._clock.start_step()
        try:
            found = self._compute(number, controls)
        except tf.errors.OpError as error:
            raise explain(error, run.distribution.workers) from error
        self._pending.append(found)
        self._last_call, self._before = found, self._last_call
        position.step += number
        fresh = position.step % run.config.log.every_steps == 0
        if fresh:
            self._collect()
        images = min(number * run.config.batch_size, run.examples - first * run.config.batch_size)
        self._clock.end_step(images, number)
        if fresh:
            self._logs = self._means(position.interval) | self._norms() | self._clock.interval()
            self._logs["seconds_left"] = self._clock.seconds_left(run.last_step - position.step)
            position.interval = [0.0] * len(metrics.SUMS)
        for ahead in range(number):
            last = ahead == number - 1
            watchers.on_train_batch_begin(first + ahead)
            watchers.on_train_batch_end(first + ahead, self._logs | {"fresh": fresh and last})

    def _compute(self, number: int, controls: tf.Tensor) -> tf.Tensor:
        """The next `number` updates, under the name that the profiler knows steps by."""
        step = self.run.position.step
        first = tf.constant(step, tf.int64)
        with tf.profiler.experimental.Trace("train", step_num=step + 1, _r=1):
            if number == 1:
                batch = next(self._batches)
                self._clock.got_batch()
                return self._one(batch, first, controls)
            # The data arrives inside the call, so that the wait for it cannot be told apart.
            self._clock.got_batch()
            return self._many(self._batches, first, controls, tf.constant(number, tf.int64))

    def _steps_ahead(self, end: int) -> int:
        """Steps until config.steps_per_call, a halt, or a change of the rates."""
        step, config = self.run.position.step, self.run.config
        halts = [
            every - step % every
            for every in (config.log.every_steps, config.checkpoint.every_steps)
            if every
        ]
        limit = min(config.steps_per_call, end - step, *halts)
        number = 1
        while number < limit and self._rates(step + number) == self._rates(step):
            number += 1
        return number

    def _rates(self, step: int) -> tuple[Any, Any, Any]:
        rule = self.run.rule
        return rule.rate_at(step), rule.multipliers_at(step), rule.color_noise_at(step)

    def _set_rates(self, step: int) -> None:
        rates = self._rates(step)
        # Setting a variable costs more than asking whether it is needed.
        if rates != self._present_rates:
            learning_rate.apply(self.run.rule, self.run.optimizer, step)
            self._present_rates = rates

    def _noise_factor(self, step: int) -> float:
        """Standard deviation of the colour noise in units of the recipe's."""
        stddev = self.run.rule.color_noise_at(step)
        drawn = self.run.prepare.noise_stddev
        return 1.0 if stddev is None or not drawn else stddev / drawn

    def _must_stop(self, requested: bool) -> bool:
        if self.run.distribution.workers == 1:
            return requested
        # All workers must stop after the same step, or those that go on wait for ever: each passes
        # its wish into the step, and all read the sum of the wishes of the call before the last,
        # which needs no waiting for the device.
        return self._before is not None and float(self._before.numpy()[..., WISH].max()) > 0

    def _finish_epoch(
        self, epoch: int, evaluator: Evaluator | None, watchers: Any, stop: StopRequest
    ) -> None:
        run, position = self.run, self.run.position
        self._collect()
        self._norms()  # Evaluation has nothing to say of weights that are not finite.
        logs = self._means(position.whole_epoch) | self._clock.epoch()
        due = (epoch + 1) % run.config.evaluation.every_epochs == 0 or epoch + 1 == run.epochs
        if evaluator is not None and due:
            began = time.monotonic()
            try:
                with optimizers.averaged(run.optimizer, run.model.trainable_variables):
                    errors = evaluator(lambda: bool(stop.requested))
            except tf.errors.OpError as error:
                raise explain(error, run.distribution.workers) from error
            logs |= {
                "val_loss": errors.loss,
                "val_top_1_error": errors.top_1_error,
                "val_top_5_error": errors.top_5_error,
                "val_count": errors.count,
                "evaluation_seconds": time.monotonic() - began,
            }
        position.whole_epoch = [0.0] * len(metrics.SUMS)
        position.epoch = epoch + 1
        watchers.on_epoch_end(epoch, logs)
        self._logs = logs
        position.last = {key: value for key, value in logs.items() if key not in callbacks.TIMING}
        reached = logs.get("val_top_1_error")
        improved = reached is not None and (
            position.best is None or reached < position.best["val_top_1_error"]
        )
        if improved:
            position.best = {"val_top_1_error": reached, "epoch": epoch + 1, "step": position.step}
        self._save(best=improved)

    def _collect(self) -> None:
        """Adds the sums of the steps since the last call, which waits for the device.

        Raises:
            TrainingDiverged: a loss or a gradient among them is not finite.
        """
        if not self._pending:
            return
        position = self.run.position
        try:
            found = np.concatenate([np.atleast_2d(tensor.numpy()) for tensor in self._pending])
        except tf.errors.OpError as error:
            raise explain(error, self.run.distribution.workers) from error
        self._pending = []
        first = position.step - len(found) + 1
        for step, row in enumerate(found.astype(np.float64), first):
            window = f"at step {step}, found in steps {first} to {position.step}"
            sums = row[: len(metrics.SUMS)]
            if not np.isfinite(sums[0]):
                raise divergence.report(self.run, "loss", window)
            divergence.note_gradient(self.run, float(row[NORM]), window)
            for total in (position.interval, position.whole_epoch):
                total[:] = [old + float(new) for old, new in zip(total, sums, strict=True)]

    def _means(self, sums: list[float]) -> dict[str, Any]:
        run, position = self.run, self.run.position
        count = max(sums[-1], 1.0)
        found = {
            "epoch": (position.step - 1) // run.steps_per_epoch + 1,
            "step": position.step,
            "loss": sums[0] / count,
            "top_1_error": sums[1] / count,
            "top_5_error": sums[2] / count,
            "learning_rate": optimizers.learning_rate(run.optimizer),
        }
        if run.loss_scale is not None:
            found["loss_scale"] = float(run.loss_scale.factor())
            found["skipped_updates"] = position.skipped_updates
        return found

    def _norms(self) -> dict[str, float]:
        """l2 norms of all weights, the last gradient and the last update, for the operator.

        Raises:
            TrainingDiverged: the weights are not finite, though the gradients were.
        """
        position = self.run.position
        weights, update = self._norm_function()
        found = {"parameter_norm": float(weights)}
        if position.gradient_norm is not None:
            found["gradient_norm"] = position.gradient_norm
        if update is not None:
            found["update_norm"] = float(update)
        divergence.check_norms(self.run, found)
        return found

    def _make_norms(self) -> Any:
        weights = [placement.tensorflow_variable(v) for v in self.run.model.trainable_variables]
        # The velocity is what the paper's rule has just added to the weights.
        velocities = getattr(self.run.optimizer, "momentums", None) or []
        updates = [placement.tensorflow_variable(velocity) for velocity in velocities]

        @tf.function(autograph=False)
        def norms() -> tuple[tf.Tensor, tf.Tensor | None]:
            return tf.linalg.global_norm(weights), (
                tf.linalg.global_norm(updates) if updates else None
            )

        return norms

    def _save(self, best: bool = False) -> None:
        # A checkpoint holds no weights that are not finite, nor any that such a gradient touched.
        self._collect()
        self._norms()
        self._saver.save(best)

    def _compile(self) -> tuple[Any, Any]:
        """The update of one global batch, and of several in one call.

        Beside the batch they take the global step and two controls: whether this worker wants to
        stop, and the factor on the colour noise. They return, per step, the `SUMS`, the norm of the
        gradient (at `NORM`) and how many replicas' workers want to stop (at `WISH`).
        """
        run, scale = self.run, self.run.loss_scale
        config, distribution = run.config, run.distribution
        replica_step = steps.make_train_step(
            run.model,
            run.optimizer,
            run.prepare,
            table=run.table,
            seed=config.seed,
            batch_size=config.batch_size,
            accumulation_steps=config.accumulation_steps,
            clip_global_norm=config.optimizer.clip_global_norm,
            skip_not_finite=scale is not None and scale.dynamic,
            placed_gradients=bool(distribution.columns),
        )
        if config.jit_compile:
            replica_step = tf.function(replica_step, jit_compile=True, autograph=False)

        def update(batch: Any, step: tf.Tensor, controls: tf.Tensor) -> tf.Tensor:
            before = (step % run.steps_per_epoch) * config.batch_size
            count = tf.cast(tf.minimum(run.examples - before, config.batch_size), tf.float32)

            factor = None if scale is None else scale.factor()

            def one_replica(batch: Any, step: Any, count: Any, controls: Any, factor: Any) -> Any:
                sums, norm = replica_step(batch, step, count, controls[1], factor)
                return sums, controls[:1], norm

            arguments = (batch, step, count, controls, factor)
            sums, wishes, norms = distribution.strategy.run(one_replica, arguments)
            # It is of the sum over all replicas, and so the same on each.
            norm = distribution.strategy.experimental_local_results(norms)[0]
            if scale is not None:
                scale.adjust(tf.math.is_finite(norm))
            return tf.concat([distribution.sum(sums), norm[None], distribution.sum(wishes)], 0)

        @tf.function
        def several(
            batches: Any, step: tf.Tensor, controls: tf.Tensor, number: tf.Tensor
        ) -> tf.Tensor:
            found = tf.TensorArray(tf.float32, size=tf.cast(number, tf.int32))
            for ahead in tf.range(number):
                sums = update(next(batches), step + ahead, controls)
                found = found.write(tf.cast(ahead, tf.int32), sums)
            return found.stack()

        return tf.function(update, autograph=False), several

    def _evaluator(self) -> Evaluator | None:
        run = self.run
        if "validation" not in run.data.splits:
            return None
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
        )

    def _callbacks(self) -> keras.callbacks.CallbackList:
        run, log = self.run, self.run.config.log
        chosen: list[keras.callbacks.Callback] = []
        if run.distribution.is_chief:
            chosen.append(callbacks.MetricsFile(run.folder.metrics_file))
            if log.tensorboard:
                chosen.append(
                    tensorboard.TensorBoard(run.folder.tensorboard, log.histograms_every_epochs)
                )
            if log.profile_steps:
                chosen.append(
                    tensorboard.Profile(
                        run.folder.tensorboard,
                        log.profile_steps,
                        run.steps_per_epoch,
                        quiet=self._quiet,
                    )
                )
            chosen.append(callbacks.Progress(run.steps_per_epoch, run.epochs, quiet=self._quiet))
            if run.table.cost is None or run.table.cost.kind == "logreg":
                # Of other costs ln(classes) may be a good value.
                chosen.append(callbacks.StuckLoss(run.data.num_classes))
            chosen.append(
                callbacks.Summary(run.folder.metrics_file, log.expected, quiet=self._quiet)
            )
        # Last, so that the log of an epoch holds the rate that it was trained with.
        chosen.append(run.rule)
        watchers = keras.callbacks.CallbackList(
            chosen, model=run.model, epochs=run.epochs, steps=run.steps_per_epoch, verbose=0
        )
        # Keras 2 warns of callbacks that take longer than a batch, which it measures as nothing.
        watchers._check_timing = False
        return watchers
