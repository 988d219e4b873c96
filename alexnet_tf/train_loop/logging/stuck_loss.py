"""A warning where a network does not begin to learn."""

from __future__ import annotations

import math

from alexnet_common.messages import log
from alexnet_tf.train_loop.logging.records import Interval
from alexnet_tf.train_loop.logging.watchers import Watcher


class StuckLoss(Watcher):
    """Warns once when the loss stays where a network that knows nothing has it: at ln(classes).

    Args:
        classes: of the dataset.
        steps: so many updates at that loss, from the start of the run on, are worth a warning.
    """

    TOLERANCE = 0.02

    def __init__(self, classes: int, steps: int = 5000):
        self._chance = math.log(classes)
        self._steps = steps
        self._warned = False
        self._since: int | None = None

    def interval(self, record: Interval) -> None:
        """Looks at the interval's mean."""
        step, loss = record.means.step, record.means.loss
        if self._warned:
            return
        if abs(loss - self._chance) > self.TOLERANCE:
            self._since = None
            return
        self._since = step if self._since is None else self._since
        if step - self._since >= self._steps:
            self._warned = True
            log(
                f"WARNING: the loss has been {loss:.2f} = ln(classes) for {self._steps:,} "
                "steps: the network does not learn. Usual causes: a learning rate that is too high "
                "or too low, initial biases of 0 instead of 1, labels that do not belong to the "
                "images (python -m data_prep.verify shows them)"
            )
