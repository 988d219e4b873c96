"""Draws the 12 images; the other files here are what version 0.1.0 made of them (make.sh)."""

import pathlib
import sys

import numpy as np
from PIL import Image

random = np.random.default_rng(2012)
for split, count in (("train", 3), ("validation", 1)):
    for number, name in enumerate(("ash", "birch", "cedar")):
        folder = pathlib.Path(sys.argv[1]) / split / name
        folder.mkdir(parents=True)
        for index in range(count):
            pixels = random.integers(60 * number, 60 * number + 120, (10, 8, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{index}.png")
