"""A table of layers as plain JSON values and back, for files that must hold their network."""

from __future__ import annotations

import dataclasses
from typing import Any

from alexnet_tf.tables import rows, schedules, table
from alexnet_tf.tables.rows import TableError
from alexnet_tf.tables.table import Table

_KIND = "kind_of"
_CLASSES = {
    member.__name__: member
    for module in (rows, schedules, table)
    for member in vars(module).values()
    if isinstance(member, type) and dataclasses.is_dataclass(member)
}


def to_plain(network: Table) -> dict[str, Any]:
    """Dicts, lists, texts, numbers and None that `from_plain` makes the same table of."""
    return _plain(network)


def from_plain(values: dict[str, Any]) -> Table:
    """The table that `to_plain` was given.

    Raises:
        TableError: these values are none.
    """
    try:
        result = _object(values)
    except (KeyError, TypeError) as error:
        raise TableError(f"the file's network cannot be read: {error}") from error
    if not isinstance(result, Table):
        raise TableError("the file's network cannot be read: it is not a table of layers")
    return result


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {_KIND: type(value).__name__, **fields}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, str | int | float):
        return value
    raise TypeError(f"a table holds {value!r}, which JSON does not have")


def _object(value: Any) -> Any:
    if isinstance(value, dict):
        fields = {name: _object(item) for name, item in value.items() if name != _KIND}
        return _CLASSES[value[_KIND]](**fields)
    # Rows are frozen: their sequences are tuples.
    return tuple(_object(item) for item in value) if isinstance(value, list | tuple) else value
