"""One update, as it runs on each replica: forward, backward, summed gradients, new weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from alexnet_tf.evaluation import metrics
from alexnet_tf.input import pipeline, preprocess
from alexnet_tf.model import compiled_columns, costs, layers, placement
from alexnet_tf.optim import gradients
from alexnet_tf.optim import optimizer as optimizers
from alexnet_tf.tables.table import Table

Batch = dict[str, tf.Tensor]


def make_train_step(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    prepare: preprocess.Preprocess,
    *,
    table: Table,
    batch_size: int,
    accumulation_steps: int = 1,
    clip_global_norm: float = 0.0,
    skip_not_finite: bool = False,
    column_devices: Sequence[str] = (),
    compile_gradients: bool = False,
) -> Callable[..., tuple[tf.Tensor, tf.Tensor]]:
    """The update of section 5 on one replica's examples of a batch.

    Args:
        model: from float32 pixels to float32 logits.
        optimizer: as `optimizer.make` returns it.
        prepare: pixels to network input.
        table: the network, for its cost.
        batch_size: the global one.
        accumulation_steps: parts in which the examples are computed one after another, their
            gradients added up: the same update in less memory.
        clip_global_norm, skip_not_finite: of `update`.
        column_devices: where the network's columns lie; empty: together.
        compile_gradients: compile the forward and backward pass with XLA, and nothing else;
            columns on devices of their own part by part.

    Returns:
        A function of (batch, global step int64 [], examples in the global batch float32 [], factor
        on the colour noise float32 [], key of the dropout int64 [], factor on the loss float32 []
        or None) that updates the weights. It returns the `SUMS` of its examples and what `update`
        does.
    """
    variables = model.trainable_variables
    network = model
    if column_devices and compile_gradients:
        network = compiled_columns.compiled(model, table, column_devices)
    forward = _forward(network, prepare, table, batch_size)
    compute = _backward(forward, variables, columns_apart=bool(column_devices))
    if accumulation_steps > 1:
        compute = _accumulated(compute, variables, batch_size, accumulation_steps)
    if compile_gradients and not column_devices:
        compute = tf.function(compute, jit_compile=True, autograph=False)

    def train_step(
        batch: Batch,
        step: tf.Tensor,
        count: tf.Tensor,
        noise: tf.Tensor,
        dropout_key: tf.Tensor,
        scale: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        own, sums = compute(batch, step, count, noise, dropout_key, scale)
        norm = update(
            optimizer,
            own,
            variables,
            scale=scale,
            clip_global_norm=clip_global_norm,
            skip_not_finite=skip_not_finite,
        )
        return sums, norm

    return train_step


# Of a batch, or a part of one, and the arguments of the update behind it: the loss, or the
# gradients of the variables, and the `SUMS`.
Forward = Callable[..., tuple[tf.Tensor, tf.Tensor]]
Backward = Callable[..., tuple[list[tf.Tensor], tf.Tensor]]


def _forward(
    network: Callable[..., Any], prepare: preprocess.Preprocess, table: Table, batch_size: int
) -> Forward:
    """From pixels to the loss, as this part's share of the global batch's mean."""

    def forward(
        part: Batch, step: Any, count: Any, noise: Any, dropout_key: Any, scale: Any
    ) -> tuple[tf.Tensor, tf.Tensor]:
        pixels, labels = prepare.training(part, noise), prepare.labels(part)
        # Dropout draws a mask for the whole global batch and takes those of these examples: the
        # same masks on any number of replicas.
        with layers.randomness(tf.stack([dropout_key, step]), part["row"], batch_size):
            outputs = tf.cast(network(pixels, training=True), tf.float32)
        losses = costs.per_example(table, outputs, labels)
        # Divided by the true global count, so that replicas' gradients add up to the gradient of
        # the mean, also when the last batch of an epoch is short.
        loss = tf.reduce_sum(losses * part["weight"]) / count
        scores = costs.ranking(table, outputs)
        loss = loss if scale is None else loss * scale
        return loss, metrics.sums(losses, scores, labels, part["weight"])

    return forward


def _backward(forward: Forward, variables: Sequence[Any], *, columns_apart: bool) -> Backward:
    """The gradients of the loss; `columns_apart`: the columns lie on devices of their own."""

    def backward(part: Batch, *values: Any) -> tuple[list[tf.Tensor], tf.Tensor]:
        if columns_apart:
            # A tape leaves gradients without a device, which puts the whole backward pass of both
            # columns on the first one.
            loss, sums = forward(part, *values)
            return placement.gradients(loss, variables), sums
        with tf.GradientTape() as tape:
            loss, sums = forward(part, *values)
        return tape.gradient(loss, variables), sums

    return backward


def _accumulated(
    backward: Backward, variables: Sequence[Any], batch_size: int, accumulation_steps: int
) -> Backward:
    """The same gradients, added up over parts of the batch that are computed one by one."""

    def accumulated(batch: Batch, *values: Any) -> tuple[list[tf.Tensor], tf.Tensor]:
        # Inside steps_per_call two workers' batches do not say how many examples they have.
        replicas = tf.distribute.get_replica_context().num_replicas_in_sync
        examples = pipeline.per_replica_batch_size(batch_size, replicas) // accumulation_steps

        def body(number, parts, total):
            # Not value[first : first + examples], whose length XLA does not see.
            part = {
                key: tf.slice(
                    value,
                    [number * examples, *[0] * (len(value.shape) - 1)],
                    [examples, *value.shape[1:]],
                )
                for key, value in batch.items()
            }
            new, sums = backward(part, *values)
            parts = [old + gradient for old, gradient in zip(parts, new, strict=True)]
            return number + 1, parts, total + sums

        zeros = [tf.zeros(variable.shape, tf.float32) for variable in variables]
        _, whole, total = tf.while_loop(
            lambda number, *_: number < accumulation_steps,
            body,
            (tf.constant(0), zeros, tf.zeros([len(metrics.SUMS)])),
            # One part at a time: holding several at once is what accumulation is to avoid.
            parallel_iterations=1,
        )
        return whole, total

    return accumulated


def update(
    optimizer: keras.optimizers.Optimizer,
    own: Sequence[tf.Tensor],
    variables: Sequence[Any],
    *,
    scale: tf.Tensor | None = None,
    clip_global_norm: float = 0.0,
    skip_not_finite: bool = False,
) -> tf.Tensor:
    """From one replica's gradients to new weights on all of them.

    Args:
        optimizer: as `optimizer.make` returns it.
        own: this replica's gradients: its part of a sum over all replicas.
        variables: whose they are: `model.trainable_variables`.
        scale: what the loss was multiplied by, float32 []; None: nothing.
        clip_global_norm: upper limit of the l2 norm of all gradients together (clipping each
            replica's part would be another rule); 0: none.
        skip_not_finite: write nothing where that norm is not finite.

    Returns:
        That norm, float32 [], before clipping and the same on every replica.
    """
    summed = gradients.summed(own)
    if scale is not None:
        summed = gradients.scaled(summed, variables, 1.0 / scale)
    norm = gradients.global_norm(summed, variables, optimizer.multipliers.learn())
    if clip_global_norm:
        summed = gradients.scaled(
            summed, variables, clip_global_norm / tf.maximum(norm, clip_global_norm)
        )
    finite = tf.math.is_finite(norm) if skip_not_finite else None
    optimizers.apply_summed(optimizer, summed, variables, finite)
    return norm
