"""The watchers that a recipe asks for."""

from __future__ import annotations

from alexnet_tf.recipes import ConfigDict
from alexnet_tf.settings.checks import values
from alexnet_tf.train_loop.logging.metrics_file import MetricsFile
from alexnet_tf.train_loop.logging.profile import Profile
from alexnet_tf.train_loop.logging.progress import Progress
from alexnet_tf.train_loop.logging.stuck_loss import StuckLoss
from alexnet_tf.train_loop.logging.summary import Summary
from alexnet_tf.train_loop.logging.tensorboard import TensorBoard
from alexnet_tf.train_loop.logging.watchers import Watcher
from alexnet_tf.train_loop.run import Run


def chosen(run: Run, quiet: bool = False) -> list[Watcher]:
    """The watchers that `run.config.log` asks for; none but on the chief.

    Args:
        run: as `setup.set_up` returns it.
        quiet: say nothing but warnings.
    """
    if not run.distribution.is_chief:
        return []
    folder, log = run.folder, run.config.log
    watchers: list[Watcher] = [MetricsFile(folder.metrics_file)]
    if log.tensorboard:
        every, text = log.histograms_every_epochs, recipe_text(run.config)
        watchers.append(TensorBoard(folder.tensorboard, run.variables, every, text))
    if log.profile_steps:
        watchers.append(Profile(folder.tensorboard, log.profile_steps, run.variables, quiet))
    watchers.append(Progress(run.steps_per_epoch, run.epochs, quiet=quiet))
    if run.table.cost is None or run.table.cost.kind == "logreg":
        # Of other costs ln(classes) may be a good value.
        watchers.append(StuckLoss(run.data.num_classes))
    watchers.append(Summary(folder.metrics_file, log.expected, quiet=quiet))
    return watchers


def recipe_text(config: ConfigDict) -> str:
    """Every setting of a run, as Markdown."""
    rows = [f"| config.{key} | `{value!r}` |" for key, value in sorted(values(config))]
    return "\n".join([f"**{config.name}**", "", "| setting | value |", "|---|---|", *rows])
