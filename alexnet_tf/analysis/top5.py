"""Figure 4, left: images with the five most probable classes as bars."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from alexnet_tf.analysis import plots

PER_ROW = 4
_RIGHT, _OTHER = plots.COLORS[1], plots.COLORS[5]
# Of a title, in characters, before it is cut to its place.
_LONGEST = 60
# Widths of the places in points. A title near the width of its image makes
# the layout shrink images, or put the bars over it; of a bar the percentage needs the rest.
_TITLE_WIDTH, _NAME_WIDTH = 90, 94


def draw(
    images: np.ndarray,
    probabilities: np.ndarray,
    class_titles: Sequence[str],
    labels: Sequence[int | None],
) -> Figure:
    """Images, their class below, and bars of the five best, the right one in another colour.

    Args:
        images: uint8 or float32 [N, S, S, 3], 0..255.
        probabilities: float32 [N, classes].
        class_titles: of the classes.
        labels: the true class of each image, from 0, or None where nobody knows it.
    """
    count = len(images)
    across = min(PER_ROW, count)
    down = math.ceil(count / across)
    best = min(5, probabilities.shape[1])
    with plots.style():
        figure = plots.figure(1.9 * across, (2.15 + 0.2 * best) * down)
        figure.set_layout_engine("constrained", h_pad=0.02, w_pad=0.05, hspace=0.02, wspace=0.04)
        grid = figure.add_gridspec(2 * down, across, height_ratios=[1.9, 0.2 * best] * down)
        for number in range(count):
            row, column = divmod(number, across)
            picture = figure.add_subplot(grid[2 * row, column])
            picture.imshow(as_bytes(images[number]))
            picture.set_axis_off()
            label = labels[number]
            if label is not None:
                picture.text(
                    0.5, -0.04,
                    plots.fitting(shorten(class_titles[label]), _TITLE_WIDTH, 8, "bold"),
                    transform=picture.transAxes,
                    ha="center", va="top", fontweight="bold", fontsize=8,
                )  # fmt: skip
            _bars(
                figure.add_subplot(grid[2 * row + 1, column]),
                probabilities[number],
                best,
                class_titles,
                label,
            )
    return figure


def _bars(axis, probabilities, best, class_titles, label) -> None:
    # Equal probabilities in the order of the classes, as in our errors.
    order = np.argsort(-probabilities, kind="stable")[:best]
    places = np.arange(best)
    colors = [_RIGHT if number == label else _OTHER for number in order]
    axis.barh(places, probabilities[order], height=0.86, color=colors)
    for place, number in zip(places, order, strict=True):
        name = plots.fitting(shorten(class_titles[number]), _NAME_WIDTH, 7.5)
        axis.text(0.02, place, name, va="center", fontsize=7.5)
        axis.text(
            0.99, place, f"{probabilities[number]:.0%}", va="center", ha="right", fontsize=7.5
        )
    axis.set(xlim=(0, 1), ylim=(best - 0.4, -0.6), xticks=[], yticks=[])
    axis.spines[:].set_visible(False)
    axis.set_facecolor("#f3f4f6")


def shorten(text: str, longest: int = _LONGEST) -> str:
    """The first synonym of a title, cut where it is too long for its place."""
    first = text.split(",")[0]
    return first if len(first) <= longest else f"{first[: longest - 1]}…"


def as_bytes(image: np.ndarray) -> np.ndarray:
    """Pixels 0..255 of any dtype as uint8."""
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)
