"""Exact nearest neighbours by faiss, block by block, so that a database may lie on the disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from alexnet_common.errors import UserError

# Vectors per block: of 4,096 values, 1 GB.
BLOCK = 1 << 16


def faiss() -> Any:
    """The module; raises UserError where it is not installed."""
    try:
        import faiss as module
    except ImportError as error:
        raise UserError("faiss is not installed: pip install 'alexnet-tf[retrieve]'") from error
    return module


def distances(queries: np.ndarray, block: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Squared Euclidean distances, float32 [Q, k], and places in the block, int64 [Q, k].

    Args:
        queries: float32 [Q, D].
        block: float32 [n, D].
        k: at most n.
    """
    module = faiss()
    rows = np.ascontiguousarray(block, np.float32)
    nearest = module.knn(np.ascontiguousarray(queries, np.float32), rows, k)
    return nearest[0], nearest[1]


def hamming(queries: np.ndarray, block: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Differing bits, int32 [Q, k], and places in the block, int64 [Q, k].

    Args:
        queries: uint8 [Q, bytes], packed bits.
        block: uint8 [n, bytes].
        k: at most n.
    """
    module = faiss()
    rows = np.ascontiguousarray(block)
    nearest = module.knn_hamming(np.ascontiguousarray(queries), rows, k, variant="mc")
    return nearest[0], nearest[1]


class Nearest:
    """The k nearest of all blocks so far.

    Args:
        queries: [Q, ...], as `measure` takes them.
        k: neighbours per query.
        measure: `distances` or `hamming`.

    Attributes:
        distances: [Q, found], nearest first; of equals the one with the smaller number.
        numbers: int64 [Q, found], counted over the blocks.
    """

    def __init__(
        self,
        queries: np.ndarray,
        k: int,
        measure: Callable[[np.ndarray, np.ndarray, int], tuple[np.ndarray, np.ndarray]] = distances,
    ):
        self._queries, self._k, self._measure = queries, k, measure
        self._seen = 0
        self.distances = np.zeros((len(queries), 0))
        self.numbers = np.zeros((len(queries), 0), np.int64)

    def add(self, block: np.ndarray) -> None:
        """Looks at the next rows of the database, [n, ...]."""
        block_distances, places = self._measure(self._queries, block, min(self._k, len(block)))
        joined = np.concatenate([self.distances, block_distances], axis=1)
        numbers = np.concatenate([self.numbers, places + self._seen], axis=1)
        order = np.lexsort((numbers, joined), axis=1)[:, : self._k]
        self.distances = np.take_along_axis(joined, order, axis=1)
        self.numbers = np.take_along_axis(numbers, order, axis=1)
        self._seen += len(block)

    def search(self, database: np.ndarray, block: int = BLOCK) -> Nearest:
        """Looks at a whole database, which may be a file mapped into memory."""
        for first in range(0, len(database), block):
            self.add(database[first : first + block])
        return self
