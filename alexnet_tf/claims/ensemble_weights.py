"""What fitting an ensemble's weights on the images that it is scored on does to its error.

The 2012 code has a search for the weights of an ensemble that looks at the validation set. Here
each half of the set is scored with weights fitted on itself and with weights fitted on the other
half; the difference is what the fit only seems to gain.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

# As in the 2012 code's search.
STEP = 0.05
_ROUNDS = 5


def fitted(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Weights with a low error on these images, by a search along one coordinate after another.

    Args:
        probabilities: float [members, N, classes].
        labels: int [N].

    Returns:
        float [members] from 0 to 1 in steps of `STEP`, which begin at 0.5 each; their common factor
        means nothing.
    """
    weights = np.full(len(probabilities), 0.5)
    best = error(probabilities, labels, weights)
    grid = np.linspace(0, 1, round(1 / STEP) + 1)
    for _ in range(_ROUNDS):
        before = best
        for member in range(len(weights)):
            for value in grid:
                tried = weights.copy()
                tried[member] = value
                if tried.any() and (now := error(probabilities, labels, tried)) < best:
                    weights, best = tried, now
        if best == before:
            break
    return weights


def error(probabilities: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> float:
    """Share of images whose class is not the best of the weighted mean."""
    return float((np.tensordot(weights, probabilities, 1).argmax(-1) != labels).mean())


def _halves(folders: Sequence[Path], data_dir: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Probabilities and labels of the even and of the odd images."""
    from alexnet_tf.evaluation import ensemble

    settings = ensemble.Settings(views=1, checkpoint="newest", data_dir=data_dir)
    opened = ensemble.open_runs([str(folder) for folder in folders], settings)
    parts, labels = [], []
    for members, mean in ensemble.score(opened, opened.evaluators()):
        parts.append(np.stack([member.probabilities[1] for member in members]))
        labels.append(mean.labels)
    together, all_labels = np.concatenate(parts, 1), np.concatenate(labels)
    return [(together[:, first::2], all_labels[first::2]) for first in (0, 1)]


def error_fitted_here(folders: Sequence[Path], data_dir: str) -> float:
    """Error of an ensemble whose weights were fitted on the same images, mean of both halves."""
    halves = _halves(folders, data_dir)
    return float(np.mean([error(*half, fitted(*half)) for half in halves]))


def error_fitted_elsewhere(folders: Sequence[Path], data_dir: str) -> float:
    """Error of an ensemble whose weights were fitted on the other half, mean of both halves."""
    even, odd = _halves(folders, data_dir)
    return float(np.mean([error(*even, fitted(*odd)), error(*odd, fitted(*even))]))
