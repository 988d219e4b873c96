"""One vector per image, to compare images by: a layer's outputs, or the pixels themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from alexnet_tf.inference import selection
from alexnet_tf.inference.network import Network


@dataclass(frozen=True)
class Vectors:
    """A way to make vectors.

    Attributes:
        name: of the layer, or "pixels".
        words: what the vectors are, for people.
        size: values per vector.
        of: from images [b, S, S, 3] to float32 [b, size].
    """

    name: str
    words: str
    size: int
    of: Callable[[np.ndarray], np.ndarray]


def by_layer(network: Network, layer: str = "", views: int = 1) -> Vectors:
    """Outputs of a layer, flattened; empty: the last hidden one, as in section 6.1.

    Raises:
        UsageError: no such layer.
    """
    name = layer or selection.last_hidden(network.run.table)
    step = network.feature_step([name], views)
    (chosen,) = selection.choose(network.run.table, [name])
    size = int(np.prod(chosen.shape))

    def of(images: np.ndarray) -> np.ndarray:
        rows: np.ndarray = step(tf.constant(images))[0].numpy().reshape(len(images), size)
        return rows

    return Vectors(name, f"the {size:,} outputs of {name}", size, of)


def by_pixels(network: Network) -> Vectors:
    """The pixels of the centre, 0..255: what the network sees, before it sees anything."""
    side, crop = network.image_size, network.input_size
    first = (side - crop) // 2
    size = crop * crop * 3

    def of(images: np.ndarray) -> np.ndarray:
        centre = images[:, first : first + crop, first : first + crop]
        return centre.astype(np.float32).reshape(len(images), size)

    return Vectors("pixels", f"{crop}×{crop} pixels", size, of)
