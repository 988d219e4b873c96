"""What a run is made of: data, network, optimizer and position, set up from a recipe.

Everything that can be wrong with a recipe, a dataset or a work folder is found here, before
anything is written and before any device computes.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from alexnet_common.errors import UsageError, UserError
from alexnet_common.messages import log
from alexnet_tf.config import ConfigDict
from alexnet_tf.devices import distribution
from alexnet_tf.devices.distribution import Distribution
from alexnet_tf.evaluation.metrics import SUMS
from alexnet_tf.input import pipeline, synthetic
from alexnet_tf.input.preprocess import Preprocess
from alexnet_tf.model import build
from alexnet_tf.optim import loss_scale
from alexnet_tf.optim import optimizer as optimizers
from alexnet_tf.optim.schedules import learning_rate
from alexnet_tf.runs import checkpoint, dataset_copy, definition_copy, initial_weights, portable
from alexnet_tf.runs.workdir import WorkFolder, truncate_metrics
from alexnet_tf.settings import checks
from alexnet_tf.tables import table
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

    @property
    def crop(self) -> int:
        """Side of the network's input in pixels."""
        return self.table.input_size

    @property
    def epochs(self) -> int:
        """Epochs of the whole run; the last one may be cut short by config.train_steps."""
        return math.ceil(self.last_step / self.steps_per_epoch)

    def training_batches(self, replicas: pipeline.Replicas) -> tf.data.Dataset:
        """Batches from the present position to the end of the run."""
        settings = self.config.input
        span = pipeline.Span(
            self.examples, self.config.batch_size, self.position.step, self.last_step, replicas
        )
        augmentation = pipeline.Augmentation(
            crop=self.crop,
            random_crop=settings.random_crop,
            random_flip=settings.random_flip,
            crop_chunk=settings.crop_chunk,
            color_noise_stddev=self.prepare.noise_stddev,
        )
        if self.config.synthetic_data:
            return synthetic.batches(self.data, span, augmentation)
        return pipeline.training_batches(
            self.data,
            span,
            augmentation,
            seed=self.config.seed,
            threads=settings.threads,
            prefetch_batches=settings.prefetch_batches,
        )


def set_up(
    config: ConfigDict, folder: WorkFolder, begin_with: initial_weights.Source | None = None
) -> Run:
    """Makes a run from a recipe, continued where its work folder stands.

    Args:
        config: a resolved recipe.
        folder: its work folder.
        begin_with: weights instead of drawn ones, if the work folder has no checkpoint; None:
            what `config.initial_weights` names.

    Raises:
        UserError: a bad config, dataset or work folder.
    """
    checks.check(config)
    if reason := build.unsupported(config.implementation, config.precision, config.jit_compile):
        raise UsageError(reason)
    if config.deterministic:
        keras.utils.set_random_seed(config.seed)
        tf.config.experimental.enable_op_determinism()
    devices = distribution.make(config)
    data = synthetic.make(config) if config.synthetic_data else dataset.load(config.data_dir)
    layers = table.from_config(config.network, data.num_classes)
    prepare = Preprocess(data, config.preprocess, layers.input_size)
    rows = pipeline.per_replica_batch_size(config.batch_size, devices.replicas.total)
    if rows % config.accumulation_steps:
        raise UsageError(
            f"config.accumulation_steps={config.accumulation_steps} must divide the {rows} "
            "examples of a batch that each replica computes"
        )
    if config.learning_rate.schedule == "plateau" and "validation" not in data.splits:
        log(
            "note: without a validation split the plateau rule never lowers the learning rate; "
            "config.learning_rate.schedule=steps or constant says what to do instead"
        )
    examples = _examples(config, data)
    steps_per_epoch = pipeline.steps_per_epoch(examples, config.batch_size)
    last_step = config.train_steps or config.train_epochs * steps_per_epoch
    with devices.strategy.scope():
        model = build.build(
            layers,
            seed=config.seed,
            policy=config.precision,
            placement=devices.column_devices(layers.num_columns) or "one_device",
            implementation=config.implementation,
            lrn=config.lrn_kernel,
        )
        settings = build.variable_settings(model)
        variables = build.named_variables(model)
        names = portable.Names(layers, [each.name for each in settings], config.implementation)
        beginning = None
        begin_with = begin_with or initial_weights.source(config)
        if begin_with and not checkpoint.steps(folder.checkpoints):
            # Before the optimizer, whose averages begin with the weights.
            beginning = initial_weights.begin(begin_with, config, layers, data, variables, names)
        rule = learning_rate.make(
            config, steps_per_epoch=steps_per_epoch, total_steps=last_step, settings=settings
        )
        optimizer = optimizers.make(config, settings, replicas=devices.replicas.total)
        optimizer.build(model.trainable_variables)
    # Keras' callbacks look for the optimizer on the model.
    model.optimizer = optimizer
    run = Run(
        config=config,
        folder=folder,
        distribution=devices,
        data=data,
        table=layers,
        prepare=prepare,
        model=model,
        optimizer=optimizer,
        loss_scale=loss_scale.make(config),
        rule=rule,
        variables=variables,
        names=names,
        examples=examples,
        steps_per_epoch=steps_per_epoch,
        last_step=last_step,
        position=Position(),
        beginning=beginning,
    )
    if devices.is_chief:
        folder.open(config)
        dataset_copy.keep(folder.folder, data)
        definition_copy.keep(folder.folder, config.network)
    _restore(run)
    devices.check_agreement(run.position.step)
    devices.check_agreement(
        beginning.fingerprint if beginning else 0,
        "the workers do not begin with the same weights; they must all see the same file under "
        "config.initial_weights",
    )
    if devices.is_chief:
        # Last: a start that was refused leaves a run as it was.
        folder.keep(config)
    return run


