"""When losses, gradients or weights are not finite: what is left out, and what ends the run.

Everything is looked at before a checkpoint is written, so that none holds weights that are not
finite or that a gradient which is not finite has touched.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from alexnet_common.errors import UserError
from alexnet_tf.optim.loss_scale import MAX_SKIPPED_IN_A_ROW


class TrainingDiverged(UserError):
    """Loss, gradient or weights are not finite."""


class Verdict(NamedTuple):
    """What is to be said of one update, or of the weights.

    Attributes:
        diverged: what is not finite, which ends the run: "loss", "gradient", ...; "": nothing.
        skipped: the update was left out, because its gradient is not finite.
        skipped_before: updates left out in a row before this one.
    """

    diverged: str = ""
    skipped: bool = False
    skipped_before: int = 0


FINE = Verdict()


def of_update(
    loss: float, gradient_norm: float, *, may_skip: bool = False, skipped_before: int = 0
) -> Verdict:
    """Looks at one update.

    Args:
        loss: summed over its batch.
        gradient_norm: of its gradient.
        may_skip: a dynamic loss scale leaves updates out whose gradient is not finite.
        skipped_before: updates left out in a row before this one.
    """
    if not math.isfinite(loss):
        return Verdict("loss")
    if math.isfinite(gradient_norm):
        return FINE
    if may_skip and skipped_before + 1 < MAX_SKIPPED_IN_A_ROW:
        return Verdict(skipped=True, skipped_before=skipped_before)
    return Verdict("gradient", skipped_before=skipped_before)


def of_norms(norms: Mapping[str, float]) -> Verdict:
    """Looks at what the updates have made of the weights: norms by name, "parameter_norm", ..."""
    for name, norm in norms.items():
        if not math.isfinite(norm):
            return Verdict(name.replace("_", " "))
    return FINE


def error(
    verdict: Verdict,
    where: str,
    *,
    workdir: str,
    checkpoints: str = "",
    loss_scale: float | None = None,
) -> TrainingDiverged:
    """What is said of a run that has diverged, in one line.

    Args:
        verdict: of `of_update` or `of_norms`.
        where: the step, and the steps that were looked at together.
        workdir: of the run.
        checkpoints: where its checkpoints lie; "": there is none.
        loss_scale: the factor on the loss now; None: the precision needs none.
    """
    if verdict.skipped_before:
        where += (
            f", as in the {verdict.skipped_before} steps before, whose updates were skipped at "
            f"loss scales down to {loss_scale:g}"
        )
    advice = "try a lower config.learning_rate.initial"
    if loss_scale is not None:
        advice += " or config.precision=mixed_bfloat16, which has the range of float32,"
    advice += " in another --workdir"
    kept = "there is no checkpoint yet"
    if checkpoints:
        kept = f"the checkpoints in {checkpoints} are from before"
        advice += f", to begin with these weights by config.initial_weights={workdir}"
    return TrainingDiverged(
        f"the {verdict.diverged} became NaN or infinite {where}; {kept}; {advice}"
    )
