"""The surest mistakes as a contact sheet: each image with its class and what it is taken for."""

from __future__ import annotations

import dataclasses
import io
import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from alexnet_tf.analysis import plots
from alexnet_tf.analysis.charts import shorten
from alexnet_tf.analysis.statistics import Mistake
from alexnet_tf.inference import images
from data_prep import dataset

PER_ROW = 6
# Guesses below an image.
GUESSES = 3


@dataclasses.dataclass(frozen=True, eq=False)
class Shown:
    """A mistake with its image (uint8 [S, S, 3]) and file name."""

    mistake: Mistake
    file_name: str
    pixels: np.ndarray


def look_up(data: dataset.Dataset, split: str, mistakes: Sequence[Mistake]) -> list[Shown]:
    """Reads the images of mistakes from their split."""
    if not mistakes:
        return []
    numbers = np.array([mistake.example for mistake in mistakes])
    shown: list[Shown] = []
    for batch in images.of_split(data, split, len(numbers), numbers=numbers):
        for name, pixels in zip(batch.names, batch.images, strict=True):
            whole = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
            shown.append(Shown(mistakes[len(shown)], name, whole))
    return shown


def draw(shown: Sequence[Shown], class_titles: Sequence[str]) -> Figure:
    """The sheet; below each image its right class and the best guesses with their probabilities."""
    across = min(PER_ROW, len(shown))
    down = math.ceil(len(shown) / across)
    with plots.style():
        figure = plots.figure(1.75 * across, 2.65 * down + 0.25)
        figure.suptitle(
            "The surest mistakes: right class (bold), best guesses, file",
            x=0,
            ha="left",
            fontsize=9,
        )
        grid = figure.subplots(down, across, squeeze=False)
        for axes in grid.flat:
            axes.set_axis_off()
        for axes, one in zip(grid.flat, shown, strict=False):
            axes.imshow(one.pixels)
            axes.set_title(shorten(class_titles[one.mistake.label]), fontsize=8)
            lines = [
                f"{probability:4.0%}  {shorten(class_titles[guess])}"
                for guess, probability in guesses(one.mistake)
            ]
            lines.append(_shorten_file(one.file_name))
            axes.text(
                0, -0.03, "\n".join(lines), transform=axes.transAxes, va="top", fontsize=6.5,
                linespacing=1.3,
            )  # fmt: skip
    return figure


def guesses(mistake: Mistake) -> list[tuple[int, float]]:
    """The best guesses, and the right class with its probability if it is not among them."""
    pairs = list(zip(mistake.guesses, mistake.probabilities, strict=True))[:GUESSES]
    if mistake.label not in [guess for guess, _ in pairs]:
        pairs.append((mistake.label, mistake.of_label))
    return pairs


def jpeg(pixels: np.ndarray) -> bytes:
    """An image of a page as a JPEG file; small images enlarged, with their pixels left to see."""
    image = Image.fromarray(pixels)
    if image.width < 96:
        factor = math.ceil(96 / image.width)
        image = image.resize(
            (image.width * factor, image.height * factor), Image.Resampling.NEAREST
        )
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def _shorten_file(name: str) -> str:
    return name if len(name) <= 28 else f"…{name[-27:]}"
