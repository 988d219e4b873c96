"""Numbers of a table's rows that no network can be made of, found before anything is built."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from alexnet_common.errors import UserError
from alexnet_tf.tables import notation, rows
from alexnet_tf.tables.rows import TableError

# The least value of each field, by its name in whatever row or weights.
_LEAST = {
    "filters": 1,
    "outputs": 1,
    "size": 1,
    "stride": 1,
    "alpha": 0,
    "init_stddev": 0,
    "weight_decay": 0,
    "learning_rate_multiplier": 0,
    "norm_ball": 0,
}


def check(layers: Iterable[rows.Row]) -> None:
    """Raises TableError for the first number or neuron in the rows that cannot be."""
    for row in layers:
        try:
            notation.parse_neuron(row.neuron or "ident")
        except UserError as error:
            raise TableError(f"network: {row.name}: {error}") from None
        _fields(row.name, row)
        if isinstance(row, rows.WeightRow):
            for part in (*row.kernels, row.bias):
                _fields(row.name, part)


def _fields(name: str, part: Any) -> None:
    for field, value in vars(part).items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        # Pools count their windows themselves where `outputs` is 0.
        least = None if isinstance(part, rows.Pool) and field == "outputs" else _LEAST.get(field)
        if not math.isfinite(value):
            wrong = "must be a finite number"
        elif least is not None and value < least:
            wrong = f"must be {least} or more"
        elif field == "padding" and value < 0:
            wrong = "must be 0 or more"
        elif field == "k" and value <= 0:
            wrong = "must be above 0"
        elif field == "keep" and not 0 < value <= 1:
            wrong = "must be above 0 and at most 1"
        elif field == "momentum" and not 0 <= value <= 1:
            wrong = "must be from 0 to 1"
        else:
            continue
        raise TableError(f"network: {name}: {field} {wrong}, not {value!r}")
