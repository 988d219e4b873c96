"""Features of many images, streamed from their files or records to the output."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from alexnet_common.errors import UserError
from alexnet_tf.inference import selection, writers
from alexnet_tf.inference.images import Batch
from alexnet_tf.inference.network import Network


@dataclass(frozen=True)
class Written:
    """What was written.

    Attributes:
        count: rows.
        shapes: of each layer's array.
        skipped: (name, reason) of files that are not in it.
    """

    count: int
    shapes: dict[str, tuple[int, ...]]
    skipped: list[tuple[str, str]]


def extract(
    network: Network,
    batches: Iterable[Batch],
    layers: list[str],
    output: str,
    *,
    views: int = 1,
    facts: dict[str, Any] | None = None,
    progress: Callable[[int], None] = lambda count: None,
) -> Written:
    """Writes the outputs of layers for all images, in their order.

    Args:
        network: the network.
        batches: images, from `images.of_files` or `images.of_split`.
        layers: as `Network.features`.
        output: see `writers`.
        views: 1, or 10 whose outputs are averaged.
        facts: kept beside the numbers.
        progress: told after each batch how many images it held.

    Raises:
        UsageError, UserError: a layer, an image or an output that cannot be; nothing is left under
            `output` then that was not there before.
    """
    chosen = selection.choose(network.run.table, layers)
    step = network.feature_step(layers, views)
    names: list[str] = []
    labels: list[int] = []
    skipped: list[tuple[str, str]] = []
    shapes = {layer.name: layer.shape for layer in chosen}
    with writers.open_writer(output, shapes, names, labels, facts or {}) as writer:
        for batch in batches:
            skipped += batch.skipped
            if len(batch.names):
                values = step(tf.constant(batch.images))
                writer.append({name: np.asarray(v) for name, v in zip(layers, values, strict=True)})
                names += batch.names
                labels += [] if batch.labels is None else batch.labels.tolist()
            progress(len(batch.names) + len(batch.skipped))
        if not names:
            raise UserError("none of the files is an image that can be read")
    return Written(
        len(names), {name: (len(names), *shape) for name, shape in shapes.items()}, skipped
    )
