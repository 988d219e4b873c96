"""Figure 4, right: test images and the training images nearest to them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from alexnet_tf.analysis import plots
from alexnet_tf.analysis.top5 import as_bytes, shorten
from alexnet_tf.inference.images import Batch

_SAME, _OTHER = plots.COLORS[2], plots.COLORS[1]


@dataclass(frozen=True, eq=False)
class Neighbors:
    """The images nearest to some queries, nearest first.

    Attributes:
        images: [queries, k, S, S, 3].
        labels: int [queries, k], from 0; -1 where nobody knows them.
        names: names[query][rank].
        distances: float64 [queries, k], Euclidean.
    """

    images: np.ndarray
    labels: np.ndarray
    names: list[list[str]]
    distances: np.ndarray


def find(
    queries: np.ndarray,
    batches: Iterable[Batch],
    vectors_of: Callable[[np.ndarray], np.ndarray],
    k: int,
) -> Neighbors:
    """The k nearest of all images in `batches`; only the best are kept, so memory stays flat.

    Args:
        queries: float [Q, D].
        batches: the images to search.
        vectors_of: from images [b, S, S, 3] to their vectors, float [b, D].
        k: neighbours per query, at most the number of images.
    """
    queries = np.asarray(queries, np.float64)
    best: list[list[tuple[float, int, str, int, np.ndarray]]] = [[] for _ in queries]
    seen = 0
    for batch in batches:
        vectors = np.asarray(vectors_of(batch.images), np.float64)
        labels = batch.labels if batch.labels is not None else np.full(len(vectors), -1)
        squares = (
            (queries**2).sum(axis=1)[:, None]
            - 2 * queries @ vectors.T
            + (vectors**2).sum(axis=1)[None, :]
        )
        for nearest, distances in zip(best, squares, strict=True):
            for place in np.argsort(distances, kind="stable")[:k]:
                nearest.append(
                    (
                        float(distances[place]),
                        seen + int(place),
                        batch.names[place],
                        int(labels[place]),
                        batch.images[place],
                    )
                )
            nearest.sort(key=lambda entry: entry[:2])
            del nearest[k:]
        seen += len(vectors)
    return Neighbors(
        images=np.stack([[entry[4] for entry in nearest] for nearest in best]),
        labels=np.array([[entry[3] for entry in nearest] for nearest in best]),
        names=[[entry[2] for entry in nearest] for nearest in best],
        distances=np.sqrt([[max(entry[0], 0.0) for entry in nearest] for nearest in best]),
    )


def draw(
    images: np.ndarray,
    labels: Sequence[int | None],
    neighbors: Neighbors,
    class_titles: Sequence[str],
    by: str,
) -> Figure:
    """A row for each query: the image, a gap, its neighbours with a frame that says same class.

    Args:
        images: the queries, uint8 or float32 [Q, S, S, 3], 0..255.
        labels: their classes, from 0, or None.
        neighbors: what `find` returned.
        class_titles: of the classes.
        by: what the distance is one of, in words.
    """
    count, k = neighbors.labels.shape
    with plots.style():
        figure = plots.figure(1.08 * (k + 1) + 0.2, 1.22 * count + 0.45)
        figure.set_layout_engine("constrained", h_pad=0.02, w_pad=0.02, hspace=0.0, wspace=0.0)
        figure.suptitle(
            f"Left: the image. Right: the {k} training images nearest to it by {by}",
            x=0.01, ha="left", fontsize=9,
        )  # fmt: skip
        axes = figure.subplots(count, k + 2, squeeze=False, width_ratios=[1, 0.12, *[1] * k])
        for row in range(count):
            axes[row, 1].set_axis_off()
            _picture(axes[row, 0], images[row], _title(class_titles, labels[row]), None)
            for rank in range(k):
                label = int(neighbors.labels[row, rank])
                labelled = label >= 0 and labels[row] is not None
                _picture(
                    axes[row, rank + 2],
                    neighbors.images[row, rank],
                    _title(class_titles, label if label >= 0 else None),
                    (_SAME if label == labels[row] else _OTHER) if labelled else None,
                )
    return figure


def _picture(axis, image, title, frame) -> None:
    axis.imshow(as_bytes(image))
    axis.set(xticks=[], yticks=[])
    axis.grid(False)
    axis.set_title(title, fontsize=7, fontweight="normal", loc="center", pad=2)
    for spine in axis.spines.values():
        spine.set(visible=frame is not None, color=frame, linewidth=2.2)


def _title(class_titles: Sequence[str], label: int | None) -> str:
    return "" if label is None else shorten(class_titles[label], 16)
