"""Draws a small labelled set of pictures, so that everything can be tried without downloads.

    python -m data_prep.make_demo_images --output_dir=demo/images

Ten classes of shapes and textures in folders `train/<class>/` and `validation/<class>/`. Colours,
positions, sizes, angles and noise are random: a person tells the classes apart at a glance, a bag
of colours cannot. As in real collections a few pictures are grey, one is a CMYK JPEG and one is a
PNG named .JPEG. The same seed draws the same pictures.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable

import numpy as np
from absl import flags
from PIL import Image
from tqdm import tqdm

from alexnet_common import command, files, folders
from alexnet_common.counting import counted
from alexnet_common.errors import UsageError, UserError
from alexnet_common.messages import log

MARKER_FILE = "demo_images.json"
SPLITS = ("train", "validation")

# (width, height) of the first pictures of every class; the others lie between these.
SMALLEST_SIZE = (180, 300)
LARGEST_SIZE = (700, 500)

# Of a class's training pictures: every tenth is grey, and in one class each these are the quirks.
GREY_EVERY = 10
CMYK_PICTURE = ("disc", 2)
PNG_PICTURE = ("square", 3)

Field = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _star(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Five points at radius 1, notches at radius 0.42."""
    radius = np.hypot(x, y)
    fifth = 2 * np.pi / 5
    angle = np.abs(np.mod(np.arctan2(y, x) + fifth / 2, fifth) - fifth / 2)
    along, across = radius * np.cos(angle), radius * np.sin(angle)
    notch_x, notch_y = 0.42 * np.cos(fifth / 2), 0.42 * np.sin(fifth / 2)
    edge = np.hypot(1 - notch_x, notch_y)
    return ((1 - along) * notch_y - across * (1 - notch_x)) / edge


def _triangle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    normals = [(np.sin(angle), np.cos(angle)) for angle in (0, 2 * np.pi / 3, 4 * np.pi / 3)]
    return 0.55 - np.maximum.reduce([x * a + y * b for a, b in normals])


