"""Files with what the network says of every image: CSV, Parquet, and all probabilities as .npz.

They are written as the images come, so memory does not grow with their number, and appear when
all are in.
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
from collections.abc import Iterator, Sequence
from typing import IO, Any, Protocol

import numpy as np

from alexnet_common import files
from alexnet_common.errors import UsageError
from alexnet_tf.analysis.statistics import TOP, Ranked

FORMATS = ("csv", "parquet", "both")
# Rows of a Parquet file that are compressed together; of 1000 classes they are 16 MB.
_ROW_GROUP = 4096


class Writer(Protocol):
    """What takes predictions, batch by batch."""

    def add(
        self,
        first: int,
        names: Sequence[str],
        labels: np.ndarray,
        ranked: Ranked,
        probabilities: np.ndarray,
    ) -> None:
        """Adds consecutive images.

        Args:
            first: number of the first one in its split.
            names: their file names.
            labels: int [n], the right classes, from 0.
            ranked: their best classes.
            probabilities: float32 [n, classes].
        """


def columns(classes: int) -> list[str]:
    """The columns of predictions.csv; of predictions.parquet too, with `probabilities` besides."""
    named = ["example", "file_name", "label", "class", "place", "probability"]
    for k in range(1, min(TOP, classes) + 1):
        named += [f"label_{k}", f"class_{k}", f"probability_{k}"]
    return named


def check(kind: str) -> None:
    """Refuses Parquet where pyarrow is missing, before anything is computed."""
    if kind in ("parquet", "both"):
        _pyarrow()


@contextlib.contextmanager
def open_writers(folder: str, kind: str, class_names: Sequence[str]) -> Iterator[list[Writer]]:
    """Writers of predictions.csv or predictions.parquet in `folder`, or both.

    Raises:
        UsageError: Parquet without pyarrow.
        OSError: the folder cannot be written, or the disk is full.
    """
    with contextlib.ExitStack() as stack:
        writers: list[Writer] = []
        if kind in ("csv", "both"):
            file = stack.enter_context(files.atomic_writer(os.path.join(folder, "predictions.csv")))
            writers.append(_Csv(file, class_names))
        if kind in ("parquet", "both"):
            path = os.path.join(folder, "predictions.parquet")
            file = stack.enter_context(files.atomic_writer(path))
            writers.append(stack.enter_context(contextlib.closing(_Parquet(file, class_names))))
        yield writers


class _Csv:
    def __init__(self, file: IO[bytes], class_names: Sequence[str]):
        self._file, self._class_names = file, class_names
        self._write([columns(len(class_names))])

    def add(self, first, names, labels, ranked, probabilities) -> None:
        self._write(_rows(first, names, labels, ranked, self._class_names))

    def _write(self, rows: Any) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        self._file.write(text.getvalue().encode(errors="backslashreplace"))


class _Parquet:
    def __init__(self, file: IO[bytes], class_names: Sequence[str]):
        self._arrow, parquet = _pyarrow()
        self._class_names = class_names
        self._columns = columns(len(class_names))
        fields = [(name, self._type(name)) for name in self._columns]
        fields.append(("probabilities", self._arrow.list_(self._arrow.float32())))
        self._schema = self._arrow.schema(fields)
        self._writer = parquet.ParquetWriter(file, self._schema)
        self._rows: list[list[Any]] = []
        self._probabilities: list[np.ndarray] = []

    def _type(self, name: str) -> Any:
        kinds = {"example": "int64", "label": "int32", "place": "int32", "probability": "float32"}
        return getattr(self._arrow, kinds.get(name.rpartition("_")[0] or name, "string"))()

    def add(self, first, names, labels, ranked, probabilities) -> None:
        self._rows += _rows(first, names, labels, ranked, self._class_names)
        self._probabilities.append(probabilities)
        if len(self._rows) >= _ROW_GROUP:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            values: list[Any] = [list(column) for column in zip(*self._rows, strict=True)]
            values.append(list(np.concatenate(self._probabilities)))
            arrays = [
                self._arrow.array(column, field.type)
                for column, field in zip(values, self._schema, strict=True)
            ]
            self._writer.write_table(self._arrow.table(arrays, schema=self._schema))
        self._rows, self._probabilities = [], []

    def close(self) -> None:
        self._flush()
        self._writer.close()


def _rows(
    first: int,
    names: Sequence[str],
    labels: np.ndarray,
    ranked: Ranked,
    class_names: Sequence[str],
) -> list[list[Any]]:
    rows = []
    for number, name in enumerate(names):
        label = int(labels[number])
        row = [first + number, name, label, class_names[label], int(ranked.place[number])]
        # As float32 prints: enough digits to be read back the same, and no more.
        row.append(ranked.of_label[number])
        for guess, probability in zip(
            ranked.labels[number], ranked.probabilities[number], strict=True
        ):
            row += [int(guess), class_names[guess], probability]
        rows.append(row)
    return rows


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise UsageError(
            "Parquet needs pyarrow: pip install 'alexnet-tf[columns]', or use --format=csv"
        ) from error
    return pyarrow, parquet
