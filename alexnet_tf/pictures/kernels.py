"""The kernels of the first layer as one picture, as Figure 3 of the paper shows them."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from alexnet_common.errors import UsageError

# Figure 3 has rows of 16 kernels.
PER_ROW = 16
CELL_PIXELS = 40
BORDER_PIXELS = 2
GAP_PIXELS = 12
SCALES = ("kernel", "column", "all")
# The colour score of weights drawn independently: one of three directions in RGB is grey.
CHANCE_COLOR_SCORE = 2 / 3


def first_kernels(variables: Mapping[str, Any]) -> tuple[str, list[Any]]:
    """The variables that are kernels on RGB pixels, by column.

    Args:
        variables: by name ("conv1a/kernel"), as `model.build.named_variables` returns them.

    Returns:
        The layer's name without its columns' letters ("conv1"), and the variables, float
        [side, side, 3, kernels] each; none where the network does not begin with a convolution.
    """
    kernels = {
        name.split("/")[0]: variable
        for name, variable in variables.items()
        if "/kernel" in name and len(variable.shape) == 4 and variable.shape[2] == 3
    }
    return os.path.commonprefix(sorted(kernels)), [kernels[name] for name in sorted(kernels)]


def color_scores(kernels: np.ndarray) -> np.ndarray:
    """How colourful each kernel is: the share of its energy that grey pixels do not see.

    At each pixel the weights of R, G and B are divided into their mean (grey) and the rest
    (chroma); the score is the sum of squares of the rest over the sum of all squares. 0 is a grey
    kernel, 1 one that answers nothing to grey pixels; independent weights have 2/3 on average
    (`CHANCE_COLOR_SCORE`). Section 6.1 says that one column's kernels are "largely color-agnostic"
    and the other's "largely color-specific", without a number; this is one.

    Args:
        kernels: float [side, side, 3, kernels].

    Returns:
        float64 [kernels]; 0 for a kernel of zeros.
    """
    weights = np.asarray(kernels, np.float64)
    energy = np.square(weights).sum(axis=(0, 1, 2))
    grey = 3 * np.square(weights.mean(axis=2)).sum(axis=(0, 1))
    return np.divide(energy - grey, energy, out=np.zeros_like(energy), where=energy > 0)


def shades(columns: Sequence[np.ndarray], scale: str = "kernel") -> list[np.ndarray]:
    """Weights as grey levels.

    Args:
        columns: float [side, side, 3, kernels] for each column.
        scale: "kernel": a weight of 0 is mid-grey (128) and the kernel's largest magnitude black
            or white, so that weak kernels are seen as well as strong ones. "column": the same with
            the column's largest magnitude. "all": one scale from the smallest weight of all (0) to
            the largest (255), as the 2012 code's shownet.py draws them.

    Returns:
        uint8 of the same shapes.

    Raises:
        UsageError: another scale.
    """
    if scale not in SCALES:
        raise UsageError(f"scale must be {', '.join(SCALES[:-1])} or {SCALES[-1]}, not {scale!r}")
    if scale == "all":
        low = min(float(kernels.min()) for kernels in columns)
        high = max(float(kernels.max()) for kernels in columns)
        size = (high - low) or 1.0
        levels = [(np.asarray(kernels, np.float64) - low) / size * 255 for kernels in columns]
    else:
        axes = (0, 1, 2) if scale == "kernel" else None
        levels = []
        for kernels in columns:
            magnitude = np.abs(np.asarray(kernels, np.float64)).max(axis=axes, keepdims=True)
            levels.append(127.5 + 127.5 * kernels / np.where(magnitude > 0, magnitude, 1.0))
    # Halves up, so that a weight of 0 is 128 on every machine.
    return [np.floor(level + 0.5).clip(0, 255).astype(np.uint8) for level in levels]


def draw(
    columns: Sequence[np.ndarray], scale: str = "kernel", per_row: int = PER_ROW
) -> np.ndarray:
    """All kernels on one picture, the columns below one another.

    Args:
        columns: float [side, side, 3, kernels] for each column.
        scale: as `shades`.
        per_row: kernels side by side.

    Returns:
        uint8 [height, width, 3].
    """
    blocks = [grid(kernels, per_row) for kernels in shades(columns, scale)]
    width = max(block.shape[1] for block in blocks)
    rows = []
    for number, block in enumerate(blocks):
        if number:
            rows.append(np.full((GAP_PIXELS, width, 3), 255, np.uint8))
        missing = width - block.shape[1]
        rows.append(np.pad(block, ((0, 0), (0, missing), (0, 0)), constant_values=255))
    return np.concatenate(rows)


def grid(kernels: np.ndarray, per_row: int = PER_ROW) -> np.ndarray:
    """uint8 [side, side, 3, kernels] in rows of `per_row`, enlarged, on white."""
    kernels = np.moveaxis(kernels, 3, 0)
    count, side = kernels.shape[:2]
    across = min(per_row, count)
    down = math.ceil(count / across)
    zoom = max(1, round(CELL_PIXELS / side))
    large = kernels.repeat(zoom, axis=1).repeat(zoom, axis=2)
    pitch = side * zoom + BORDER_PIXELS
    height, width = down * pitch + BORDER_PIXELS, across * pitch + BORDER_PIXELS
    picture = np.full((height, width, 3), 255, np.uint8)
    for number, kernel in enumerate(large):
        top = number // across * pitch + BORDER_PIXELS
        left = number % across * pitch + BORDER_PIXELS
        picture[top : top + side * zoom, left : left + side * zoom] = kernel
    return picture
