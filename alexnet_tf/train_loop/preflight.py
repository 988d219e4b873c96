"""What is checked before days of computing: counts, shapes, and the signal at the start.

Why networks of this kind "do not train" is mostly visible before the first update: with weights
too small for the scale of the pixels, what reaches the top no longer depends on the image.
`--check` also trains for a few dozen updates (`trial`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from alexnet_common.messages import log
from alexnet_tf.devices.failures import explain
from alexnet_tf.model import build
from alexnet_tf.tables import rows, shapes, summary
from alexnet_tf.tables.table import Table
from alexnet_tf.train_loop import trial
from alexnet_tf.train_loop.run import Run

# Images that the signal is measured over.
IMAGES = 32

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


def _without_dropout(table: Table) -> Table:
    """The same network with dropout that does nothing in inference: no mask, no factor."""
    layers = [
        dataclasses.replace(row, form="inverted") if isinstance(row, rows.Dropout) else row
        for row in table.layers
    ]
    return dataclasses.replace(table, layers=tuple(layers))


def measure(table: Table, images: np.ndarray | tf.Tensor, *, seed: int = 0) -> list[Signal]:
    """The signal at every layer with weights before the first update, without dropout.

    Args:
        table: the network.
        images: float32 [B, S, S, 3] as the network gets them; at least two, real ones.
        seed: of the initial weights.
    """
    model = build.build(_without_dropout(table), seed=seed)
    layers = build.weight_layers(model)
    taps = keras.Model(model.input, [layer.output for layer in layers])
    outputs = taps(images, training=False)
    outputs = outputs if isinstance(outputs, list | tuple) else [outputs]
    measured = []
    for layer, output in zip(layers, outputs, strict=True):
        values = tf.cast(output, tf.float32)
        deviation = float(tf.reduce_mean(tf.math.reduce_std(values, axis=0)))
        mean = float(tf.reduce_mean(tf.abs(values)))
        active = float(tf.reduce_mean(tf.cast(values != 0, tf.float32)))
        share = deviation / mean if mean > 0 else 0.0
        measured.append(Signal(layer.row.name, deviation, mean, share, active))
    return measured


def signal_warnings(signals: Sequence[Signal]) -> list[str]:
    """A line for the first layer where the signal dies or is not finite."""
    for signal in signals:
        if not np.isfinite(signal.deviation + signal.mean):
            return [f"{signal.name}: activations are not finite: the initial weights are too large"]
        if signal.active == 0:
            return [f"{signal.name}: all its activations are zero: the network cannot learn"]
        if signal.share < WEAK_SIGNAL:
            return [
                f"{signal.name}: only {signal.share:.1e} of its activation depends on the image "
                f"(healthy: above {WEAK_SIGNAL}): check the pixels' scale (0-255 minus the mean, "
                "not divided by 255) and the initial weights"
            ]
    return []


def signal_text(signals: Sequence[Signal]) -> str:
    """The signals as a text table."""
    lines = [f"{'layer':12} {'deviation':>10} {'mean':>10} {'share':>9} {'active':>7}"]
    for s in signals:
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
        expected_shapes: dict[str, shapes.Shape] = table.shapes()
        for layer in build.weight_layers(model):
            name = layer.row.name
            if name in expected_shapes and tuple(layer.output.shape)[1:] != expected_shapes[name]:
                errors.append(
                    f"{name} yields {tuple(layer.output.shape)[1:]}, not {expected_shapes[name]}"
                )
    return errors


def before_training(run: Run) -> None:
    """Warns where a network does not count what its recipe promises, and where the signal dies."""
    for line in _structure_errors(run):
        log(f"WARNING: {line}")
    if run.beginning:
        # The signal of drawn weights says nothing about others.
        return
    for line in signal_warnings(measure(run.table, _first_images(run), seed=run.config.seed)):
        log(f"WARNING: {line}")


def check(run: Run) -> tuple[str, bool]:
    """All that can be told of a run before days are spent on it.

    Args:
        run: as `setup.set_up` returns it, at its beginning, in a work folder of no further use: it
            is trained for a few dozen updates.

    Returns:
        A text for people, and whether the run is worth its time.
    """
    errors = _structure_errors(run)
    signals = measure(run.table, _first_images(run), seed=run.config.seed)
    tried = trial.train(run)
    lines = [
        "structure      " + ("; ".join(errors) or "shapes and counts are the table's"),
        "signal at the start, over real images",
        signal_text(signals),
        *(f"WARNING: {line}" for line in signal_warnings(signals)),
        f"training       {tried.text}",
        *(f"FAILED: {failure}" for failure in tried.failures),
    ]
    return "\n".join(lines), not errors and not tried.failures


def _structure_errors(run: Run) -> list[str]:
    model = run.model if run.config.implementation == "towers" else None
    promised = run.config.promised
    # Promises hold for the recipe's own number of classes.
    kept = run.data.num_classes == run.config.num_classes
    return structure_errors(
        run.table,
        model,
        parameters=promised.parameters or None if kept else None,
        neurons=promised.neurons or None if kept else None,
    )


def _first_images(run: Run) -> np.ndarray:
    """Network inputs of the run's first examples, without colour noise: float32 [B, S, S, 3]."""
    images: list[np.ndarray] = []
    try:
        for batch in run.training_batches(run.distribution.replicas):
            valid = batch["weight"].numpy() > 0
            kept = {key: value[valid] for key, value in batch.items() if key != "noise"}
            images.append(run.prepare.training(kept).numpy())
            if sum(map(len, images)) >= IMAGES:
                break
    except tf.errors.OpError as error:
        raise explain(error, workers=1, doing="the check") from error
    return np.concatenate(images)[:IMAGES]
