"""From a recipe to a run that is ready to train: data, network, optimizer and position.

Everything that can be wrong with a recipe, a dataset or a work folder is found here, before
anything is written and before any device computes.
"""

from __future__ import annotations

import keras
import tensorflow as tf

from alexnet_common import files
from alexnet_common.errors import UsageError, UserError
from alexnet_common.messages import log
from alexnet_tf import recipes
from alexnet_tf.devices import distribution
from alexnet_tf.devices.distribution import Distribution
from alexnet_tf.devices.failures import explain
from alexnet_tf.input import pipeline, resident, synthetic
from alexnet_tf.input.preprocess import Preprocess
from alexnet_tf.model import build
from alexnet_tf.optim import loss_scale
from alexnet_tf.optim import optimizer as optimizers
from alexnet_tf.optim.schedules import learning_rate
from alexnet_tf.recipes import ConfigDict
from alexnet_tf.runs import checkpoint, dataset_copy, definition_copy, initial_weights, portable
from alexnet_tf.runs.workdir import WorkFolder, truncate_metrics
from alexnet_tf.settings import checks
from alexnet_tf.tables import table
from alexnet_tf.train_loop import automatic
from alexnet_tf.train_loop.run import Position, Run
from data_prep import dataset


def set_up(
    config: ConfigDict,
    folder: WorkFolder,
    begin_with: initial_weights.Source | None = None,
    *,
    images: resident.Resident | None = None,
) -> Run:
    """Makes a run from a recipe, continued where its work folder stands.

    Args:
        config: a resolved recipe.
        folder: its work folder.
        begin_with: weights instead of drawn ones, if the work folder has no checkpoint; None:
            what `config.initial_weights` names.
        images: the training set on the device, where an earlier run of this process holds it.

    Raises:
        UserError: a bad config, dataset or work folder.
    """
    checks.check(config)
    if config.deterministic:
        keras.utils.set_random_seed(config.seed)
        tf.config.experimental.enable_op_determinism()
    devices = distribution.make(config)
    data = synthetic.make(config) if config.synthetic_data else _dataset(config)
    layers = table.from_config(config.network, data.num_classes)
    examples = _examples(config, data)
    set_bytes = _resident_bytes(config, data, examples)
    chosen = _choose(config, folder, layers, devices, set_bytes)
    prepare = Preprocess(data, config.preprocess, layers.input_size)
    _check_batch(config, devices)
    _note_what_never_falls(config, data)
    steps_per_epoch = pipeline.steps_per_epoch(examples, config.batch_size)
    last_step = config.train_steps or config.train_epochs * steps_per_epoch
    with devices.strategy.scope():
        model = _build(config, layers, devices)
        settings = build.variable_settings(model)
        variables = build.named_variables(model)
        names = portable.Names(
            layers, [setting.name for setting in settings], config.implementation
        )
        beginning = None
        begin_with = begin_with or initial_weights.source(config)
        if begin_with and not checkpoint.steps(folder.checkpoints):
            # Before the optimizer, whose averages begin with the weights.
            beginning = initial_weights.begin(begin_with, config, layers, data, variables, names)
        optimizer = optimizers.make(config, settings, replicas=devices.replicas.total)
        optimizer.build(model.trainable_variables)
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
        rule=learning_rate.make(
            config, steps_per_epoch=steps_per_epoch, total_steps=last_step, settings=settings
        ),
        variables=variables,
        names=names,
        examples=examples,
        steps_per_epoch=steps_per_epoch,
        last_step=last_step,
        position=Position(),
        beginning=beginning,
        chosen=chosen,
    )
    if config.input.cache == "device" and not config.synthetic_data:
        prepare.resident = images or _resident(run)
    _take_up(run)
    return run


def _build(config: ConfigDict, layers: table.Table, devices: Distribution) -> keras.Model:
    return build.build(
        layers,
        seed=config.seed,
        policy=automatic.keras_policy(config.precision),
        placement=devices.column_devices(layers.num_columns) or "one_device",
        implementation=config.implementation,
        lrn=config.lrn_kernel,
        pool=config.pool_kernel,
        space_to_depth=config.strided_convolution == "space_to_depth",
    )


def _resident(run: Run) -> resident.Resident:
    """The training set on the device."""
    devices, threads = run.distribution, run.config.input.threads
    try:
        return resident.Resident(
            run.data, run.examples, device=devices.prefetch_to, threads=threads
        )
    except tf.errors.OpError as error:
        raise explain(error, devices.workers) from error


