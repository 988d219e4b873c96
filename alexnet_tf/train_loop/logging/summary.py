"""What a run has reached, in the last lines that it writes."""

from __future__ import annotations

import json
from pathlib import Path

from alexnet_common.messages import headed, log
from alexnet_tf.train_loop.logging.watchers import Watcher


class Summary(Watcher):
    """At the end: the last and the best result of the whole run, beside what was expected.

    Args:
        metrics_file: of the run; it also holds what came before the run was resumed.
        expected: the recipe's words for the result it should reach, or "".
        quiet: say nothing.
    """

    def __init__(self, metrics_file: Path, expected: str = "", *, quiet: bool = False):
        self._path, self._expected, self._quiet = metrics_file, expected, quiet

    def end_run(self) -> None:
        """Writes the summary."""
        if self._quiet or not self._path.exists():
            return
        lines = [json.loads(line) for line in self._path.read_text().splitlines()]
        epochs = [line for line in lines if line["kind"] == "epoch" and "val_top_1_error" in line]
        if not epochs:
            return
        best = min(epochs, key=lambda line: line["val_top_1_error"])
        last = epochs[-1]
        named = [("last and best", last)] if best is last else [("last", last), ("best", best)]
        for name, line in named:
            text = (
                f"epoch {line['epoch']}, step {line['step']:,}: top-1 error "
                f"{line['val_top_1_error']:.2%}, top-5 error {line['val_top_5_error']:.2%} "
                f"on {line['val_count']:,} validation images, 1 view"
            )
            log(headed(name, text))
        if self._expected:
            log(headed("expected", self._expected))
