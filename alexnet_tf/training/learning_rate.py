"""When the learning rate falls: the plateau rule with its state, and planned drops.

The rate lives in the optimizer; these callbacks change it at the end of an epoch. What they must
remember across a restart is in `get_state` / `set_state`.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from alexnet_tf.config import ConfigDict
from alexnet_tf.training import optimizer as optimizers
from data_prep import command


class PlateauWithState(keras.callbacks.ReduceLROnPlateau):
    """Keras' `ReduceLROnPlateau` that survives a restart and cuts a bounded number of times.

    Keras resets best value and patience whenever training begins, so a resumed run would wait
    anew. Section 5 divides by 10 "three times prior to termination": `max_drops`.
    """

    def __init__(self, *, max_drops: int, **arguments: Any):
        super().__init__(mode="min", **arguments)
        self.max_drops = max_drops
        self.drops = 0
        self._restored: dict[str, Any] | None = None

    def get_state(self) -> dict[str, Any]:
        """Best value, epochs waited, cooldown and drops so far, as JSON numbers."""
        best = self.best
        return {
            "best": None if best is None or not np.isfinite(best) else float(best),
            "wait": int(self.wait),
            "cooldown": int(self.cooldown_counter),
            "drops": int(self.drops),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores `get_state`; takes effect when training begins."""
        self._restored = dict(state)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Resets as Keras does, then restores."""
        super().on_train_begin(logs)
        if self._restored is not None:
            if self._restored["best"] is not None:
                self.best = self._restored["best"]
            self.wait = self._restored["wait"]
            self.cooldown_counter = self._restored["cooldown"]
            self.drops = self._restored["drops"]

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Cuts the rate when the monitored error has not improved for `patience` epochs."""
        logs = logs if logs is not None else {}
        if self.monitor not in logs:
            return  # An epoch without validation says nothing about a plateau.
        if self.drops >= self.max_drops:
            self.wait = -1  # Keras cuts at wait + 1 >= patience: keep counting from below.
        before = optimizers.learning_rate(self.model.optimizer)
        super().on_epoch_end(epoch, logs)
        after = optimizers.learning_rate(self.model.optimizer)
        if after < before:
            self.drops += 1
            command.log(
                f"epoch {epoch + 1}: {self.monitor} has not improved for {self.patience} epochs; "
                f"learning rate {before:g} -> {after:g} (drop {self.drops} of {self.max_drops})"
            )


class PlannedDrops(keras.callbacks.Callback):
    """Sets the rate at the end of given epochs: initial * factor^(drops so far)."""

    def __init__(self, initial: float, factor: float, drop_epochs: tuple[int, ...]):
        super().__init__()
        self.initial, self.factor, self.drop_epochs = initial, factor, tuple(drop_epochs)

    def get_state(self) -> dict[str, Any]:
        """Nothing: the rate follows from the epoch."""
        return {}

    def set_state(self, state: dict[str, Any]) -> None:
        """Nothing to restore."""

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Sets the rate of the next epoch."""
        drops = sum(1 for drop in self.drop_epochs if epoch + 1 >= drop)
        rate = self.initial * self.factor**drops
        if epoch + 1 in self.drop_epochs:
            command.log(f"epoch {epoch + 1}: learning rate -> {rate:g}, as planned")
        self.model.optimizer.learning_rate = rate


LearningRate = PlateauWithState | PlannedDrops


def make(config: ConfigDict) -> LearningRate:
    """The rule that `config.learning_rate.schedule` names.

    Raises:
        UsageError: an unknown name, or a factor that does not lower the rate.
    """
    settings = config.learning_rate
    if not 0 < settings.factor < 1:
        raise command.UsageError(
            f"config.learning_rate.factor must lie between 0 and 1, not {settings.factor}"
        )
    if settings.schedule == "plateau":
        return PlateauWithState(
            monitor=settings.monitor,
            factor=float(settings.factor),
            patience=int(settings.patience_epochs),
            min_delta=float(settings.min_delta),
            max_drops=int(settings.max_drops),
        )
    if settings.schedule in ("steps", "constant"):
        drops = settings.drop_epochs if settings.schedule == "steps" else ()
        return PlannedDrops(float(settings.initial), float(settings.factor), drops)
    raise command.UsageError(
        f"config.learning_rate.schedule must be plateau, steps or constant, not "
        f"{settings.schedule!r}"
    )
