"""When a run's numbers are no longer numbers: what is left out, and what ends the run.

All of it is looked at before a checkpoint is written, so that none holds weights that are not
finite or that a gradient which is not finite has touched.
"""

from __future__ import annotations

import math

from alexnet_common.errors import UserError
from alexnet_tf.optim import loss_scale
from alexnet_tf.runs import checkpoint
from alexnet_tf.train_loop.setup import Run


class TrainingDiverged(UserError):
    """Loss, gradient or weights are no longer numbers."""


def report(run: Run, what: str, where: str) -> TrainingDiverged:
    """The error, in one line.

    Args:
        run: to name its checkpoints, and what may help.
        what: "loss", "gradient", ...
        where: the step, and the steps that were looked at together.
    """
    advice = "try a lower config.learning_rate.initial"
    if run.loss_scale is not None:
        advice += " or config.precision=mixed_bfloat16, which has the range of float32,"
    advice += " in another --workdir"
    kept = "there is no checkpoint yet"
    if checkpoint.steps(run.folder.checkpoints):
        kept = f"the checkpoints in {run.folder.checkpoints} are from before"
        advice += f", to begin with these weights by config.initial_weights={run.folder.folder}"
    return TrainingDiverged(f"the {what} became NaN or infinite {where}; {kept}; {advice}")


def note_gradient(run: Run, norm: float, where: str) -> None:
    """Keeps account in `run.position` of one step's gradient and whether its update was left out.

    Args:
        run: its dynamic loss scale, where it has one, left out the update if `norm` is not finite.
        norm: of the gradient.
        where: for the error.

    Raises:
        TrainingDiverged: it is not finite, and no loss scale is there to help or has helped.
    """
    position, scale = run.position, run.loss_scale
    if math.isfinite(norm):
        position.gradient_norm, position.skipped_in_a_row = norm, 0
        return
    if scale is None or not scale.dynamic:
        raise report(run, "gradient", where)
    position.skipped_updates += 1
    position.skipped_in_a_row += 1
    if position.skipped_in_a_row >= loss_scale.MAX_SKIPPED_IN_A_ROW:
        lowest = float(scale.factor())
        raise report(
            run,
            "gradient",
            f"{where}, as in the {position.skipped_in_a_row - 1} steps before, whose updates were "
            f"skipped at loss scales down to {lowest:g}",
        )


def check_norms(run: Run, norms: dict[str, float]) -> None:
    """Looks at what the updates have made of the weights.

    Raises:
        TrainingDiverged: a norm is not finite, though the gradients were.
    """
    for name, norm in norms.items():
        if not math.isfinite(norm):
            raise report(run, name.replace("_", " "), f"by step {run.position.step}")
