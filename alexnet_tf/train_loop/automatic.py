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

from alexnet_tf.model import grouped
from alexnet_tf.recipes import ConfigDict
from alexnet_tf.settings.catalog import resume_of
from alexnet_tf.settings.setting import Resume
from alexnet_tf.tables import rows, summary
from alexnet_tf.tables.rows import TableError
from alexnet_tf.tables.table import Table

# Bytes of decoded images that go to the device unasked: CIFAR-10 has 154 MB.
LARGEST_SET = 1 << 30
# What a device computes of a small network in about a tenth of a second.
CALL_FLOP = {"GPU": 1e12, "CPU": 1e10}
MOST_STEPS_PER_CALL = 100
# Values with which the network computes as it is written: no reader needs a reason for them.
PLAIN_VALUES = {
    "lrn_kernel": "tf",
    "implementation": "towers",
    "pool_kernel": "tf",
    "strided_convolution": "direct",
}
PLAIN = "the plain operations"
AS_BEGUN = "as the run began"


@dataclasses.dataclass(frozen=True)
class Choice:
    """What a setting became, and why."""

    key: str
    value: Any
    reason: str

    @property
    def setting(self) -> str:
        """As it is written on the command line."""
        value = str(self.value).lower() if isinstance(self.value, bool) else self.value
        return f"{self.key}={value}"

    @property
    def is_plain(self) -> bool:
        """Whether nothing is done that would want a reason."""
        return self.value == PLAIN_VALUES.get(self.key) and self.reason != AS_BEGUN


@dataclasses.dataclass(frozen=True)
class Place:
    """What the choices depend on.

    Attributes:
        gpu: whether the run computes on GPUs.
        placed: whether the network's columns lie on devices of their own.
        columns: of the network.
        normalises: whether it has normalisation across maps.
        mergeable: whether its columns can be computed as one layer.
        compiled: whether XLA compiles the step; None: as this table says.
        cache: config.input.cache where a recipe names it; "": as this table says.
        set_bytes: of the decoded training set, where it may lie on the device; else 0.
        step_flop: floating-point operations of an update.
        many_steps: whether a call may make several updates: the rate does not change at each.
    """

    gpu: bool
    placed: bool
    columns: int
    normalises: bool
    set_bytes: int = 0
    step_flop: float = 0.0
    many_steps: bool = True
    mergeable: bool = True
    compiled: bool | None = None
    cache: str = ""

    @property
    def compiles(self) -> bool:
        """Whether XLA compiles the step, with the choice for it made."""
        return bool(_jit_compile(self).value if self.compiled is None else self.compiled)

    @classmethod
    def of(
        cls,
        table: Table,
        gpu: bool,
        placed: bool,
        *,
        batch_size: int = 128,
        set_bytes: int = 0,
        many_steps: bool = True,
        compiled: bool | None = None,
        cache: str = "",
    ) -> Place:
        """The place of a run of `table`."""
        kinds = {type(row) for row in table.layers}
        # A product and a sum; forward, the input's gradient and the weights'.
        flop = 6.0 * summary.multiplication_count(table) * batch_size
        normalises = rows.CrossMapNorm in kinds
        try:
            grouped.merge(table)
            mergeable = True
        except TableError:
            mergeable = False
        return cls(
            gpu,
            placed,
            table.num_columns,
            normalises,
            set_bytes,
            flop,
            many_steps,
            mergeable,
            compiled,
            cache,
        )


def choices(place: Place) -> dict[str, Choice]:
    """The choice for every setting that can be `auto`, or 0 where that means the same."""
    chosen = (
        _jit_compile(place),
        _lrn_kernel(place),
        _implementation(place),
        _pool_kernel(place),
        _strided_convolution(place),
        _precision(place),
        (cache := _cache(place)),
        _steps_per_call(place, (place.cache or cache.value) == "device"),
    )
    return {choice.key: choice for choice in chosen}


