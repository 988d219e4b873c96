"""Figure 3: the kernels of the first layer, by column, with a colour score each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from alexnet_tf.analysis import plots
from alexnet_tf.pictures import kernels as pictures
from alexnet_tf.tables.rows import COLUMN_LETTERS

_SCALE_WORDS = {
    "kernel": "each kernel on its own scale, a weight of 0 is mid-grey",
    "column": "one scale per column, a weight of 0 is mid-grey",
    "all": "one scale, from the smallest weight (black) to the largest",
}


def scores(columns: Sequence[np.ndarray]) -> list[float]:
    """The mean colour score of each column's kernels, 0..1 (`pictures.color_scores`)."""
    return [float(pictures.color_scores(kernels).mean()) for kernels in columns]


def draw(layer: str, columns: Sequence[np.ndarray], scale: str = "kernel") -> Figure:
    """The kernels of a layer, in rows of 16.

    Args:
        layer: its name, without the columns' letters.
        columns: float [side, side, 3, kernels] for each column.
        scale: "kernel", "column" or "all", as `pictures.shades`.

    Raises:
        UsageError: another scale.
    """
    blocks = [pictures.grid(block) for block in pictures.shades(columns, scale)]
    width = 7.0
    heights = [width * block.shape[0] / block.shape[1] for block in blocks]
    with plots.style():
        figure = plots.figure(width, sum(heights) + 0.27 * len(blocks) + 0.25)
        figure.set_layout_engine("constrained", h_pad=0.02, w_pad=0.02, hspace=0.0)
        figure.suptitle(f"Kernels of {layer}: {_SCALE_WORDS[scale]}", x=0.01, ha="left", fontsize=9)
        axes = figure.subplots(len(blocks), 1, squeeze=False, height_ratios=heights)[:, 0]
        for number, (block, kernels, score) in enumerate(
            zip(blocks, columns, scores(columns), strict=True)
        ):
            axis = axes[number]
            axis.imshow(block)
            axis.set_axis_off()
            where = f"column {COLUMN_LETTERS[number]}, " if len(blocks) > 1 else ""
            count, side = kernels.shape[3], kernels.shape[0]
            axis.set_title(
                f"{where}{count} kernels of {side}×{side}×3, colour score {score:.2f} "
                f"(0 grey, {pictures.CHANCE_COLOR_SCORE:.2f} chance)"
            )
    return figure