def _take_up(run: Run) -> None:
    """Opens the work folder and continues where it stands, on all workers alike."""
    folder, config = run.folder, run.config
    if run.distribution.is_chief:
        folder.open(config)
        dataset_copy.keep(folder.folder, run.data)
        definition_copy.keep(folder.folder, config.network)
    _restore(run)
    if run.distribution.is_chief:
        truncate_metrics(folder.metrics_file, run.position.step)
    _check_agreement(run)
    if run.distribution.is_chief:
        # Last: a start that was refused leaves a run as it was.
        folder.keep(config)


def _choose(
    config: ConfigDict,
    folder: WorkFolder,
    layers: table.Table,
    devices: Distribution,
    set_bytes: int,
) -> tuple[automatic.Choice, ...]:
    """Resolves every `auto` of a config, and prepares TensorFlow for what was chosen.

    Raises:
        UsageError: a combination that cannot train here.
    """
    gpu = "GPU" in devices.device_kinds()
    place = automatic.Place.of(
        layers,
        gpu,
        bool(devices.columns),
        batch_size=config.batch_size,
        set_bytes=set_bytes,
        many_steps=not checks.changes_rate_each_step(config),
        compiled=config.jit_compile if isinstance(config.jit_compile, bool) else None,
        cache="" if config.input.cache == "auto" else config.input.cache,
    )
    begun = recipes.to_dict(folder.load_config()) if folder.config_file.exists() else None
    chosen = automatic.resolve(config, place, begun)
    if reason := build.unsupported(config.implementation, config.precision, config.jit_compile):
        raise UsageError(reason)
    tf.config.experimental.enable_tensor_float_32_execution(config.precision != "float32_exact")
    return tuple(chosen)


def _resident_bytes(config: ConfigDict, data: dataset.Dataset, examples: int) -> int:
    """Size of the decoded training set where it may lie on the device, else 0."""
    alone = config.distribution == "one_device" and config.placement == "one_device"
    size = resident.decoded_bytes(data, examples)
    return size if alone and not config.synthetic_data and resident.fits_memory(size) else 0


def _restore(run: Run) -> None:
    """Sets weights, optimizer, rules and position from the newest checkpoint, if there is one."""
    newest = checkpoint.load_newest(run.folder.checkpoints)
    if newest is None:
        return
    where = str(run.folder.checkpoints)
    checkpoint.assign_weights(run.variables, run.names.weights_in(newest.weights), where)
    try:
        optimizers.load_state(run.optimizer, run.names.optimizer_in(newest.optimizer))
    except ValueError as error:
        raise UserError(f"{where}: {error}") from error
    state = dict(newest.state)
    run.rule.set_state(state.pop("learning_rate_rule"))
    # Checkpoints of other precisions have none: then the scale begins anew.
    scale = state.pop("loss_scale", {})
    if run.loss_scale is not None:
        run.loss_scale.set_state(scale)
    position = run.position = Position(**state)
    if position.step < run.last_step:
        # An epoch that config.train_steps cut short, and evaluated, goes on where it was cut.
        position.epoch = min(position.epoch, position.step // run.steps_per_epoch)
    if not position.step:
        run.beginning = initial_weights.Beginning((("begins with", "weights imported earlier"),))


def _check_agreement(run: Run) -> None:
    """Makes sure that all workers begin at the same step, with the same weights."""
    run.distribution.check_agreement(run.position.step)
    run.distribution.check_agreement(
        run.beginning.fingerprint if run.beginning else 0,
        "the workers do not begin with the same weights; they must all see the same file under "
        "config.initial_weights",
    )


def _dataset(config: ConfigDict) -> dataset.Dataset:
    if not files.is_dir(config.data_dir):
        raise UserError(
            f"--config.data_dir={config.data_dir}: there is no such folder; it must be one that "
            "python -m data_prep.build_tfrecords has written"
        )
    return dataset.load(config.data_dir)


def _check_batch(config: ConfigDict, devices: Distribution) -> None:
    examples = pipeline.per_replica_batch_size(config.batch_size, devices.replicas.total)
    if examples % config.accumulation_steps:
        raise UsageError(
            f"config.accumulation_steps={config.accumulation_steps} must divide the {examples} "
            "examples of a batch that each replica computes"
        )


def _note_what_never_falls(config: ConfigDict, data: dataset.Dataset) -> None:
    if config.learning_rate.schedule == "plateau" and "validation" not in data.splits:
        log(
            "note: without a validation split the plateau rule never lowers the learning rate; "
            "config.learning_rate.schedule=steps or constant says what to do instead"
        )


def _examples(config: ConfigDict, data: dataset.Dataset) -> int:
    available = data.split("train").count
    if available == 0:
        raise UserError(f"{config.data_dir}: the training split has no images")
    limit = config.limit_train_examples
    return min(limit, available) if limit else available
