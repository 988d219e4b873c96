"""Figures of a tally: confusion matrix, calibration, the classes with the largest errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from alexnet_tf.analysis import plots
from alexnet_tf.analysis.statistics import CALIBRATION_BINS, Tally

# Up to so many classes the cells hold numbers, and up to so many the axes hold names.
NUMBERED, NAMED = 20, 100
# Classes in the chart of errors.
WORST = 30
_LONGEST = 24


def confusion(tally: Tally, class_titles: Sequence[str]) -> Figure:
    """The confusion matrix, rows (right classes) in shares of their images."""
    counts = tally.class_counts
    shares = tally.confusion / np.maximum(counts, 1)[:, None]
    classes = len(class_titles)
    side = min(max(4.2, 2.2 + 0.34 * classes), 9.0)
    with plots.style():
        figure = plots.figure(side + 1.2, side)
        # What an image of fixed aspect leaves over goes to the margins, not to its labels.
        figure.set_layout_engine("compressed")
        axes = figure.subplots()
        # Of many classes single cells are small: the scale makes rare confusions visible.
        scale = PowerNorm(1.0 if classes <= NAMED else 0.35, vmin=0, vmax=1)
        drawn = axes.imshow(shares, cmap=plots.SEQUENTIAL, norm=scale)
        bar = figure.colorbar(drawn, ax=axes, fraction=0.046, pad=0.02)
        plots.percent_axis(bar.ax.yaxis)
        bar.set_label("share of the class's images")
        axes.grid(False)
        axes.set(xlabel="taken for", ylabel="right class")
        if classes <= NAMED:
            names = [shorten(title) for title in class_titles]
            size = 8 if classes <= 40 else 5
            axes.set_xticks(range(classes), names, rotation=90, fontsize=size)
            axes.set_yticks(range(classes), names, fontsize=size)
        else:
            axes.set(xlabel="taken for (number of the class)", ylabel="right class (number)")
        if classes <= NUMBERED:
            for row in range(classes):
                for column in range(classes):
                    number = int(tally.confusion[row, column])
                    if number:
                        color = "white" if shares[row, column] > 0.5 else "black"
                        axes.text(
                            column, row, f"{number:,}", ha="center", va="center", color=color,
                            fontsize=7,
                        )  # fmt: skip
    return figure


def calibration(tally: Tally) -> Figure:
    """How often the network is right when it is so sure, and how many images that is."""
    edges = np.linspace(0, 1, CALIBRATION_BINS + 1)
    filled = tally.bin_counts > 0
    counts = np.maximum(tally.bin_counts, 1)
    right = tally.bin_correct / counts
    sure = tally.bin_confidences / counts
    with plots.style():
        figure = plots.figure(4.6, 4.8)
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        upper.plot([0, 1], [0, 1], color=plots.GREY, linestyle="--", label="calibrated")
        upper.bar(
            edges[:-1][filled], right[filled], width=1 / CALIBRATION_BINS, align="edge",
            color=plots.COLORS[5], edgecolor="white",
        )  # fmt: skip
        upper.plot(sure[filled], right[filled], "o", color=plots.COLORS[0], label="bins", ms=4)
        upper.set(
            ylabel="share of right answers", ylim=(0, 1.02), xlim=(0, 1),
            title=f"Expected calibration error {tally.calibration_error:.1%}",
        )  # fmt: skip
        upper.legend(loc="upper left")
        plots.percent_axis(upper.yaxis)
        lower.bar(
            edges[:-1], tally.bin_counts, width=1 / CALIBRATION_BINS, align="edge",
            color=plots.GREY, edgecolor="white",
        )  # fmt: skip
        lower.set(xlabel="probability of the best class", ylabel="images")
        plots.thousands_axis(lower.yaxis)
        plots.percent_axis(lower.xaxis)
    return figure


def worst_classes(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Top-1 errors of the classes, largest first, with their intervals.

    Args:
        rows: as `results.per_class` returns them.
    """
    present = [row for row in rows if row["count"]]
    shown = sorted(present, key=lambda row: -row["top_1_error"])[:WORST]
    places = np.arange(len(shown))
    errors = np.array([row["top_1_error"] for row in shown])
    lows = np.array([row["low"] for row in shown])
    highs = np.array([row["high"] for row in shown])
    with plots.style():
        figure = plots.figure(6.0, 1.0 + 0.21 * len(shown))
        axes = figure.subplots()
        axes.hlines(places, lows, highs, color=plots.COLORS[5], linewidth=4)
        axes.plot(errors, places, "o", color=plots.COLORS[0], ms=5)
        axes.set_yticks(places, [shorten(row["title"]) for row in shown])
        axes.set(
            ylim=(len(shown) - 0.4, -0.6), xlabel="top-1 error, with its 95% interval",
            xlim=(0, None),
        )  # fmt: skip
        if len(shown) < len(present):
            axes.set_title(
                f"The {len(shown):,} of {len(present):,} classes with the largest errors"
            )
        plots.percent_axis(axes.xaxis)
    return figure


def shorten(title: str) -> str:
    """The first synonym of a class's title, cut where it is long."""
    first = title.split(",")[0]
    return first if len(first) <= _LONGEST else first[: _LONGEST - 1] + "…"
