"""Trials: which runs a claim needs, where they lie, and how each of them is trained.

A trial's folder is named by what it computes (recipe, settings, seed, dataset), so claims share the
runs that they have in common, and a trial that is there already is not run again.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from alexnet_tf.claims.claim import Arm, Claim


@dataclasses.dataclass(frozen=True)
class Trial:
    """One training run.

    Attributes:
        recipe: name of the recipe.
        overrides: config keys and values; `seed` among them.
        data_dir: the dataset.
        folder: its work folder.
        computing: further config keys and values as text, which change results by rounding alone.
    """

    recipe: str
    overrides: tuple[tuple[str, Any], ...]
    data_dir: str
    folder: Path
    computing: tuple[tuple[str, str], ...] = ()

    @property
    def program(self) -> tuple[Any, ...]:
        """What runs share that differ in seed, rates and length alone: what is compiled.

        Long runs have one each: waiting for another's end takes longer than to compile.
        """
        settings = dict(self.overrides)
        images = settings.get("limit_train_examples") or WHOLE_SET
        long = settings.get("train_epochs", 0) * images >= LONG
        own = () if long else ("seed", "train_epochs")
        others = tuple(
            pair
            for pair in self.overrides
            if pair[0] not in own and not pair[0].startswith("learning_rate.")
        )
        return self.recipe, others, self.data_dir

    def texts(self) -> list[tuple[str, str]]:
        """Config keys and values as text, with what makes short runs fast and changes no result."""
        return [
            *((key, text_of(value)) for key, value in self.overrides),
            ("data_dir", self.data_dir),
            *FAST,
            *self.computing,
        ]


# Images of the largest set here, and images over all epochs from which a run is long.
WHOLE_SET = 50_000
LONG = 700_000
# None of it changes what a run computes by more than rounding.
FAST = (
    ("input.cache", "device"),
    ("log.every_steps", "1000"),
    ("log.tensorboard", "false"),
    ("log.report", "false"),
    ("checkpoint.keep", "1"),
)


def make(recipe: str, overrides: Mapping[str, Any], seed: int, data_dir: str, root: Path) -> Trial:
    """The trial of these settings, in its folder under `root`."""
    settings = tuple(sorted({**overrides, "seed": seed}.items()))
    text = json.dumps([recipe, settings, str(Path(data_dir).resolve())], default=str)
    digest = hashlib.sha256(text.encode()).hexdigest()[:10]
    return Trial(recipe, settings, data_dir, root / "runs" / f"{recipe}-{digest}-seed{seed}")


def of_arm(
    claim: Claim,
    arm: Arm,
    budget: str,
    seed: int,
    data_dir: str,
    root: Path,
    chosen: Mapping[str, Any] | None = None,
) -> list[Trial]:
    """The runs behind one row: one, or as many as the arm has members (an ensemble).

    Args:
        chosen: what the arm's grid was decided to be.
    """
    overrides = {**claim.budgets[budget].overrides, **arm.overrides, **(chosen or {})}
    if arm.diary:
        epochs = overrides["train_epochs"]
        entries = tuple((int(share * epochs), what, value) for share, what, value in arm.diary)
        overrides |= {"learning_rate.schedule": "diary", "learning_rate.diary": entries}
    seeds = range(seed * arm.members, (seed + 1) * arm.members)
    return [make(claim.recipe, overrides, member, data_dir, root) for member in seeds]


def pretraining(
    claim: Claim, arm: Arm, budget: str, seed: int, data_dir: str, root: Path
) -> Trial | None:
    """The run whose weights an arm begins with; None where it draws its own.

    Args:
        data_dir: of the images to pretrain on.
    """
    if not arm.pretrained:
        return None
    overrides = {**claim.budgets[budget].overrides, **arm.overrides, **arm.pretrained}
    if budget == "smoke":
        overrides |= claim.budgets[budget].overrides
    return make(claim.recipe, overrides, seed, data_dir, root)


def beginning_with(trial: Trial, before: Trial) -> Trial:
    """`trial`, beginning with the weights of another run, in a folder of its own."""
    words = {"initial_weights": str(before.folder), "initial_weights_partial": True}
    overrides = tuple(sorted({**dict(trial.overrides), **words}.items()))
    name = f"{trial.folder.name}-after-{before.folder.name.rpartition('-seed')[0][-10:]}"
    return dataclasses.replace(trial, overrides=overrides, folder=trial.folder.with_name(name))


def grid_points(arm: Arm) -> list[dict[str, Any]]:
    """The settings that an arm's grid offers; none where it has no grid.

    Raises:
        ValueError: a grid over more than one key, which no claim needs.
    """
    if len(arm.grid) > 1:
        raise ValueError(f"the grid of {arm.name} has more than one key")
    return [{key: value} for key, values in arm.grid.items() for value in values]


def at_the_edge(arm: Arm, chosen: Mapping[str, Any]) -> bool:
    """Whether the best point of a grid is its first or last: the optimum may lie beyond."""
    (key, values), *_ = arm.grid.items()
    return chosen[key] in (values[0], values[-1])


def text_of(value: Any) -> str:
    """A config value as the command line takes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Sequence) and not isinstance(value, str):
        return repr(tuple(value))
    return str(value)
