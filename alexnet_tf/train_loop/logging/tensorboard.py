"""What a run writes for TensorBoard: numbers, the first layer's kernels, histograms."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from alexnet_common.errors import one_line
from alexnet_common.messages import log
from alexnet_tf.model.placement import tensorflow_variable
from alexnet_tf.pictures import kernels as kernel_pictures
from alexnet_tf.train_loop.logging.records import Epoch, Interval
from alexnet_tf.train_loop.logging.watchers import Watcher

# Tag and description of every scalar, by its name in metrics.jsonl. TensorBoard sorts tags: what
# says how a run goes (learning_rate, loss, ...) must come before the rest.
SCALARS = {
    "learning_rate": ("learning_rate", "Of the interval's last update."),
    "loss": (
        "loss",
        "Mean cost per example (cross-entropy in nats, unless the network says otherwise): of an "
        "interval's training batches with dropout and augmentation, and of the whole validation "
        "split without.",
    ),
    "top_1_error": ("top_1_error", "Share of examples whose best class is wrong."),
    "top_5_error": ("top_5_error", "Share of examples whose class is not among the best five."),
    "loss_scale": ("precision/loss_scale", "The factor on the loss that float16 needs."),
    "skipped_updates": (
        "precision/skipped_updates",
        "Updates of the whole run that were left out because a gradient was not finite.",
    ),
    "parameter_norm": ("norms/parameter_norm", "l2 norm of all weights together."),
    "gradient_norm": (
        "norms/gradient_norm",
        "l2 norm of the last update's gradient over all weights, before clipping.",
    ),
    "update_norm": ("norms/update_norm", "l2 norm of what the last update added to the weights."),
    "images_per_second": ("timing/images_per_second", "While training, without evaluations."),
    "data_wait": (
        "timing/data_wait",
        "Share of the training time in which the device waited for data.",
    ),
}


class TensorBoard(Watcher):
    """Scalars per log interval and epoch, the first layer's kernels per epoch, histograms.

    Two runs in TensorBoard's sense, `train` and `validation`, whose scalars share names and so
    share a chart. What cannot be written, because the disk is full, is left out with a warning:
    metrics.jsonl is the record, this is a view of it.

    Args:
        folder: for both.
        variables: the network's by name, as `model.build.named_variables` returns them.
        histograms_every_epochs: of all weights; 0: never.
        recipe: the run's config as text for people, in Markdown; "": none.
    """

    def __init__(
        self,
        folder: Path,
        variables: Mapping[str, Any],
        histograms_every_epochs: int = 0,
        recipe: str = "",
    ):
        self._folder, self._variables, self._recipe = folder, variables, recipe
        self._every = histograms_every_epochs
        self._writers: dict[str, Any] = {}
        self._paused = False

    def begin_epoch(self, epoch: int, step: int) -> None:
        """Shows what the run begins with; tries again what has failed."""
        self._paused = False
        if step == 0:
            self._write_kernels(0)
        if self._recipe:
            # Once per process: some settings may change when a run is resumed.
            recipe, self._recipe = self._recipe, ""
            self._write("train", step, lambda: tf.summary.text("recipe", recipe))

    def interval(self, record: Interval) -> None:
        """Writes the interval's means and norms, and the speed."""
        self._write_scalars("train", record.means.step, record.values() | record.timing())

    def end_epoch(self, record: Epoch) -> None:
        """Writes the validation errors, the kernels and the histograms."""
        step, validation = record.means.step, record.validation
        if validation is not None:
            errors = {
                "loss": validation.loss,
                "top_1_error": validation.top_1_error,
                "top_5_error": validation.top_5_error,
            }
            self._write_scalars("validation", step, errors)
        self._write_kernels(step)
        if self._every and record.means.epoch % self._every == 0:
            self._write("train", step, self._histograms)

    def close(self) -> None:
        """Closes the files."""
        for writer in self._writers.values():
            with contextlib.suppress(tf.errors.OpError):
                writer.close()
        self._writers = {}

    def _write(self, name: str, step: int, summaries: Callable[[], None]) -> None:
        """Calls `summaries` where they go to the file of `name`, unless that has just failed."""
        if self._paused:
            return
        try:
            if name not in self._writers:
                self._writers[name] = tf.summary.create_file_writer(str(self._folder / name))
            with self._writers[name].as_default(step=step):
                summaries()
            self._writers[name].flush()
        except tf.errors.OpError as error:
            # A writer that has failed stays broken; the next one begins another file.
            self._writers.pop(name, None)
            self._paused = True
            reason = one_line(error.message)[:200]
            log(f"WARNING: nothing for TensorBoard until the next epoch: {reason}")

    def _write_scalars(self, name: str, step: int, values: Mapping[str, float]) -> None:
        def scalars() -> None:
            for key in values.keys() & SCALARS.keys():
                tag, description = SCALARS[key]
                tf.summary.scalar(tag, float(values[key]), description=description)

        self._write(name, step, scalars)

    def _write_kernels(self, step: int) -> None:
        layer, kernels = kernel_pictures.first_kernels(self._variables)
        if kernels:
            picture = kernel_pictures.draw(
                [tensorflow_variable(kernel).numpy() for kernel in kernels]
            )
            explanation = (
                "Rows of 16, columns below one another; each kernel on its own scale: a weight "
                "of 0 is mid-grey, the largest magnitude black or white."
            )
            self._write(
                "train",
                step,
                lambda: tf.summary.image(
                    f"kernels/{layer}", picture[None], description=explanation
                ),
            )

    def _histograms(self) -> None:
        for name, variable in self._variables.items():
            tf.summary.histogram(f"weights/{name}", tensorflow_variable(variable).numpy())
