"""What the evaluator says of every image of a split of a run's dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class Evaluated(NamedTuple):
    """float32 [N, classes], int32 [N] from 0, and `evaluator.Errors`."""

    probabilities: np.ndarray
    labels: np.ndarray
    errors: Any


def evaluate(workdir: Path, views: int, split: str = "validation") -> Evaluated:
    """Evaluates one run on 1 or 10 views."""
    from alexnet_tf.evaluation import ensemble

    settings = ensemble.Settings(views=views, split=split, checkpoint="any")
    opened = ensemble.open_runs([str(workdir)], settings)
    found = opened.evaluators()[0].collect()
    return Evaluated(found.probabilities[views], found.labels, found.errors[views])
