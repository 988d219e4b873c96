"""Rows collected from the input upwards, one per column."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from alexnet_tf.tables import rows, shapes
from alexnet_tf.tables.rows import TableError


def check_columns(columns: int) -> None:
    """Raises TableError where there are no letters for so many columns."""
    if not isinstance(columns, int) or not 1 <= columns <= len(rows.COLUMN_LETTERS):
        raise TableError(f"config.network.columns must be from 1 to 8, not {columns!r}")


class Stack:
    """A net that grows upwards in columns.

    Attributes:
        rows: the rows so far.
        columns: number of columns.
        tops: per column, the row that its next layer reads.
        shapes: what each row yields.
    """

    def __init__(self, columns: int, input_size: int):
        """Begins on an image of `input_size` pixels a side; raises TableError."""
        check_columns(columns)
        self.rows: list[rows.Row] = []
        self.columns = columns
        self.tops = [rows.IMAGE] * columns
        self.shapes: dict[str, shapes.Shape] = {rows.IMAGE: (input_size, input_size, 3)}

    def name(self, stem: str, column: int) -> str:
        """`conv1` in a net of one column, else `conv1a`, `conv1b`, ..."""
        return stem if self.columns == 1 else stem + rows.COLUMN_LETTERS[column]

    def append(self, row: rows.Row) -> str:
        """Adds one row, without changing what columns read next; returns its name."""
        self.rows.append(row)
        self.shapes[row.name] = shapes.output_shape(row, [self.shapes[i] for i in row.inputs])
        return row.name

    def add(
        self, row_type: type, stem: str, reads: Sequence[tuple[str, ...]] = (), /, **fields: Any
    ) -> None:
        """Adds a row per column, each reading its own column's top, or its part of `reads`."""
        reads = reads or [(top,) for top in self.tops]
        self.tops = [
            self.append(
                row_type(name=self.name(stem, column), inputs=names, column=column, **fields)
            )
            for column, names in enumerate(reads)
        ]

    def add_shared(self, row_type: type, name: str, /, **fields: Any) -> None:
        """Adds one row under all columns."""
        self.tops = [self.append(row_type(name=name, inputs=(self.tops[0],), **fields))]
        self.tops *= self.columns

    def readers(self, all_columns: bool) -> list[tuple[str, ...]]:
        """What each column's next layer reads: all tops, or its own."""
        everything = tuple(dict.fromkeys(self.tops))
        return [everything if all_columns else (top,) for top in self.tops]

    def fan_in(self, names: Sequence[str], size: int = 0) -> int:
        """Inputs of a unit that reads these rows, in windows of `size` pixels or whole."""
        inputs = [self.shapes[name] for name in names]
        return sum(size * size * shape[-1] if size else math.prod(shape) for shape in inputs)
