"""A section of a definition file on its way to a row of the table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from alexnet_tf.tables import rows, shapes
from alexnet_tf.tables.cuda_convnet.rates import Rates
from alexnet_tf.tables.cuda_convnet.values import Values


class Context(Protocol):
    """The net above a section, and the choices that hold for all sections."""

    strict: bool
    seed: int
    rates: Rates
    tree: tuple[int, ...]
    pool_ties: str

    def shape(self, name: str) -> shapes.Shape:
        """Shape that the row `name` yields."""

    def row(self, name: str) -> rows.Row | None:
        """The row of the section `name`, if there is one."""

    def above_weights(self, name: str) -> bool:
        """Whether `name` depends on weights."""

    def ask_for_import(self, target: str, source: str) -> None:
        """Remembers a variable that begins with another network's."""

    def note(self, text: str) -> None:
        """Remembers something to tell the user, once."""


@dataclass
class Layer:
    """A section on its way to a row.

    Attributes:
        values: the section of the definition file.
        parameters: the section of the parameter file, or None where there is no such file.
        inputs: names of rows, as images where the type needs them.
        common: name, inputs, column and neuron, the fields that all rows share.
        strict: whether the definition's numbers count for what parameter files hold.
    """

    values: Values
    parameters: Values | None
    inputs: list[str]
    common: dict[str, Any]
    strict: bool = False

    def setting(self, key: str, default: float) -> float:
        """A number of the parameter section, or of the definition's in the dialect of 2011.

        It cannot be below 0: roots of negative sums are not real.
        """
        if self.parameters is not None and (self.strict or self.parameters.has(key)):
            return self.parameters.number(key, low=0)
        if self.values.has(key) and not self.strict:
            return self.values.number(key, low=0)
        return default if self.parameters is None else self.parameters.number(key)


def check_multiple(values: Values, channels: int, factor: int, always: bool = False) -> None:
    """Refuses numbers of channels that the GPU kernels of 2012 did not take."""
    if channels % factor and (always or channels > 3):
        few = "" if always else "at most 3 or "
        raise values.error(f"must be {few}a multiple of {factor}", "channels")
