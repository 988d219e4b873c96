"""Curves of one run or several: loss, errors, and the learning rate with its cuts marked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from alexnet_tf.analysis import plots
from alexnet_tf.analysis.history import History, column

# Epochs from which on the means of epochs are drawn, and not those of log intervals.
_MANY_EPOCHS = 3


def draw(histories: Mapping[str, History]) -> Figure:
    """Four panels over epochs, or over steps where a run has not finished its first epoch.

    Training (dashed) is measured while the weights change, with crops, noise and dropout;
    validation (solid) on the centre crop. Of one run, the cuts of its rate are vertical lines.

    Args:
        histories: by the runs' names; those without a line yet are left out.
    """
    present = {name: history for name, history in histories.items() if history.lines}
    in_epochs = all(history.steps_per_epoch for history in present.values())
    with plots.style():
        figure = plots.figure(8.6, 5.6)
        panels = figure.subplots(2, 2, sharex=True)
        (loss, top_1), (rate, top_5) = panels
        for number, (name, history) in enumerate(present.items()):
            color = plots.COLORS[number % len(plots.COLORS)]
            scale = (history.steps_per_epoch or 1.0) if in_epochs else 1.0
            label = name if len(present) > 1 else ""
            _curve(loss, history, "loss", scale, color, label)
            _curve(top_1, history, "top_1_error", scale, color, label)
            _curve(top_5, history, "top_5_error", scale, color, label)
            steps, rates = column(history.lines, "learning_rate")
            drawn = [step / scale for step in steps]
            rate.plot(drawn, rates, color=color, drawstyle="steps-pre", label=label)
            if len(present) == 1:
                for cut in history.rate_cuts():
                    for axes in (loss, top_1, rate, top_5):
                        axes.axvline(cut.step / scale, color=plots.GREY, linestyle=":", lw=1)
                    top = loss.get_xaxis_transform()
                    loss.text(
                        cut.step / scale, 0.99, f" rate {cut.after:g}", transform=top, va="top",
                        fontsize=7, color=plots.GREY, rotation=90, ha="right",
                    )  # fmt: skip
        loss.set_title("Loss")
        top_1.set_title("Top-1 error")
        top_5.set_title("Top-5 error")
        rate.set_title("Learning rate")
        for axes in (top_1, top_5):
            plots.percent_axis(axes.yaxis)
            axes.set_ylim(0, None)
        if present:
            plots.log_scale(rate, "y")
        for axes in (rate, top_5):
            axes.set_xlabel("epoch" if in_epochs else "step")
        if not in_epochs:
            for axes in (rate, top_5):
                plots.thousands_axis(axes.xaxis)
        _legend(top_1, len(present))
    return figure


def _curve(axes: Axes, history: History, key: str, scale: float, color: Any, label: str) -> None:
    """Training and validation of one quantity."""
    steps, values = column(history.intervals, key)
    means = column(history.epochs, key)
    if len(means[0]) >= _MANY_EPOCHS or not steps:
        axes.plot([step / scale for step in steps], values, color=color, alpha=0.2, lw=0.8)
        steps, values = means
    axes.plot([step / scale for step in steps], values, color=color, linestyle="--")
    steps, values = column(history.epochs, f"val_{key}")
    marker = "o" if len(steps) < 2 * _MANY_EPOCHS else ""
    axes.plot([step / scale for step in steps], values, color=color, marker=marker, label=label)


def _legend(axes: Axes, runs: int) -> None:
    """What solid and dashed mean and, of several runs, which colour is whose."""
    handles, labels = axes.get_legend_handles_labels() if runs > 1 else ([], [])
    for words, line in (("validation", "-"), ("training", "--")):
        handles += axes.plot([], [], color="black", linestyle=line)
        labels.append(words)
    # Errors begin high on the left and may stay high: no corner is free in every run.
    axes.legend(handles, labels, loc="best")