def _cross(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    x, y = np.abs(x), np.abs(y)
    return np.maximum(np.minimum(0.28 - x, 0.95 - y), np.minimum(0.28 - y, 0.95 - x))


def _crescent(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.minimum(0.95 - np.hypot(x, y), np.hypot(x - 0.45, y) - 0.75)


def _dots(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return 0.3 - np.hypot(np.mod(x, 1) - 0.5, np.mod(y, 1) - 0.5)


# Positive inside the figure, in units of its radius: shapes lie in the unit circle,
SHAPES: dict[str, Field] = {
    "crescent": _crescent,
    "cross": _cross,
    "disc": lambda x, y: 0.85 - np.hypot(x, y),
    "ring": lambda x, y: 0.2 - np.abs(np.hypot(x, y) - 0.75),
    "square": lambda x, y: 0.72 - np.maximum(np.abs(x), np.abs(y)),
    "star": _star,
    "triangle": _triangle,
}
# and textures repeat with period 1 over the whole picture.
TEXTURES: dict[str, Field] = {
    "checkerboard": lambda x, y: 0.3 * np.sin(2 * np.pi * x) * np.sin(2 * np.pi * y),
    "dots": _dots,
    "stripes": lambda x, y: 0.16 * np.sin(2 * np.pi * x),
}
CLASSES = tuple(sorted([*SHAPES, *TEXTURES]))


def draw(class_name: str, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Draws one picture of a class: uint8 [height, width, 3] for `size` = (width, height)."""
    width, height = size
    side = min(width, height)
    if class_name in SHAPES:
        field = SHAPES[class_name]
        unit = side * rng.uniform(0.26, 0.42)
        free = max(0.0, 0.48 * side - unit)
    else:
        field = TEXTURES[class_name]
        unit = side * rng.uniform(0.14, 0.26)
        free = side / 2
    # A square turned by 45 degrees is still a square, but a checkerboard is kept near upright.
    limit = np.pi / 9 if class_name in ("square", "cross", "checkerboard") else np.pi
    angle = rng.uniform(-limit, limit)
    # The centre stays where the converter's central square keeps it.
    centre_x = width / 2 + rng.uniform(-free, free)
    centre_y = height / 2 + rng.uniform(-free, free)

    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    x, y = (x - centre_x) / unit, (y - centre_y) / unit
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    inside = field(cos * x + sin * y, cos * y - sin * x)
    coverage = np.clip(inside * unit + 0.5, 0, 1)[..., None]

    background, foreground = _two_colours(rng)
    slope = rng.uniform(-25, 25, 3).astype(np.float32)
    ramp = np.linspace(-1, 1, width, dtype=np.float32)[None, :, None]
    picture = background + slope * ramp + coverage * (foreground - background)
    noise = rng.standard_normal((height, width, 1), dtype=np.float32)
    picture += np.float32(rng.uniform(3, 16)) * noise
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def _two_colours(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Any two colours that differ enough in brightness to be told apart also in grey."""
    luma = np.array([0.299, 0.587, 0.114])
    while True:
        colours = rng.uniform(10, 245, (2, 3)).astype(np.float32)
        if abs((colours[0] - colours[1]) @ luma) > 60:
            return colours[0], colours[1]


def encode(class_name: str, split: str, number: int, seed: int) -> bytes:
    """The file of one picture, a pure function of its arguments."""
    rng = np.random.default_rng([seed, SPLITS.index(split), CLASSES.index(class_name), number])
    size = (
        int(rng.integers(SMALLEST_SIZE[0], LARGEST_SIZE[0] + 1)),
        int(rng.integers(SMALLEST_SIZE[1], LARGEST_SIZE[1] + 1)),
    )
    size = {0: SMALLEST_SIZE, 1: LARGEST_SIZE}.get(number, size)
    image = Image.fromarray(draw(class_name, size, rng))
    kind = "JPEG"
    if split == "train":
        if (class_name, number) == CMYK_PICTURE:
            image = image.convert("CMYK")
        elif (class_name, number) == PNG_PICTURE:
            kind = "PNG"
        elif number % GREY_EVERY == GREY_EVERY - 1:
            image = image.convert("L")
    buffer = io.BytesIO()
    image.save(buffer, kind, quality=90)
    return buffer.getvalue()


def make(folder: str, counts: dict[str, int], seed: int) -> None:
    """Draws `counts[split]` pictures of every class into the existing folder `folder`."""
    total = sum(counts.values()) * len(CLASSES)
    with tqdm(total=total, desc="drawing", unit=" images", mininterval=0.5) as progress:
        for split in SPLITS:
            for class_name in CLASSES:
                class_folder = os.path.join(folder, split, class_name)
                os.makedirs(class_folder)
                for number in range(counts[split]):
                    path = os.path.join(class_folder, f"{class_name}_{number:04d}.JPEG")
                    with open(path, "wb") as file:
                        file.write(encode(class_name, split, number, seed))
                    progress.update()


def define_flags(flag_values: flags.FlagValues) -> None:
    """Defines the flags of this command."""
    flags.DEFINE_string("output_dir", None, "New folder for the pictures.", flag_values=flag_values)
    flags.DEFINE_integer(
        "train_images_per_class",
        120,
        "Training pictures of every class.",
        lower_bound=1,
        flag_values=flag_values,
    )
    flags.DEFINE_integer(
        "validation_images_per_class",
        40,
        "Validation pictures of every class.",
        lower_bound=1,
        flag_values=flag_values,
    )
    flags.DEFINE_integer(
        "seed", 0, "Seed of all that is random.", lower_bound=0, flag_values=flag_values
    )
    flags.mark_flag_as_required("output_dir", flag_values=flag_values)


def main(flag_values: flags.FlagValues, arguments: list[str]) -> None:
    """Draws into a temporary folder and renames it, so that a half-drawn set never shows."""
    if arguments:
        raise UsageError(f"unexpected argument {arguments[0]!r}, expected flags only")
    counts = {
        "train": flag_values.train_images_per_class,
        "validation": flag_values.validation_images_per_class,
    }
    wanted = {"classes": list(CLASSES), "images_per_class": counts, "seed": flag_values.seed}
    folder = os.path.abspath(files.expand_user(flag_values.output_dir))
    folders.recover(folder)
    if _is_finished(folder, wanted):
        log(f"{folder}: these pictures are there already")
        return
    with folders.atomic_folder(folder) as temporary:
        make(temporary, counts, flag_values.seed)
        text = json.dumps(wanted, indent=1, sort_keys=True) + "\n"
        files.write_atomically(os.path.join(temporary, MARKER_FILE), text.encode())
    total = sum(counts.values()) * len(CLASSES)
    log(f"{folder}: {counted(total, 'picture')} of {counted(len(CLASSES), 'class', 'classes')}")


def _is_finished(folder: str, wanted: dict[str, object]) -> bool:
    """Whether the folder holds these very pictures; a free name is False, all else an error."""
    if not os.path.lexists(folder):
        return False
    if not os.path.isdir(folder):
        raise UserError(f"{folder}: is a file; --output_dir wants a new folder")
    if not os.listdir(folder):
        return False
    try:
        with open(os.path.join(folder, MARKER_FILE), encoding="utf-8") as file:
            if json.load(file) == wanted:
                return True
    except (OSError, ValueError):
        pass
    raise UserError(
        f"{folder}: holds something else than these pictures; "
        "name a new folder with --output_dir, or remove this one"
    )


def run() -> None:
    """Entry point of the console script."""
    command.run(define_flags, main, __doc__)


if __name__ == "__main__":
    run()
