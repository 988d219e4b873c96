"""Precision of nearest neighbours, exactly and without a library for it: section 6.1, figure 4."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from alexnet_tf.inference.network import Network
    from alexnet_tf.inference.vectors import Vectors

NEIGHBOURS = 10
QUERIES = 1000
DATABASE = 5000
_BATCH = 500


def precision_by_layer(folders: Sequence[Path], data_dir: str) -> float:
    """Of the first 1,000 validation images among the first 5,000 training images, by fc7."""
    from alexnet_tf.inference import vectors

    return _precision(folders[0], data_dir, vectors.by_layer)


def precision_by_pixels(folders: Sequence[Path], data_dir: str) -> float:
    """The same by the centre's pixels, which know nothing of the network."""
    from alexnet_tf.inference import vectors

    return _precision(folders[0], data_dir, vectors.by_pixels)


def _precision(folder: Path, data_dir: str, way: Callable[[Network], Vectors]) -> float:
    from alexnet_tf.inference import images, network
    from data_prep import dataset

    data = dataset.load(data_dir)
    vectors = way(network.load(folder, "newest", data_dir=data_dir))

    def of_split(split: str, most: int) -> tuple[np.ndarray, np.ndarray]:
        numbers = np.arange(min(most, data.split(split).count))
        parts, labels = [], []
        for batch in images.of_split(data, split, _BATCH, numbers):
            assert batch.labels is not None
            parts.append(vectors.of(batch.images))
            labels.append(batch.labels)
        return np.concatenate(parts), np.concatenate(labels)

    stored, stored_labels = of_split("train", DATABASE)
    asked, labels = of_split("validation", QUERIES)
    found = nearest(stored, asked, min(NEIGHBOURS, len(stored)))
    return float((stored_labels[found] == labels[:, None]).mean())


def nearest(stored: np.ndarray, asked: np.ndarray, count: int) -> np.ndarray:
    """Numbers of the nearest vectors by Euclidean distance, in no order: int [Q, count].

    Args:
        stored: float32 [N, D], N at least `count`.
        asked: float32 [Q, D].
        count: how many.
    """
    stored, asked = stored.astype(np.float64), asked.astype(np.float64)
    # |a - b|^2 without |a|^2, which is the same for all neighbours of a.
    distances = (stored**2).sum(1) - 2 * asked @ stored.T
    return np.argpartition(distances, count - 1, axis=1)[:, :count]
