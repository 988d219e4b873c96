"""Gates before days of computing: counts, shapes, the signal at the start, 32 images by heart.

Why networks of this kind "do not train" is mostly visible before the first update: with weights
too small for the scale of the pixels, what reaches the top no longer depends on the image.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from alexnet_tf.model import build, costs, placement
from alexnet_tf.tables import rows, shapes, summary
from alexnet_tf.tables.table import Table

# Below this share of the mean activation, images hardly differ at a layer. The weakest start that
# is known to train, if slowly, has 0.017 at fc7 (the paper's own initial weights).
WEAK_SIGNAL = 0.003


@dataclass(frozen=True)
class Signal:
    """What reaches one layer at the start of training, over a batch of images.

    Attributes:
        name: of the layer.
        deviation: standard deviation over the images of one unit, averaged over the units.
        mean: magnitude of the activations, averaged over units and images.
        share: deviation / mean: how much of what the layer says depends on the image.
        active: share of units that are not zero.
    """

    name: str
    deviation: float
    mean: float
    share: float
    active: float


def without_dropout(table: Table) -> Table:
    """The same network with dropout that does nothing in tests' mode: no mask, no factor."""
    layers = [
        dataclasses.replace(row, form="inverted") if isinstance(row, rows.Dropout) else row
        for row in table.layers
    ]
    return dataclasses.replace(table, layers=tuple(layers))


def signals(table: Table, images: np.ndarray | tf.Tensor, *, seed: int = 0) -> list[Signal]:
    """The signal at every layer with weights before the first update, without dropout.

    Args:
        table: the network.
        images: float32 [B, S, S, 3] as the network gets them; at least two, real ones.
        seed: of the initial weights.
    """
    model = build.build(without_dropout(table), seed=seed)
    layers = build.weight_layers(model)
    taps = keras.Model(model.input, [layer.output for layer in layers])
    outputs = taps(images, training=False)
    outputs = outputs if isinstance(outputs, list | tuple) else [outputs]
    found = []
    for layer, output in zip(layers, outputs, strict=True):
        values = tf.cast(output, tf.float32)
        deviation = float(tf.reduce_mean(tf.math.reduce_std(values, axis=0)))
        mean = float(tf.reduce_mean(tf.abs(values)))
        active = float(tf.reduce_mean(tf.cast(values != 0, tf.float32)))
        share = deviation / mean if mean > 0 else 0.0
        found.append(Signal(layer.row.name, deviation, mean, share, active))
    return found


def signal_warnings(found: Sequence[Signal]) -> list[str]:
    """A line for the first layer where the signal dies, and one where it is not finite."""
    for signal in found:
        if not np.isfinite(signal.deviation + signal.mean):
            return [f"{signal.name}: activations are not finite: the initial weights are too large"]
        if signal.active == 0:
            return [f"{signal.name}: all its neurons are silent: the network cannot learn"]
        if signal.share < WEAK_SIGNAL:
            return [
                f"{signal.name}: only {signal.share:.1e} of its activation depends on the image "
                f"(healthy: above {WEAK_SIGNAL}): check the pixels' scale (0-255 minus the mean, "
                "not divided by 255) and the initial weights"
            ]
    return []


def signal_text(found: Sequence[Signal]) -> str:
    """The signals as a text table."""
    lines = [f"{'layer':12} {'deviation':>10} {'mean':>10} {'share':>9} {'active':>7}"]
    for s in found:
        lines.append(
            f"{s.name:12} {s.deviation:10.3g} {s.mean:10.3g} {s.share:9.2g} {s.active:7.0%}"
        )
    return "\n".join(lines)


