"""The training run, top to bottom: set up, restore, then epochs of steps, each ended by evaluation.

The state of a run is weights + optimizer + learning-rate rule + (epoch, step). All of it is in every
checkpoint, and the data pipeline derives the rest from the seed; so a run that was killed and
started again computes the same as one that never was.
"""

from __future__ import annotations

import dataclasses
import math
import time
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from alexnet_tf.config import ConfigDict
from alexnet_tf.input import pipeline
from alexnet_tf.input.preprocess import Preprocess
from alexnet_tf.network import build, table
from alexnet_tf.results.evaluation import Evaluator
from alexnet_tf.training import (
    callbacks,
    checkpoint,
    learning_rate,
    optimizer as optimizers,
    step as steps,
)
from alexnet_tf.training.clock import Clock
from alexnet_tf.training.distribution import Distribution
from alexnet_tf.training.distribution import make as make_distribution
from alexnet_tf.training.stopping import StopRequest
from alexnet_tf.training.workdir import WorkFolder, truncate_metrics
from data_prep import command, dataset

# Consecutive failures to write a checkpoint after which a run no longer goes on hoping.
MAX_FAILED_SAVES = 5


class TrainingDiverged(command.UserError):
    """The loss is no longer a number."""


class Stopped(Exception):
    """A signal asked the run to stop; its checkpoint is written."""


@dataclasses.dataclass
class Position:
    """Where a run stands, and what it has summed up since the last log line and epoch."""

    step: int = 0
    epoch: int = 0
    interval: list[float] = dataclasses.field(default_factory=lambda: [0.0] * len(steps.SUMS))
    whole_epoch: list[float] = dataclasses.field(default_factory=lambda: [0.0] * len(steps.SUMS))
    best: dict[str, Any] | None = None
    # The last epoch's results, for the summary of a run that is started again after its end.
    last: dict[str, Any] = dataclasses.field(default_factory=dict)


