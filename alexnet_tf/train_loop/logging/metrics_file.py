"""metrics.jsonl: the record of a run, one JSON object per line."""

from __future__ import annotations

import json
import os
from pathlib import Path

from alexnet_common.counting import counted
from alexnet_common.messages import log
from alexnet_tf.train_loop.logging.records import Epoch, Interval
from alexnet_tf.train_loop.logging.watchers import Watcher


class MetricsFile(Watcher):
    """Appends a line of `kind` "train" per log interval, and one of "epoch" per epoch.

    Times are kept apart under `timing`, so that two runs with one seed differ in nothing else. On
    a full disk lines wait in memory, with a warning, until there is room.
    """

    def __init__(self, path: Path):
        self._path = path
        self._waiting = ""

    def interval(self, record: Interval) -> None:
        """Writes the interval's means and norms."""
        self._write("train", record)

    def end_epoch(self, record: Epoch) -> None:
        """Writes the epoch's means and the validation errors."""
        self._write("epoch", record)

    def _write(self, kind: str, record: Interval | Epoch) -> None:
        line = {"kind": kind} | dict(sorted(record.values().items()))
        line["timing"] = {key: round(value, 4) for key, value in record.timing().items()}
        first = not self._waiting
        self._waiting += json.dumps(line) + "\n"
        try:
            _append(self._path, self._waiting.encode())
            self._waiting = ""
        except OSError as error:
            if first:
                log(f"WARNING: {self._path} cannot be written ({error.strerror}); its lines wait")

    def close(self) -> None:
        """Tries once more to write the lines that wait; those that are lost are a warning."""
        if not self._waiting:
            return
        try:
            _append(self._path, self._waiting.encode())
        except OSError as error:
            lines = counted(self._waiting.count("\n"), "line")
            log(f"WARNING: the last {lines} of {self._path} NOT WRITTEN: {error.strerror}")
        self._waiting = ""


def _append(path: Path, data: bytes) -> None:
    """Adds all of `data` or, where the disk is full, none of it."""
    with path.open("ab", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        written = 0
        try:
            while written < len(data):
                written += file.write(data[written:]) or 0
        except OSError:
            file.truncate(size)
            raise
