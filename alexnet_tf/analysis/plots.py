"""The common style of all figures, and figures as bytes of a PNG or SVG file.

Figures are made by matplotlib's object interface. pyplot is not used: it keeps every figure in a
global list, and asks for a display.

    with plots.style():
        figure = plots.figure(6, 4)
        axes = figure.subplots()
        ...
        data = plots.png(figure)
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from typing import Any, Literal

import matplotlib
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextToPath
from matplotlib.ticker import FuncFormatter

# Okabe and Ito (2008): told apart by colour-blind readers too; yellow is left out, which on white
# is hard to see.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
GREY = "#6b7280"
# From white to the first colour: shares of images.
SEQUENTIAL = "Blues"
# Pixels per inch of PNG files: sharp in print at half size, and on a phone.
DPI = 150

_STYLE: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": GREY,
    "axes.grid": True,
    "axes.labelsize": 9,
    "axes.prop_cycle": cycler(color=COLORS),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "figure.constrained_layout.use": True,
    "figure.facecolor": "white",
    "font.family": "sans-serif",
    "font.size": 9,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.6,
    "image.interpolation": "nearest",
    "legend.fontsize": 8,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "savefig.facecolor": "white",
    # Text stays text: it can be searched and copied, and the file is small.
    "svg.fonttype": "none",
    # Names inside an SVG file come from this and not from a random number.
    "svg.hashsalt": "alexnet-tf",
    # Class and file names may hold a dollar sign, which is not a formula.
    "text.parse_math": False,
    "xtick.color": GREY,
    "xtick.labelcolor": "black",
    "xtick.labelsize": 8,
    "ytick.color": GREY,
    "ytick.labelcolor": "black",
    "ytick.labelsize": 8,
}


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Within the block, what matplotlib makes has the common style."""
    with matplotlib.rc_context():
        # Whatever matplotlibrc the user has: the figures look the same everywhere.
        parameters: Any = matplotlib.rcParams
        parameters.update({k: v for k, v in matplotlib.rcParamsDefault.items() if k != "backend"})
        parameters.update(_STYLE)
        yield


def figure(width: float, height: float) -> Figure:
    """An empty figure, sides in inches; call within `style()`."""
    return Figure(figsize=(width, height))


def fitting(text: str, points: float, size: float, weight: str = "normal") -> str:
    """A text, cut with an ellipsis where it is wider than its place.

    Args:
        text: the text.
        points: width of the place, 72 to an inch.
        size: of the letters, in points.
        weight: "normal" or "bold".
    """
    font = FontProperties(family="sans-serif", size=size, weight=weight)

    def fits(part: str) -> bool:
        with warnings.catch_warnings():
            # A letter that the font lacks is told where the figure is drawn.
            warnings.simplefilter("ignore")
            width, _, _ = TextToPath().get_text_width_height_descent(part, font, False)
        return bool(width <= points)

    if fits(text):
        return text
    return next((cut for n in range(len(text), 0, -1) if fits(cut := f"{text[:n]}…")), "…")


def png(figure: Figure, dpi: int = DPI) -> bytes:
    """The figure as a PNG file; the same figure gives the same bytes."""
    return _save(figure, "png", dpi=dpi, metadata={"Software": None})


def svg(figure: Figure) -> bytes:
    """The figure as an SVG file whose text is text; the same figure gives the same bytes."""
    return _save(figure, "svg", metadata={"Date": None})


def _save(figure: Figure, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    with style(), warnings.catch_warnings():
        # A name in a script that the font does not have is drawn as boxes.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(buffer, format=kind, **options)
    return buffer.getvalue()


def percent_axis(axis: Axis) -> None:
    """Labels the ticks of shares (0..1) in percent."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.4g}%"))


def thousands_axis(axis: Axis) -> None:
    """Labels the ticks of counts as 10,000."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))


def log_scale(axes: Axes, which: Literal["x", "y"]) -> None:
    """Makes an axis logarithmic, with plain numbers (0.001) instead of formulas at its ticks."""
    axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(FuncFormatter(lambda value, _: ""))
