"""What tensorflow-addons is good for, on the stack where it runs (TensorFlow 2.15, Keras 2.15).

Its optimizers are of Keras' legacy kind, which the averaging ones can wrap; the paper's rule is
therefore written once more for that kind, in `legacy_rules`, which alone imports tensorflow-addons.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from alexnet_common.errors import UsageError, UserError
from alexnet_tf.model.build import VariableSettings
from alexnet_tf.recipes import ConfigDict


def make(
    config: ConfigDict, settings: Sequence[VariableSettings], rate: float, replicas: int
) -> Any:
    """The optimizer for `config.optimizer.name` sgdw, or sgd with averages of the weights.

    Args:
        config: a recipe.
        settings: how each variable learns.
        rate: the learning rate it begins with.
        replicas: on how many the run computes.

    Raises:
        UsageError: a combination that does not work.
        UserError: tensorflow-addons is not installed, or does not run with this TensorFlow.
    """
    chosen = config.optimizer
    if chosen.averaging != "none" and replicas > 1:
        raise UsageError(
            f"config.optimizer.averaging={chosen.averaging} works on one device only "
            f"(tensorflow-addons fails under a strategy), not on {replicas} replicas"
        )
    wish = f"averaging={chosen.averaging}" if chosen.averaging != "none" else f"name={chosen.name}"
    try:
        from alexnet_tf.optim import legacy_rules
    except ImportError as error:
        raise UserError(
            f"config.optimizer.{wish} needs tensorflow-addons, which runs with TensorFlow 2.15 "
            f"only (here is {tf.__version__}): in an environment of its own with Python 3.11, "
            "pip install 'alexnet-tf[addons]'"
        ) from error

    momentum = float(chosen.momentum)
    if chosen.name == "sgdw":
        decay = _one_decay(settings, momentum)
        rule = legacy_rules.DecoupledRule(settings, rate, momentum, decay)
    else:
        rule = legacy_rules.PaperRule(settings, rate, momentum)
    first = int(chosen.averaging_first_step)
    if chosen.averaging == "moving_average":
        rule = legacy_rules.MovingAverage(rule, float(chosen.averaging_decay), first)
    elif chosen.averaging == "swa":
        rule = legacy_rules.WeightAverage(rule, first, int(chosen.averaging_every_steps))
    return rule


def variables(optimizer: Any) -> list[tf.Variable] | None:
    """All variables of an optimizer that `make` returned, each once; None for any other."""
    return optimizer.every_variable() if hasattr(optimizer, "every_variable") else None


def averages(optimizer: Any, model_variables: Sequence[Any]) -> list[np.ndarray] | None:
    """The averages of `model_variables`; None where there are none, or none yet."""
    if not hasattr(optimizer, "has_averages") or not optimizer.has_averages():
        return None
    return [optimizer.get_slot(variable, "average").numpy() for variable in model_variables]


def _one_decay(settings: Sequence[VariableSettings], momentum: float) -> float:
    decays = sorted({one.weight_decay for one in settings if one.weight_decay})
    if len(decays) > 1:
        raise UsageError(
            "config.optimizer.name=sgdw has one weight decay for all variables that decay; the "
            f"network's table has {', '.join(f'{decay:g}' for decay in decays)}"
        )
    for variable in settings:
        if variable.momentum not in (None, momentum):
            raise UsageError(
                f"config.optimizer.name=sgdw has one momentum, {momentum:g}; the network's table "
                f"gives {variable.name} {variable.momentum:g}"
            )
    return decays[0] if decays else 0.0