def _restore(run: Run) -> None:
    found = checkpoint.load_newest(run.folder.checkpoints)
    if found is not None:
        where = str(run.folder.checkpoints)
        checkpoint.assign_weights(run.variables, run.names.weights_in(found.weights), where)
        try:
            optimizers.load_state(run.optimizer, run.names.optimizer_in(found.optimizer))
        except ValueError as error:
            raise UserError(f"{run.folder.checkpoints}: {error}") from error
        state = dict(found.state)
        run.rule.set_state(state.pop("learning_rate_rule"))
        # Checkpoints of other precisions have none: then the scale begins anew.
        scale = state.pop("loss_scale", {})
        if run.loss_scale is not None:
            run.loss_scale.set_state(scale)
        run.position = Position(**state)
        if run.position.step < run.last_step:
            # An epoch that config.train_steps cut short, and evaluated, goes on where it was cut.
            epoch = run.position.step // run.steps_per_epoch
            run.position.epoch = min(run.position.epoch, epoch)
        if not run.position.step:
            run.beginning = initial_weights.Beginning(
                (("begins with", "weights imported earlier"),)
            )
    if run.distribution.is_chief:
        truncate_metrics(run.folder.metrics_file, run.position.step)


def _examples(config: ConfigDict, data: dataset.Dataset) -> int:
    available = data.split("train").count
    if available == 0:
        raise UserError(f"{config.data_dir}: the training split has no images")
    limit = config.limit_train_examples
    return min(limit, available) if limit else available


def first_page(run: Run) -> str:
    """What a run is, in a few lines: where it computes, on what, and where everything goes."""
    config, position = run.config, run.position
    parameters = sum(int(np.prod(variable.shape)) for variable in run.variables.values())
    rows = pipeline.per_replica_batch_size(config.batch_size, run.distribution.replicas.total)
    validation = run.data.splits.get("validation")
    lines = [
        f"recipe         {config.name}, seed {config.seed}",
        f"computes on    {run.distribution.description}; {config.precision}; TensorFlow "
        f"{tf.__version__}, Keras {keras.__version__}",
        f"network        {run.table.name}: {parameters:,} parameters, input "
        f"{run.crop}x{run.crop}, {run.data.num_classes} classes",
        f"data           {run.data.directory}: {run.examples:,} training images, "
        f"{validation.count if validation else 0:,} validation images, "
        f"{run.data.image_size}x{run.data.image_size}",
        f"batch          {config.batch_size} in all, {rows} per replica; "
        f"{run.steps_per_epoch:,} steps per epoch",
        f"length         {run.epochs} epochs, {run.last_step:,} steps",
        f"repeatable     {distribution.repeatable(config)}",
        f"work folder    {run.folder.folder}",
    ]
    lines += [f"note           {note}" for note in run.table.notes]
    if run.beginning:
        lines += [f"{heading:14} {text}" for heading, text in run.beginning.lines]
    if position.step >= run.last_step and position.epoch >= run.epochs:
        unit = "steps" if config.train_steps else "epochs"
        lines.append(f"finished       nothing is left to do; more {unit}: --config.train_{unit}=N")
    elif position.step:
        lines.append(f"resumes        after epoch {position.epoch}, step {position.step:,}")
    return "\n".join(lines)
