"""The kernels of the first layer as one picture, as Figure 3 of the paper shows them."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

# Figure 3 has rows of 16 kernels.
PER_ROW = 16
CELL_PIXELS = 40
BORDER_PIXELS = 2
GAP_PIXELS = 12


def first_kernels(variables: Mapping[str, Any]) -> tuple[str, list[Any]]:
    """The variables that are kernels on RGB pixels, by column.

    Args:
        variables: by name ("conv1a/kernel"), as `model.build.named_variables` returns them.

    Returns:
        The layer's name without its columns' letters ("conv1"), and the variables, float
        [side, side, 3, kernels] each; none where the network does not begin with a convolution.
    """
    found = {
        name.split("/")[0]: variable
        for name, variable in variables.items()
        if "/kernel" in name and len(variable.shape) == 4 and variable.shape[2] == 3
    }
    return os.path.commonprefix(sorted(found)), [found[name] for name in sorted(found)]


def draw(columns: Sequence[np.ndarray], per_row: int = PER_ROW) -> np.ndarray:
    """All kernels on one picture, the columns below one another.

    One scale serves all kernels, from the smallest weight of all (0) to the largest (255), as the
    2012 code's shownet.py draws them; so columns and kernels can be compared by eye.

    Args:
        columns: float [side, side, 3, kernels] for each column.
        per_row: kernels side by side.

    Returns:
        uint8 [height, width, 3].
    """
    low = min(float(kernels.min()) for kernels in columns)
    high = max(float(kernels.max()) for kernels in columns)
    size = (high - low) or 1.0
    blocks = []
    for kernels in columns:
        shades = np.rint((np.asarray(kernels, np.float64) - low) / size * 255).astype(np.uint8)
        blocks.append(_block(np.moveaxis(shades, 3, 0), per_row))
    width = max(block.shape[1] for block in blocks)
    rows = []
    for number, block in enumerate(blocks):
        if number:
            rows.append(np.full((GAP_PIXELS, width, 3), 255, np.uint8))
        missing = width - block.shape[1]
        rows.append(np.pad(block, ((0, 0), (0, missing), (0, 0)), constant_values=255))
    return np.concatenate(rows)


def _block(kernels: np.ndarray, per_row: int) -> np.ndarray:
    """uint8 [n, side, side, 3] in rows, enlarged, on white."""
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
