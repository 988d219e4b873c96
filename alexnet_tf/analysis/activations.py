"""The maps of a layer for one image: where its kernels answer."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from alexnet_common.errors import UsageError
from alexnet_tf.analysis import plots
from alexnet_tf.analysis.top5 import as_bytes
from alexnet_tf.inference import selection
from alexnet_tf.tables.table import Table

# Maps side by side: few and large, unless they would need more rows than this.
FEW, MANY, MOST_ROWS = 8, 16, 5


def choose(table: Table, layer: str) -> list[selection.Selection]:
    """One selection per column of a layer that has maps.

    Raises:
        UsageError: no such layer, or one whose outputs are a vector.
    """
    (whole,) = selection.choose(table, [layer])
    if len(whole.shape) != 3:
        maps = [
            other.name
            for other in selection.choose(table, selection.layers(table))
            if len(other.shape) == 3
        ]
        raise UsageError(f"{layer} has no maps but a vector; maps have {', '.join(maps)}")
    return selection.choose(table, list(whole.rows))


def draw(
    image: np.ndarray, layer: str, names: Sequence[str], columns: Sequence[np.ndarray], most: int
) -> Figure:
    """The image beside the maps of each column, strongest first.

    Args:
        image: what the network saw, uint8 or float32 [S, S, 3], 0..255.
        layer: name of the layer.
        names: of the columns' rows ("conv5a", "conv5b").
        columns: float [height, width, channels] for each.
        most: maps per column; those with the largest values are drawn.
    """
    shown = [min(most, maps.shape[2]) for maps in columns]
    across = FEW if sum(math.ceil(count / FEW) for count in shown) <= MOST_ROWS else MANY
    blocks = [_grid(maps, most, across) for maps in columns]
    width, beside = 6.4, 2.0
    heights = [width * block.shape[0] / block.shape[1] for block in blocks]
    with plots.style():
        figure = plots.figure(
            beside + width + 0.1, max(beside + 0.5, sum(heights) + 0.24 * len(blocks) + 0.3)
        )
        figure.set_layout_engine("constrained", h_pad=0.02, w_pad=0.04, hspace=0.0, wspace=0.0)
        figure.suptitle(
            f"Maps of {layer}, largest values first, each on its own scale (0 is black)",
            x=0.01, ha="left", fontsize=9,
        )  # fmt: skip
        grid = figure.add_gridspec(
            len(blocks), 2, width_ratios=[beside, width], height_ratios=heights
        )
        picture = figure.add_subplot(grid[:, 0])
        picture.imshow(as_bytes(image))
        picture.set_title("what the network saw", fontweight="normal", fontsize=8)
        picture.set_axis_off()
        picture.set_anchor("N")
        for number, (name, block, maps) in enumerate(zip(names, blocks, columns, strict=True)):
            axis = figure.add_subplot(grid[number, 1])
            axis.imshow(np.ma.masked_invalid(block), cmap="magma", vmin=0, vmax=1)
            axis.set_title(
                f"{name}: {min(most, maps.shape[2]):,} of {maps.shape[2]:,} maps of "
                f"{maps.shape[0]}×{maps.shape[1]}, up to {float(maps.max()):.3g}",
                fontweight="normal", fontsize=8,
            )  # fmt: skip
            axis.set_axis_off()
            axis.set_anchor("NW")
    return figure


def strongest(maps: np.ndarray, most: int) -> np.ndarray:
    """Numbers of the channels with the largest values, int [min(most, channels)], best first."""
    return np.argsort(-maps.max(axis=(0, 1)), kind="stable")[:most]


def _grid(maps: np.ndarray, most: int, per_row: int) -> np.ndarray:
    """Maps in rows, each from 0 to its largest value scaled to 0..1, NaN between them."""
    chosen = np.moveaxis(maps[:, :, strongest(maps, most)], 2, 0).astype(np.float64)
    highest = chosen.max(axis=(1, 2), keepdims=True)
    chosen = chosen / np.where(highest > 0, highest, 1)
    across = min(per_row, len(chosen))
    down = math.ceil(len(chosen) / across)
    height, width = chosen.shape[1:]
    gap = max(1, width // 16)
    grid = np.full((down * (height + gap) - gap, across * (width + gap) - gap), np.nan)
    for number, values in enumerate(chosen):
        top, left = number // across * (height + gap), number % across * (width + gap)
        grid[top : top + height, left : left + width] = values
    return grid
