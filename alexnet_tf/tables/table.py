"""The layer table: a network as rows, its counts, and the recipes that make tables.

Nothing here imports TensorFlow, so recipes and `--print_network` stay light.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from alexnet_common.suggestions import did_you_mean
from alexnet_tf.tables import row_checks, rows, shapes
from alexnet_tf.tables.rows import TableError


@dataclass(frozen=True)
class Table:
    """A network as a table of layers.

    Attributes:
        name: name of the network.
        layers: rows; each reads earlier ones or `rows.IMAGE`.
        input_size: side of the input image in pixels.
        num_classes: number of classes.
        channels: channels of the input image.
        output: name of the row that yields the logits; empty: the last row.
        cost: what training minimises; None: softmax cross-entropy of the output.
        more_costs: added to `cost` in training (definition files of 2012 may have several); what
            they say of the classes is reported, but predicts nothing.
        imports: (variable, variable of another network) pairs: what the network asks to begin
            with (the 2012 nets that went on from pretrained ones; `weights.choose`).
        notes: what the reader of a definition file has to say about it.
    """

    name: str
    layers: tuple[rows.Row, ...]
    input_size: int
    num_classes: int
    channels: int = 3
    output: str = ""
    cost: rows.Cost | None = None
    more_costs: tuple[rows.Cost, ...] = ()
    imports: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def num_columns(self) -> int:
        """Number of columns (towers); 1 where no row names one."""
        return 1 + max((row.column or 0 for row in self.layers), default=0)

    @property
    def output_name(self) -> str:
        """Name of the row that yields the logits."""
        return self.output or self.layers[-1].name

    @property
    def cost_outputs(self) -> tuple[str, ...]:
        """Names of the rows that costs read: first that of the logits, each once."""
        return tuple(dict.fromkeys([self.output_name, *(c.output for c in self.more_costs)]))

    def row(self, name: str) -> rows.Row:
        """The row called `name`; raises TableError with near misses."""
        for row in self.layers:
            if row.name == name:
                return row
        near = did_you_mean(name, [row.name for row in self.layers])
        raise TableError(f"network {self.name} has no layer {name!r}{near}")

    def needed_layers(self) -> tuple[rows.Row, ...]:
        """The rows that costs depend on, in the table's order."""
        by_name = {row.name: row for row in self.layers}
        wanted, needed = list(self.cost_outputs), set()
        while wanted:
            name = wanted.pop()
            if name in by_name and name not in needed:
                needed.add(name)
                wanted += by_name[name].inputs
        return tuple(row for row in self.layers if row.name in needed)

    def shapes(self) -> dict[str, shapes.Shape]:
        """Shapes (without the batch) of the input and of what every row yields.

        Raises TableError for names used twice or before their row, ShapeError for rows that do
        not fit.
        """
        outputs: dict[str, shapes.Shape] = {
            rows.IMAGE: (self.input_size, self.input_size, self.channels)
        }
        for row in self.layers:
            if row.name in outputs:
                raise TableError(f"network {self.name} has two layers called {row.name!r}")
            inputs = []
            for name in row.inputs:
                if name not in outputs:
                    raise TableError(
                        f"layer {row.name!r} reads {name!r}, which is not an earlier layer"
                    )
                inputs.append(outputs[name])
            outputs[row.name] = shapes.output_shape(row, inputs)
        return outputs


RECIPES: dict[str, str] = {
    "alexnet": "alexnet_tf.tables.alexnet:AlexNet",
    "demo": "alexnet_tf.tables.demo:demo",
    "cifar_quick": "alexnet_tf.tables.cifar:cifar_quick",
    "cifar_18pct": "alexnet_tf.tables.cifar_claims:cifar_18pct",
    "cifar_13pct": "alexnet_tf.tables.cifar_claims:cifar_13pct",
    "cuda_convnet": "alexnet_tf.tables.cuda_convnet:cuda_convnet",
}
"""What makes tables, by the name that `config.network.name` picks.

A function of `num_classes` and options that returns a table, or a dataclass of them with a method
`table`.
"""


def _recipe(name: str) -> Callable[..., Any]:
    if name not in RECIPES:
        raise TableError(
            f"config.network.name: no network {name!r}{did_you_mean(name, RECIPES)}; "
            f"there are {', '.join(sorted(RECIPES))}"
        )
    module, _, function = RECIPES[name].partition(":")
    return getattr(importlib.import_module(module), function)


def options(name: str) -> dict[str, Any]:
    """`name` and all options of the network `name` with their defaults, for `config.network`."""
    parameters = inspect.signature(_recipe(name)).parameters.values()
    return {"name": name} | {p.name: p.default for p in parameters if p.name != "num_classes"}


def from_config(network: Mapping[str, Any], num_classes: int) -> Table:
    """The table that `config.network` asks for.

    Args:
        network: `name` and any options of that network (`options(name)` lists them).
        num_classes: outputs of the last layer.

    Raises:
        TableError: an unknown name or option, or a value that makes no network.
    """
    given = dict(network.items())
    name = given.pop("name", None)
    if not name:
        raise TableError(f"config.network.name is missing; there are {', '.join(sorted(RECIPES))}")
    options_of_network = options(name)
    for option in given:
        if option not in options_of_network:
            hint = did_you_mean(option, options_of_network)
            hint = hint or f"; it has {', '.join(options_of_network)}"
            raise TableError(f"config.network.{option}: network {name} has no such option{hint}")
    result = _recipe(name)(num_classes=num_classes, **given)
    table = result if isinstance(result, Table) else result.table()
    row_checks.check(table.layers)
    table.shapes()
    return table
