"""When a run's state is written, and what happens when it cannot be."""

from __future__ import annotations

import dataclasses
import time

from alexnet_common.messages import log
from alexnet_tf.optim import optimizer as optimizers
from alexnet_tf.runs import checkpoint
from alexnet_tf.train_loop.run import Run

# Consecutive failures after which a run no longer goes on hoping for room on the disk.
MAX_FAILURES = 5


class Saver:
    """Writes checkpoints of one run: at the end of epochs, by steps, by minutes, and the best."""

    def __init__(self, run: Run):
        self._run = run
        self._saved_at = time.monotonic()
        self._failures = 0

    def is_due(self) -> bool:
        """Whether config.checkpoint asks for one now, in the middle of an epoch."""
        settings = self._run.config.checkpoint
        if settings.every_steps and self._run.position.step % settings.every_steps == 0:
            return True
        minutes = (time.monotonic() - self._saved_at) / 60
        # Only the chief writes: the other workers' clocks do not matter.
        return bool(settings.every_minutes) and minutes > settings.every_minutes

    def save(self, best: bool = False, last: bool = False) -> None:
        """Writes the present state, and a copy under `best/` if asked to.

        A full disk is a loud warning: the run goes on with its older checkpoints, for a bounded
        number of failures in a row.

        Args:
            best: whether it is the best state so far.
            last: whether nothing comes afterwards that could be saved instead.

        Raises:
            OSError: of the failure that was one too many, or of the last checkpoint.
        """
        if not self._run.distribution.is_chief:
            return
        folder, position = self._run.folder, self._run.position
        state = self.state()
        try:
            if best:
                # Before the checkpoint that names it: a kill in between lets the epoch be computed
                # again, and the same file be written again.
                self._save_best(state)
            checkpoint.save(checkpoint.path_of(folder.checkpoints, position.step), state)
            checkpoint.remove_old(folder.checkpoints, self._run.config.checkpoint.keep)
            self._failures = 0
        except OSError as error:
            self._failures += 1
            outlook = (
                "the steps since are lost; the same command computes them again"
                if last
                else f"failure {self._failures} of {MAX_FAILURES} before the run ends"
            )
            log(
                f"WARNING: checkpoint of step {position.step} NOT WRITTEN: {error.strerror} "
                f"({folder.folder}); older ones are whole; {outlook}"
            )
            if last or self._failures >= MAX_FAILURES:
                raise
        self._saved_at = time.monotonic()

    def _save_best(self, state: checkpoint.Checkpoint) -> None:
        folder, step = self._run.folder.best, self._run.position.step
        if self._run.config.optimizer.averaging != "none":
            # What was evaluated, and what evaluation and export will take.
            with optimizers.averaged(self._run.optimizer, self._run.model.trainable_variables):
                state = self.state()
        checkpoint.save(checkpoint.path_of(folder, step), state)
        checkpoint.remove_old(folder, 1)

    def state(self) -> checkpoint.Checkpoint:
        """What a checkpoint of the run's present state holds."""
        run = self._run
        state = dataclasses.asdict(run.position)
        if run.loss_scale is not None:
            state["loss_scale"] = run.loss_scale.get_state()
        return checkpoint.Checkpoint(
            run.names.weights_out(run.variables),
            run.names.optimizer_out(run.optimizer),
            state | {"learning_rate_rule": run.rule.get_state()},
        )