def _jit_compile(place: Place) -> Choice:
    if place.gpu and place.placed:
        return Choice("jit_compile", False, "not measured with columns on two GPUs")
    if place.gpu:
        return Choice("jit_compile", True, "2 to 3 times the images/s on an H200")
    return Choice("jit_compile", False, "on CPUs TensorFlow's own kernels are faster")


def _lrn_kernel(place: Place) -> Choice:
    if not place.normalises:
        return Choice("lrn_kernel", "tf", "the network has no normalisation across maps")
    if place.gpu and place.compiles:
        return Choice(
            "lrn_kernel", "shifted", "XLA makes two passes of it, 6% faster than products"
        )
    if place.gpu:
        return Choice("lrn_kernel", "banded", "1.07 times the images/s of TensorFlow's own")
    return Choice("lrn_kernel", "tf", "within 3% of the others on CPUs")


def _implementation(place: Place) -> Choice:
    if place.columns == 1:
        return Choice("implementation", "towers", "the network has one column")
    if not place.mergeable:
        return Choice("implementation", "towers", "the columns learn in different ways")
    if place.placed:
        return Choice("implementation", "towers", "columns lie on two devices")
    if place.gpu:
        return Choice("implementation", "joint", "fewer and larger operations than by columns")
    return Choice("implementation", "towers", "merged columns took a sixth more time on CPUs")


def _pool_kernel(place: Place) -> Choice:
    if place.gpu and place.compiles:
        return Choice("pool_kernel", "shifted", "1.2 times the images/s of XLA's scatter")
    return Choice("pool_kernel", "tf", "TensorFlow's kernels are faster than its parts")


def _strided_convolution(place: Place) -> Choice:
    if place.gpu and place.compiles:
        why = "tensor cores take 48 channels, not 3: 1.5 times the images/s at batch 1,024"
        return Choice("strided_convolution", "space_to_depth", why)
    return Choice(
        "strided_convolution", "direct", "blocks of pixels were not faster where measured"
    )


def _cache(place: Place) -> Choice:
    if not place.set_bytes:
        return Choice("input.cache", "none", "only a run on one device keeps its dataset there")
    if not place.gpu:
        # 4% faster there, but one run in twenty of a tiny network ended with other last bits.
        why = "a CPU gains little from resident images, and last bits may change"
        return Choice("input.cache", "none", why)
    size = f"{place.set_bytes / 1e6:,.0f} MB of decoded images"
    if place.set_bytes > LARGEST_SET:
        return Choice("input.cache", "none", f"{size} are more than {LARGEST_SET / 1e6:,.0f}")
    return Choice("input.cache", "device", f"{size} fit, and an epoch needs no reading then")


def _steps_per_call(place: Place, resident: bool) -> Choice:
    if not (resident and place.many_steps):
        why = "batches come from the host" if place.many_steps else "the rate changes at each step"
        return Choice("steps_per_call", 1, why)
    # Short calls, since Ctrl-C and log lines wait for their end.
    flop = CALL_FLOP["GPU" if place.gpu else "CPU"]
    steps = int(min(max(flop / max(place.step_flop, 1.0), 1), MOST_STEPS_PER_CALL))
    each = f"{place.step_flop / 1e9:,.2g} GFLOP"
    return Choice("steps_per_call", steps, f"{each} a step; calls stay short for Ctrl-C")


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
    """Replaces every `auto` of a config, or 0 of that meaning, and returns what was chosen.

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
        if not _is_open(section[name]):
            continue
        # What changes no result is chosen anew: a run may go on in another place.
        free = resume_of(choice.key) is Resume.FREE
        kept = "auto" if before is None or free else before.get(name, "auto")
        if not _is_open(kept):
            choice = Choice(choice.key, kept, AS_BEGUN)
        section[name] = choice.value
        made.append(choice)
    return made


def _is_open(value: Any) -> bool:
    """Whether a value leaves the choice to the table: a word's does by "auto", a number's by 0."""
    return value == "auto" or (value == 0 and not isinstance(value, bool))


def keras_policy(precision: str) -> str:
    """Keras' dtype policy for config.precision."""
    return "float32" if precision == "float32_exact" else precision
