"""Runs one after another in one process, such as the arms and seeds of a comparison.

Importing TensorFlow, building a network and compiling it take longer than training a small one for
a few epochs. Runs that differ in seed, learning rates and length alone share all of that, and runs
on the same images share those where `config.input.cache` keeps them on the device. Each computes
what it computes alone.
"""

from __future__ import annotations

import dataclasses
import gc
from collections.abc import Sequence
from typing import Any

from alexnet_tf import recipes
from alexnet_tf.input import resident
from alexnet_tf.model import build
from alexnet_tf.optim import optimizer as optimizers
from alexnet_tf.optim.schedules import learning_rate
from alexnet_tf.recipes import ConfigDict
from alexnet_tf.runs import checkpoint, dataset_copy, definition_copy
from alexnet_tf.runs.workdir import WorkFolder, truncate_metrics
from alexnet_tf.train_loop import automatic
from alexnet_tf.train_loop.logging.watchers import Watcher
from alexnet_tf.train_loop.loop import Loop
from alexnet_tf.train_loop.run import Position, Run
from alexnet_tf.train_loop.setup import set_up

# Sections and keys of a config in which two runs of one compiled network may differ.
NOT_COMPILED = ("seed", "learning_rate", "train_epochs", "train_steps")


class Successive:
    """Trains runs, on one device, without the checks that `alexnet_tf.train` begins with."""

    def __init__(self) -> None:
        self._loop: Loop | None = None
        self._config: dict[str, Any] = {}
        self._optimizer_at_first: dict[str, Any] = {}
        self._images: tuple[tuple[str, int], resident.Resident] | None = None

    def train(
        self, config: ConfigDict, folder: WorkFolder, watchers: Sequence[Watcher] = ()
    ) -> dict[str, Any]:
        """Trains a run to its end, from where its work folder stands.

        Args:
            config: a resolved recipe.
            folder: its work folder, claimed by nobody.
            watchers: who is told of it.

        Returns:
            What `Loop.train` does, and raises.
        """
        wanted = recipes.to_dict(config)
        loop, self._loop = self._loop, None
        if loop and self._alike(wanted) and not folder.has_checkpoint():
            run = restart(loop.run, config, folder, self._optimizer_at_first)
            loop = Loop(run, quiet=True, watchers=watchers, like=loop)
        else:
            del loop
            gc.collect()  # Before the next network needs the device's memory.
            loop = self._new(config, folder, watchers)
        results = loop.train()
        # One that stopped or diverged is not kept.
        self._loop, self._config = loop, wanted
        return results

    def _new(self, config: ConfigDict, folder: WorkFolder, watchers: Sequence[Watcher]) -> Loop:
        key = config.data_dir, config.limit_train_examples
        kept = self._images[1] if self._images and self._images[0] == key else None
        self._images = None
        run = set_up(config, folder, images=kept)
        if run.prepare.resident:
            self._images = key, run.prepare.resident
        self._optimizer_at_first = optimizers.state(run.optimizer)
        return Loop(run, quiet=True, watchers=watchers)

    def _alike(self, wanted: dict[str, Any]) -> bool:
        """Whether the last run's network can be taken: nothing differs that is compiled."""
        special = wanted["initial_weights"] or wanted["optimizer"]["averaging"] != "none"
        before = {key: value for key, value in self._config.items() if key not in NOT_COMPILED}
        return not special and before == {
            key: value for key, value in wanted.items() if key not in NOT_COMPILED
        }


def restart(
    run: Run, config: ConfigDict, folder: WorkFolder, optimizer_at_first: dict[str, Any]
) -> Run:
    """Another run at its beginning, on the network and optimizer of one that ended.

    Args:
        run: the one that ended; of no use afterwards.
        config: as the ended run's was before its `auto`s were resolved, but for `NOT_COMPILED`.
        folder: the new run's, without a checkpoint.
        optimizer_at_first: `optimizer.state` before the first update.
    """
    for choice in run.chosen:
        *sections, name = choice.key.split(".")
        section = config
        for part in sections:
            section = section[part]
        section[name] = choice.value
    fresh = build.build(
        run.table,
        seed=config.seed,
        policy=automatic.keras_policy(config.precision),
        implementation=config.implementation,
        lrn=config.lrn_kernel,
        space_to_depth=config.strided_convolution == "space_to_depth",
    )
    drawn = {name: value.numpy() for name, value in build.named_variables(fresh).items()}
    checkpoint.assign_weights(run.variables, drawn, "the initial weights")
    optimizers.load_state(run.optimizer, optimizer_at_first)
    run.optimizer.multipliers.reset()
    last_step = config.train_steps or config.train_epochs * run.steps_per_epoch
    rule = learning_rate.make(
        config,
        steps_per_epoch=run.steps_per_epoch,
        total_steps=last_step,
        settings=build.variable_settings(run.model),
    )
    folder.open(config)
    dataset_copy.keep(folder.folder, run.data)
    definition_copy.keep(folder.folder, config.network)
    truncate_metrics(folder.metrics_file, 0)
    return dataclasses.replace(
        run, config=config, folder=folder, rule=rule, last_step=last_step, position=Position()
    )
