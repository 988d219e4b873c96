"""What a run is, in the first lines that it writes."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from alexnet_common.counting import counted
from alexnet_common.messages import headed
from alexnet_tf.devices import distribution
from alexnet_tf.input import pipeline
from alexnet_tf.optim.schedules import planned_rates
from alexnet_tf.train_loop import automatic
from alexnet_tf.train_loop.run import Run


def first_page(run: Run) -> str:
    """What a run is, in a few lines: where it computes, on what, and where everything goes."""
    config, position = run.config, run.position
    parameters = sum(int(np.prod(variable.shape)) for variable in run.variables.values())
    examples = pipeline.per_replica_batch_size(config.batch_size, run.distribution.replicas.total)
    validation = run.data.splits.get("validation")
    # Every line is wrapped: a terminal would break words.
    lines = [
        headed("recipe", f"{config.name}, seed {config.seed}"),
        headed("computes on", where(run)),
        headed(
            "network",
            f"{run.table.name}: {parameters:,} parameters, input {run.crop}x{run.crop}, "
            f"{counted(run.data.num_classes, 'class', 'classes')}",
        ),
        headed(
            "data",
            f"{run.data.directory}: {run.examples:,} training images, "
            f"{validation.count if validation else 0:,} validation images, "
            f"{run.data.image_size}x{run.data.image_size}",
        ),
        headed(
            "batch",
            f"{config.batch_size} in all, {examples} per replica; "
            f"{counted(run.steps_per_epoch, 'step')} per epoch",
        ),
        headed("length", f"{counted(run.epochs, 'epoch')}, {counted(run.last_step, 'step')}"),
        headed("repeatable", distribution.repeatable(config)),
        headed("work folder", str(run.folder.folder)),
        *chosen(run.chosen),
    ]
    notes = [*run.table.notes, planned_rates.describe_scaling(config)]
    lines += [headed("note", note) for note in notes if note]
    if run.beginning:
        lines += [headed(heading, text) for heading, text in run.beginning.lines]
    if position.step >= run.last_step and position.epoch >= run.epochs:
        unit = "steps" if config.train_steps else "epochs"
        lines.append(
            headed("finished", f"nothing is left to do; more {unit}: --config.train_{unit}=N")
        )
    elif position.step:
        lines.append(headed("resumes", f"after epoch {position.epoch}, step {position.step:,}"))
    return "\n".join(lines)


def chosen(choices: Sequence[automatic.Choice], columns: int | None = None) -> list[str]:
    """What a recipe's `auto` became, in one block: what matters with its reason, the rest named.

    Args:
        choices: as `automatic.resolve` returns them.
        columns: that a line may have; None: those of the terminal.
    """
    reasons: dict[str, list[str]] = {}
    for choice in choices:
        reason = automatic.PLAIN if choice.is_plain else choice.reason
        reasons.setdefault(reason, []).append(choice.setting)
    usual = reasons.pop(automatic.PLAIN, [])
    if usual:
        reasons[automatic.PLAIN] = usual
    return [
        headed("" if number else "chosen", f"{', '.join(settings)}: {reason}", columns)
        for number, (reason, settings) in enumerate(reasons.items())
    ]


def where(run: Run) -> str:
    """Where this process computes, and with what."""
    return (
        f"{run.distribution.description}; {run.config.precision}; TensorFlow {tf.__version__}, "
        f"Keras {keras.__version__}"
    )
