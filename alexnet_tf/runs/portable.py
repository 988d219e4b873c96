"""A run's weights and optimizer state under the names of the network's table, and back.

Checkpoints hold the variables of the towers, also where columns are merged into native grouped
convolutions: so a run begun in one form goes on in the other, and evaluation needs to know of one
form only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import keras
import numpy as np

from alexnet_tf.model import grouped, placement
from alexnet_tf.optim import optimizer as optimizers
from alexnet_tf.tables.table import Table

Values = dict[str, np.ndarray]


class Names:
    """Translates between a model's variables and those of its table's towers.

    Args:
        table: the network.
        trainable: names of the model's trainable variables, in their order.
        implementation: of the model, as `build.build` takes it.
    """

    def __init__(self, table: Table, trainable: Sequence[str], implementation: str):
        self._trainable = list(trainable)
        self._merged = grouped.merged(table, implementation)

    def weights_out(self, variables: Mapping[str, object]) -> Values:
        """The model's variables as the towers'."""
        values = {
            name: placement.tensorflow_variable(variable).numpy()
            for name, variable in variables.items()
        }
        return self._merged.to_towers(values) if self._merged else values

    def weights_in(self, values: Values) -> Values:
        """The towers' values as the model's."""
        return self._merged.to_grouped(values) if self._merged else values

    def optimizer_out(self, optimizer: keras.optimizers.Optimizer) -> Values:
        """The optimizer's state; slots that follow the trainable variables bear their names."""
        state = optimizers.state(optimizer)
        slots = sorted(name for name in state if name.startswith("slot_"))
        if not slots or len(slots) % len(self._trainable):
            return state
        named = {name: value for name, value in state.items() if name not in slots}
        for group in range(len(slots) // len(self._trainable)):
            part = slots[group * len(self._trainable) : (group + 1) * len(self._trainable)]
            values = {name: state[slot] for name, slot in zip(self._trainable, part, strict=True)}
            values = self._merged.to_towers(values) if self._merged else values
            named |= {f"slot{group}/{name}": value for name, value in values.items()}
        return named

    def optimizer_in(self, saved: Values) -> Values:
        """What `optimizers.load_state` takes, from what `optimizer_out` gave."""
        groups: dict[str, Values] = {}
        state = {}
        for key, value in saved.items():
            group, _, name = key.partition("/")
            if name:
                groups.setdefault(group, {})[name] = value
            else:
                state[key] = value
        number = 0
        for group in sorted(groups, key=lambda group: int(group.removeprefix("slot"))):
            values = self._merged.to_grouped(groups[group]) if self._merged else groups[group]
            for name in self._trainable:
                if name not in values:
                    raise ValueError(f"optimizer state has no {name}")
                state[f"slot_{number:03d}"] = values[name]
                number += 1
        return state
