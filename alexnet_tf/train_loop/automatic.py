"""What `auto` means in a recipe: the choices that were measured to be fastest, with the reason.

Resolved once, when a run begins, and kept in its config.json: a run that goes on computes as it
began, whatever this table says by then. A value that a recipe names is never changed.

The figures are of 2026-11-26: on a GPU an H200 with the paper's network (docs/performance.md), on
CPUs 2 cores of an AMD EPYC without a GPU.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from alexnet_tf.config import ConfigDict
from alexnet_tf.tables import rows
from alexnet_tf.tables.table import Table


@dataclasses.dataclass(frozen=True)
class Choice:
    """What a setting became, and why."""

    key: str
    value: Any
    reason: str

    def __str__(self) -> str:
        value = str(self.value).lower() if isinstance(self.value, bool) else self.value
        return f"{self.key}={value}: {self.reason}"


@dataclasses.dataclass(frozen=True)
class Place:
    """What the choices depend on.

    Attributes:
        gpu: whether the run computes on GPUs.
        placed: whether the network's columns lie on devices of their own.
        columns: of the network.
        normalises: whether it has normalisation across maps.
    """

    gpu: bool
    placed: bool
    columns: int
    normalises: bool

    @classmethod
    def of(cls, table: Table, gpu: bool, placed: bool) -> Place:
        """The place of a run of `table`."""
        kinds = {type(row) for row in table.layers}
        return cls(gpu, placed, table.num_columns, rows.CrossMapNorm in kinds)


def choices(place: Place) -> dict[str, Choice]:
    """The choice for every setting that can be `auto`."""
    chosen = (
        _jit_compile(place),
        _lrn_kernel(place),
        _implementation(place),
        Choice("strided_convolution", "direct", "blocks of pixels were not faster where measured"),
        _precision(place),
        Choice("input.cache", "none", "memory and device are for a dataset that is known to fit"),
    )
    return {choice.key: choice for choice in chosen}


def _jit_compile(place: Place) -> Choice:
    if place.placed:
        return Choice("jit_compile", False, "XLA compiles for one device, and columns lie on two")
    if place.gpu:
        return Choice("jit_compile", True, "twice the images/s of an H200 at batch 128")
    return Choice("jit_compile", False, "on CPUs TensorFlow's own kernels are faster")


def _lrn_kernel(place: Place) -> Choice:
    if not place.normalises:
        return Choice("lrn_kernel", "tf", "the network has no normalisation across maps")
    if place.gpu:
        return Choice("lrn_kernel", "banded", "1.07 times the images/s, and XLA fuses it")
    return Choice("lrn_kernel", "tf", "within 5% of the others on CPUs")


def _implementation(place: Place) -> Choice:
    if place.columns == 1:
        return Choice("implementation", "towers", "the network has one column")
    if place.gpu:
        return Choice("implementation", "towers", "native groups were slower in float32")
    return Choice("implementation", "towers", "native groups run at a fifth of the speed on CPUs")


def _precision(place: Place) -> Choice:
    if place.gpu:
        return Choice(
            "precision",
            "float32",
            "with TF32 products, as GPUs multiply float32; float32_exact is without, and bfloat16 "
            "was not shown to leave results as they are",
        )
    return Choice("precision", "float32", "exact products on CPUs")


def resolve(config: ConfigDict, place: Place, begun: Mapping[str, Any] | None) -> list[Choice]:
    """Replaces every `auto` of a config, and returns what was chosen.

    Args:
        config: a recipe, changed in place.
        place: where the run computes.
        begun: the config with which the run began, as nested dicts; None: it begins now.
    """
    made = []
    for choice in choices(place).values():
        *sections, name = choice.key.split(".")
        section, before = config, begun
        for part in sections:
            section = section[part]
            before = None if before is None else before.get(part)
        if section[name] != "auto":
            continue
        kept = "auto" if before is None else before.get(name, "auto")
        if kept != "auto":
            choice = Choice(choice.key, kept, "as the run began")
        section[name] = choice.value
        made.append(choice)
    return made


def keras_policy(precision: str) -> str:
    """Keras' dtype policy for config.precision."""
    return "float32" if precision == "float32_exact" else precision
