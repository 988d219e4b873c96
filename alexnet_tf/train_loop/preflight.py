"""Sanity gates before days of computing: counts, the signal at the start, a few images by heart.

`--check` runs them all; the first two run at the start of every training.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from alexnet_common.messages import log
from alexnet_tf.devices.failures import explain
from alexnet_tf.train_loop import network_checks
from alexnet_tf.train_loop.run import Run

# Images that the gates look at; as many as the overfitting gate of most trainers.
IMAGES = 32


def before_training(run: Run) -> None:
    """Warns where a network does not count what its recipe promises, and where the signal dies."""
    for line in _structure_errors(run):
        log(f"WARNING: {line}")
    if run.beginning:
        # The signal of drawn weights says nothing about others.
        return
    images, _ = _first_images(run)
    for line in network_checks.signal_warnings(
        network_checks.signals(run.table, images, seed=run.config.seed)
    ):
        log(f"WARNING: {line}")


def check(run: Run) -> tuple[str, bool]:
    """All gates as a text for people, and whether they are passed.

    Learning 32 images by heart takes up to 200 updates of the whole network.
    """
    errors = _structure_errors(run)
    images, labels = _first_images(run)
    signals = network_checks.signals(run.table, images, seed=run.config.seed)
    warnings = network_checks.signal_warnings(signals)
    log(f"learning {len(images)} images by heart ...")
    learned = network_checks.overfit(
        run.table, images, labels, seed=run.config.seed, report=_report
    )
    result = (
        f"learned {len(images)} images by heart in {learned.steps} updates"
        if learned.learned
        else f"did NOT learn {len(images)} images by heart in {learned.steps} updates: loss "
        f"{learned.losses[0]:.3f} -> {learned.losses[-1]:.3f}"
    )
    lines = [
        "structure      " + ("; ".join(errors) or "shapes and counts are the table's"),
        "signal at the start, over real images",
        network_checks.signal_text(signals),
        *(f"WARNING: {line}" for line in warnings),
        result,
    ]
    return "\n".join(lines), not errors and learned.learned


def _report(step: int, loss: float) -> None:
    if step % 20 == 0:
        log(f"  update {step}: loss {loss:.4f}")


def _structure_errors(run: Run) -> list[str]:
    model = run.model if run.config.implementation == "towers" else None
    promised = run.config.promised
    # Promises hold for the recipe's own number of classes.
    kept = run.data.num_classes == run.config.num_classes
    return network_checks.structure_errors(
        run.table,
        model,
        parameters=promised.parameters or None if kept else None,
        neurons=promised.neurons or None if kept else None,
    )


def _first_images(run: Run) -> tuple[Any, np.ndarray]:
    """Network inputs and labels of the run's first examples, without colour noise."""
    images, labels = [], []
    try:
        for batch in run.training_batches(run.distribution.replicas):
            valid = batch["weight"].numpy() > 0
            kept = {key: value[valid] for key, value in batch.items() if key != "noise"}
            images.append(run.prepare.training(kept).numpy())
            labels.append(batch["label"].numpy()[valid])
            if sum(map(len, labels)) >= IMAGES:
                break
    except tf.errors.OpError as error:
        raise explain(error, workers=1) from error
    return np.concatenate(images)[:IMAGES], np.concatenate(labels)[:IMAGES]
