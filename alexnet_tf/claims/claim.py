"""What a claim is: the sentence, its arms, what is measured, and the rule that decides."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from typing import Any

from alexnet_common import suggestions
from alexnet_common.errors import UsageError
from alexnet_tf.claims import catalogue
from alexnet_tf.claims.rules import Rule

CIFAR_10 = "CIFAR-10 at 32x32"


@dataclasses.dataclass(frozen=True)
class Arm:
    """One side of a comparison: differences from the claim's recipe.

    Attributes:
        name: short, as in tables and folder names: "relu", "tanh".
        overrides: config keys and values, such as {"network.neuron": "tanh"}.
        grid: a further key with values, of which the one with the lowest training error after
            the pilot of the claim's first seed is taken: a learning rate of its own, say.
        diary: entries (share of the run done, what, value) of a manual schedule, stretched over
            the budget's epochs; empty: the claim's schedule.
        measure: what is taken from this arm's runs; empty: the claim's measure.
        members: runs that one row is made of (an ensemble's).
        pretrained: if not empty, the arm begins with the weights of a run on the images in
            --pretraining_data_dir, which differs from its own in these keys and values.
    """

    name: str
    overrides: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    grid: Mapping[str, Sequence[Any]] = dataclasses.field(default_factory=dict)
    diary: tuple[tuple[float, str, float], ...] = ()
    measure: str = ""
    members: int = 1
    pretrained: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Budget:
    """How long and how often.

    Attributes:
        overrides: config keys and values: length, number of images.
        seeds: planned number of seeds per arm; looks are at this, twice, four times as many.
        cost: measured or estimated, in words with what it was measured on.
        pilot: config keys and values of the runs that decide an arm's grid.
    """

    overrides: Mapping[str, Any]
    seeds: int
    cost: str
    pilot: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Claim:
    """A sentence of the paper that can be checked.

    Attributes:
        name: as in `reproduce NAME`.
        section: of the paper.
        sentence: what is claimed, in our words.
        number: the paper's number, exactly as printed.
        recipe: the recipe that all arms begin with.
        arms: of the comparison, the reference first.
        measure: what is taken from each run (`measuring.MEASURES`).
        rule: from rows to a verdict.
        budgets: "smoke" (seconds: does it run), "laptop", "gpu".
        confounders: what else could explain a difference; said beside every verdict.
        images: which dataset `--data_dir` must be, in words.
        not_tested: what of the paper's claim this comparison says nothing about.
    """

    name: str
    section: str
    sentence: str
    number: str
    recipe: str
    arms: tuple[Arm, ...]
    measure: str
    rule: Rule
    budgets: Mapping[str, Budget]
    confounders: tuple[str, ...] = ()
    images: str = CIFAR_10
    not_tested: str = ""


@dataclasses.dataclass(frozen=True)
class Unreachable:
    """A number of the paper that needs ImageNet: its exact command, and what it would cost.

    Attributes:
        name, section, sentence, number: as of a claim.
        commands: what to type, in order.
        cost: by measured speed, with the measurement named.
    """

    name: str
    section: str
    sentence: str
    number: str
    commands: tuple[str, ...]
    cost: str


def load_all() -> dict[str, Claim]:
    """All claims by name: `CLAIM`, or the several `CLAIMS`, of each module of `catalogue`."""
    claims: dict[str, Claim] = {}
    for module in sorted(pkgutil.iter_modules(catalogue.__path__), key=lambda m: m.name):
        imported = importlib.import_module(f"{catalogue.__name__}.{module.name}")
        several = getattr(imported, "CLAIMS", ()) or (imported.CLAIM,)
        claims |= {claim.name: claim for claim in several}
    return claims


def load(name: str) -> Claim:
    """One claim.

    Raises:
        UsageError: there is none of that name; near ones are named.
    """
    claims = load_all()
    if name not in claims:
        near = suggestions.did_you_mean(name, claims) or f"; there are {', '.join(claims)}"
        raise UsageError(f"no claim is called {name!r}{near}")
    return claims[name]