def structure_errors(
    table: Table,
    model: keras.Model | None = None,
    *,
    parameters: int | None = None,
    neurons: int | None = None,
) -> list[str]:
    """What differs between a network, what it should count, and the model built of it.

    Args:
        table: the network.
        model: its model, whose shapes and number of parameters must be the table's.
        parameters, neurons: what a profile promises (60,965,224 and 659,272 in the paper).
    """
    errors = []
    counted = {
        "parameters": (summary.parameter_count(table), parameters),
        "neurons": (summary.neuron_count(table), neurons),
    }
    for what, (count, promised) in counted.items():
        if promised is not None and count != promised:
            errors.append(f"{table.name} has {count:,} {what}, not {promised:,}")
    if model is not None:
        expected = summary.parameter_count(table)
        if model.count_params() != expected:
            errors.append(f"the model has {model.count_params():,} parameters, not {expected:,}")
        known: dict[str, shapes.Shape] = table.shapes()
        for layer in build.weight_layers(model):
            name = layer.row.name
            if name in known and tuple(layer.output.shape)[1:] != known[name]:
                errors.append(f"{name} yields {tuple(layer.output.shape)[1:]}, not {known[name]}")
    return errors


@dataclass(frozen=True)
class Overfit:
    """How learning a few images by heart went.

    Attributes:
        learned: whether the loss reached its target.
        steps: updates made.
        losses: loss before each update, and after the last one.
    """

    learned: bool
    steps: int
    losses: tuple[float, ...]


def overfit(
    table: Table,
    images: np.ndarray | tf.Tensor,
    labels: np.ndarray | tf.Tensor,
    *,
    learning_rate: float = 0.01,
    momentum: float = 0.9,
    max_steps: int = 200,
    target: float = 0.1,
    seed: int = 0,
    report: Callable[[int, float], None] | None = None,
) -> Overfit:
    """Trains a fresh model of `table` on these images until it knows them.

    Every part of the forward and backward pass must be right for this to succeed. Dropout and
    weight decay are left out; layers begin with the spread that keeps the signal's scale, so that
    the number of steps does not depend on the profile's initial weights (`signals` looks at
    those).

    Args:
        table: the network.
        images: float32 [B, S, S, 3], as the network gets them; 32 are usual.
        labels: int [B].
        learning_rate, momentum: of plain gradient descent.
        max_steps: bound on the updates.
        target: loss at which the images count as learned.
        seed: of the initial weights.
        report: called with each step and its loss.
    """
    table = without_dropout(table)
    model = build.build(table, seed=seed)
    _keep_scale(table, model, images)
    variables = [placement.tensorflow_variable(v) for v in model.trainable_variables]
    velocities = [tf.Variable(tf.zeros(v.shape, v.dtype), trainable=False) for v in variables]

    @tf.function
    def step() -> tf.Tensor:
        with tf.GradientTape() as tape:
            outputs = model(images, training=False)
            loss = tf.reduce_mean(costs.per_example(table, outputs, labels))
        found, _ = tf.clip_by_global_norm(tape.gradient(loss, variables), 10.0)
        for variable, velocity, gradient in zip(variables, velocities, found, strict=True):
            velocity.assign(momentum * velocity - learning_rate * gradient)
            variable.assign_add(velocity)
        return loss

    losses: list[float] = []
    for number in range(max_steps + 1):
        losses.append(float(step()))
        if report:
            report(number, losses[-1])
        if not np.isfinite(losses[-1]) or losses[-1] <= target:
            break
    learned = bool(losses[-1] <= target)
    return Overfit(learned, len(losses) - 1, tuple(losses))


def _keep_scale(table: Table, model: keras.Model, images: np.ndarray | tf.Tensor) -> None:
    """Scales kernels layer by layer until each output has a deviation of about 1; biases: 0."""
    batch = tf.convert_to_tensor(images)[:16]
    named = build.named_variables(model)
    for layer in build.weight_layers(model):
        row = layer.row
        assert isinstance(row, rows.WeightRow)
        tap = keras.Model(model.input, layer.output)
        bias = named[f"{row.name}/bias"]
        bias.assign(tf.zeros(bias.shape))
        deviation = float(tf.reduce_mean(tf.math.reduce_std(tap(batch, training=False), axis=0)))
        last = row.name == table.output_name
        wanted = 0.1 if last else 0.5
        for name in shapes.kernel_names(row):
            kernel = named.get(f"{row.name}/{name}")
            if kernel is not None and deviation > 0:
                value = tf.convert_to_tensor(kernel)
                kernel.assign(value * (wanted / deviation))