class Run:
    """One training run in one work folder.

    Args:
        config: a resolved recipe.
        folder: its work folder.

    Raises:
        UserError: bad config, dataset or work folder, before anything is written.
    """

    def __init__(self, config: ConfigDict, folder: WorkFolder):
        self.config = config
        self.folder = folder
        self.distribution: Distribution = make_distribution(config)
        self.data = dataset.load(config.data_dir)
        self.table = table.from_config(config.network, self.data.num_classes)
        self.crop = self.table.input_size
        self.prepare = Preprocess(self.data, config.preprocess, self.crop)
        self.rule = learning_rate.make(config)
        self.examples = _examples(config, self.data.split("train").count)
        self.steps_per_epoch = pipeline.steps_per_epoch(self.examples, config.batch_size)
        self.last_step = config.train_steps or config.train_epochs * self.steps_per_epoch
        self.epochs = math.ceil(self.last_step / self.steps_per_epoch)

        with self.distribution.strategy.scope():
            self.model = build.build(self.table, seed=config.seed)
            self.optimizer = optimizers.make(config, build.variable_settings(self.model))
            self.optimizer.build(self.model.trainable_variables)
        # Keras' callbacks look for the optimizer on the model.
        self.model.optimizer = self.optimizer
        self.variables = build.named_variables(self.model)
        self.position = Position()

        folder.open(config)
        self._restore()

    def train(self) -> dict[str, Any]:
        """Trains to the end and returns the last epoch's logs.

        Called once; of a run that has already ended, it returns the same logs again.

        Raises:
            Stopped: SIGTERM or SIGINT came; everything is saved.
            TrainingDiverged: the loss is not finite; the last good checkpoint stays.
        """
        watchers = self._callbacks()
        evaluator = self._evaluator()
        train_step = self._compiled_step()
        self._clock = Clock()
        self._saved_at = time.monotonic()
        self._failed_saves = 0
        self._pending: list[tf.Tensor] = []
        self._logs: dict[str, Any] = dict(self.position.last)
        batches = self.distribution.iterate(self._training_batches)
        watchers.on_train_begin()
        with StopRequest() as stop:
            for epoch in range(self.position.epoch, self.epochs):
                end = min((epoch + 1) * self.steps_per_epoch, self.last_step)
                step_in_epoch = self.position.step - epoch * self.steps_per_epoch
                watchers.on_epoch_begin(epoch, {"step_in_epoch": step_in_epoch})
                while self.position.step < end:
                    self._one_step(train_step, batches, watchers)
                    if stop.requested:
                        self._save()
                        raise Stopped(f"stopped by {stop.requested} at step {self.position.step}")
                    if self.position.step < end:
                        self._save_if_due()
                self._finish_epoch(epoch, evaluator, watchers)
        watchers.on_train_end()
        return self._logs

    def first_page(self) -> str:
        """What a run is, in a few lines: where it computes, on what, and where everything goes."""
        parameters = sum(int(np.prod(variable.shape)) for variable in self.variables.values())
        rows = pipeline.per_replica_batch_size(
            self.config.batch_size, self.distribution.replicas.total
        )
        validation = self.data.splits.get("validation")
        position = self.position
        lines = [
            f"recipe         {self.config.name}, seed {self.config.seed}",
            f"computes on    {self.distribution.description}, TensorFlow {tf.__version__}, "
            f"Keras {keras.__version__}",
            f"network        {self.table.name}: {parameters:,} parameters, input "
            f"{self.crop}x{self.crop}, {self.data.num_classes} classes",
            f"data           {self.data.directory}: {self.examples:,} training images, "
            f"{validation.count if validation else 0:,} validation images, "
            f"{self.data.image_size}x{self.data.image_size}",
            f"batch          {self.config.batch_size} in all, {rows} per replica; "
            f"{self.steps_per_epoch:,} steps per epoch",
            f"length         {self.epochs} epochs, {self.last_step:,} steps",
            f"work folder    {self.folder.folder}",
        ]
        if position.step >= self.last_step:
            lines.append("finished       nothing is left to do; more epochs: --config.train_epochs=N")
        elif position.step:
            lines.append(f"resumes        after epoch {position.epoch}, step {position.step:,}")
        return "\n".join(lines)

    def _one_step(self, train_step: Any, batches: Any, watchers: Any) -> None:
        position = self.position
        in_epoch = position.step % self.steps_per_epoch
        count = min(self.config.batch_size, self.examples - in_epoch * self.config.batch_size)
        self._clock.start_step()
        batch = _next(batches)
        self._clock.got_batch()
        watchers.on_train_batch_begin(in_epoch)
        sums = train_step(
            batch, tf.constant(position.step, tf.int64), tf.constant(count, tf.float32)
        )
        self._pending.append(sums)
        position.step += 1
        fresh = position.step % self.config.log.every_steps == 0
        if fresh:
            self._collect()
        self._clock.end_step(count)
        if fresh:
            self._logs = self._means(position.interval) | self._clock.interval()
            self._logs["seconds_left"] = self._clock.seconds_left(self.last_step - position.step)
            position.interval = [0.0] * len(steps.SUMS)
        watchers.on_train_batch_end(in_epoch, self._logs | {"fresh": fresh})

    def _finish_epoch(self, epoch: int, evaluator: Evaluator | None, watchers: Any) -> None:
        position = self.position
        self._collect()
        logs = self._means(position.whole_epoch) | self._clock.epoch()
        due = (epoch + 1) % self.config.evaluation.every_epochs == 0 or epoch + 1 == self.epochs
        if evaluator is not None and due:
            began = time.monotonic()
            errors = evaluator()
            logs |= {
                "val_loss": errors.loss,
                "val_top_1_error": errors.top_1_error,
                "val_top_5_error": errors.top_5_error,
                "val_count": errors.count,
                "evaluation_seconds": time.monotonic() - began,
            }
        position.whole_epoch = [0.0] * len(steps.SUMS)
        position.epoch = epoch + 1
        watchers.on_epoch_end(epoch, logs)
        self._logs = logs
        position.last = {key: value for key, value in logs.items() if key not in callbacks.TIMING}
        error = logs.get("val_top_1_error")
        improved = error is not None and (
            position.best is None or error < position.best["val_top_1_error"]
        )
        if improved:
            position.best = {"val_top_1_error": error, "epoch": epoch + 1, "step": position.step}
        self._save(best=improved)

    def _collect(self) -> None:
        """Adds the sums of the steps since the last call, which waits for the device.

        Raises:
            TrainingDiverged: a loss among them is not finite.
        """
        if not self._pending:
            return
        position = self.position
        first = position.step - len(self._pending)
        for sums in (tensor.numpy().astype(np.float64) for tensor in self._pending):
            if not np.isfinite(sums[0]):
                raise TrainingDiverged(
                    f"the loss became NaN or infinite within steps {first} to {position.step}; the "
                    f"checkpoints in {self.folder.checkpoints} are from before; try a lower "
                    "config.learning_rate.initial"
                )
            for total in (position.interval, position.whole_epoch):
                total[:] = [old + float(new) for old, new in zip(total, sums, strict=True)]
        self._pending = []

    def _means(self, sums: list[float]) -> dict[str, Any]:
        count = max(sums[-1], 1.0)
        means = {name: value / count for name, value in zip(steps.SUMS[:-1], sums, strict=False)}
        position = self.position
        return {
            "epoch": (position.step - 1) // self.steps_per_epoch + 1,
            "step": position.step,
            "loss": means["loss"],
            "top_1_error": means["top_1_errors"],
            "top_5_error": means["top_5_errors"],
            "learning_rate": optimizers.learning_rate(self.optimizer),
        }

    def _save_if_due(self) -> None:
        settings = self.config.checkpoint
        by_step = settings.every_steps and self.position.step % settings.every_steps == 0
        by_time = (
            settings.every_minutes
            and time.monotonic() - self._saved_at > 60 * settings.every_minutes
        )
        if by_step or by_time:
            self._save()

    def _save(self, best: bool = False) -> None:
        """Writes a checkpoint; a full disk is a loud warning, for a bounded number of times."""
        self._collect()
        if not self.distribution.is_chief:
            return
        position = self.position
        state = dataclasses.asdict(position) | {"learning_rate_rule": self.rule.get_state()}
        found = checkpoint.Checkpoint(
            {name: _array(variable) for name, variable in self.variables.items()},
            optimizers.state(self.optimizer),
            state,
        )
        try:
            checkpoint.save(checkpoint.path_of(self.folder.checkpoints, position.step), found)
            checkpoint.remove_old(self.folder.checkpoints, self.config.checkpoint.keep)
            if best:
                checkpoint.save(checkpoint.path_of(self.folder.best, position.step), found)
                checkpoint.remove_old(self.folder.best, 1)
            self._failed_saves = 0
        except OSError as error:
            self._failed_saves += 1
            command.log(
                f"WARNING: checkpoint of step {position.step} NOT WRITTEN: {error.strerror} "
                f"({self.folder.folder}); older ones are whole; failure {self._failed_saves} of "
                f"{MAX_FAILED_SAVES} before the run ends"
            )
            if self._failed_saves >= MAX_FAILED_SAVES:
                raise
        self._saved_at = time.monotonic()

    def _restore(self) -> None:
        found = checkpoint.load_newest(self.folder.checkpoints)
        step = 0
        if found is not None:
            checkpoint.assign_weights(self.variables, found.weights, str(self.folder.checkpoints))
            try:
                optimizers.load_state(self.optimizer, found.optimizer)
            except ValueError as error:
                raise command.UserError(f"{self.folder.checkpoints}: {error}") from error
            state = dict(found.state)
            self.rule.set_state(state.pop("learning_rate_rule"))
            self.position = Position(**state)
            step = self.position.step
        if self.distribution.is_chief:
            truncate_metrics(self.folder.metrics_file, step)

    def _training_batches(self, replicas: pipeline.Replicas) -> tf.data.Dataset:
        settings = self.config.input
        return pipeline.training_batches(
            self.data,
            seed=self.config.seed,
            examples=self.examples,
            batch_size=self.config.batch_size,
            crop=self.crop,
            random_crop=settings.random_crop,
            random_flip=settings.random_flip,
            color_noise_stddev=self.prepare.noise_stddev,
            first_step=self.position.step,
            last_step=self.last_step,
            replicas=replicas,
            threads=settings.threads,
            prefetch_batches=settings.prefetch_batches,
        )

    def _compiled_step(self) -> Any:
        one_replica = steps.make_train_step(
            self.model,
            self.optimizer,
            self.prepare,
            seed=self.config.seed,
            batch_size=self.config.batch_size,
        )
        distribution = self.distribution

        @tf.function(autograph=False)
        def train_step(batch, step, count):
            return distribution.sum(distribution.strategy.run(one_replica, (batch, step, count)))

        return train_step

    def _evaluator(self) -> Evaluator | None:
        if "validation" not in self.data.splits:
            return None
        return Evaluator(
            self.model,
            self.prepare,
            self.data,
            self.distribution,
            split="validation",
            crop=self.crop,
            views=1,
            batch_size=self.config.evaluation.batch_size,
            threads=self.config.input.threads,
        )

    def _callbacks(self) -> keras.callbacks.CallbackList:
        chosen: list[keras.callbacks.Callback] = []
        if self.distribution.is_chief:
            chosen.append(callbacks.MetricsFile(self.folder.metrics_file))
            if self.config.log.tensorboard:
                chosen.append(callbacks.TensorBoardScalars(self.folder.tensorboard))
            chosen.append(callbacks.Progress(self.steps_per_epoch, self.epochs))
        # Last, so that the log of an epoch holds the rate that it was trained with.
        chosen.append(self.rule)
        return keras.callbacks.CallbackList(
            chosen, model=self.model, epochs=self.epochs, steps=self.steps_per_epoch, verbose=0
        )


def _examples(config: ConfigDict, available: int) -> int:
    if available == 0:
        raise command.UserError(f"{config.data_dir}: the training split has no images")
    if config.batch_size < 1:
        raise command.UsageError(f"config.batch_size must be at least 1, not {config.batch_size}")
    limit = config.limit_train_examples
    return min(limit, available) if limit else available


def _next(batches: Any) -> Any:
    try:
        return next(batches)
    except tf.errors.OpError as error:
        # Python errors inside the pipeline arrive as text, behind their traceback.
        message = str(error.message)
        for line in message.splitlines():
            if "DamagedRecord: " in line:
                message = line.split("DamagedRecord: ", 1)[1]
        raise command.UserError(f"reading the training data failed: {message}") from error


def _array(variable: Any) -> np.ndarray:
    value = variable if isinstance(variable, tf.Variable) else getattr(variable, "value", variable)
    return np.asarray(value.numpy())
