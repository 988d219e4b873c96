"""Images from anywhere as the square pixels of the converter, in batches, in order."""

from __future__ import annotations

import concurrent.futures
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps

from alexnet_common import hidden_files
from alexnet_common.errors import UserError
from alexnet_tf.input import pipeline, records
from data_prep import dataset
from data_prep.pixels import resize
from data_prep.pixels.errors import ImageError
from data_prep.pixels.images import square_pixels

# Larger files are refused, as the converter refuses them.
MAX_FILE_BYTES = 1 << 26


@dataclass(frozen=True, eq=False)
class Batch:
    """Images in a row.

    Attributes:
        names: paths of files; of a dataset the class, the folders below it and the file's name, or
            the place in the split where its records hold no name.
        images: [b, S, S, 3], uint8 (float32 from a dataset of the store "centered"), 0..255, RGB.
        labels: int32 [b], from 0; None where nobody knows them.
        skipped: (name, reason) of files between these images that could not be read.
    """

    names: list[str]
    images: np.ndarray
    labels: np.ndarray | None = None
    skipped: list[tuple[str, str]] = field(default_factory=list)


def square(image: Any, size: int, exif_orientation: str = "ignore") -> np.ndarray:
    """An image as the converter makes it: shorter side to `size`, then the central square.

    Args:
        image: path of an image file, its content as bytes, a PIL image, or uint8 [H, W, 3] (RGB)
            or [H, W] (grey). Pixels that are `size` x `size` already stay as they are.
        size: side of the square in pixels.
        exif_orientation: that of the dataset: "apply" turns photographs that a camera marked.

    Returns:
        uint8 [size, size, 3], RGB.

    Raises:
        UserError: not an image, or a file that cannot be read; names the file.
    """
    if isinstance(image, str | os.PathLike):
        path = os.fspath(image)
        try:
            return square_pixels(read(path), size, exif_orientation)
        except ImageError as error:
            raise UserError(f"{path}: {error}") from error
    if isinstance(image, bytes):
        try:
            return square_pixels(image, size, exif_orientation)
        except ImageError as error:
            raise UserError(f"image: {error}") from error
    if isinstance(image, Image.Image):
        if exif_orientation == "apply":
            image = ImageOps.exif_transpose(image)
        image = image.convert("RGB")
    pixels = np.asarray(image)
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[:, :, None], 3, axis=2)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise UserError(
            "an image must be a path, bytes, a PIL image, or uint8 [height, width, 3], not "
            f"{pixels.dtype} {list(pixels.shape)}"
        )
    shape = resize.geometry(pixels.shape[0], pixels.shape[1], size)
    rows, columns = shape.rows, shape.columns
    return resize.central_square(pixels[rows[0] : rows[1], columns[0] : columns[1]], shape)


def read(path: str) -> bytes:
    """The content of an image file; raises UserError, which names it."""
    try:
        if os.path.isdir(path):
            raise UserError(f"{path}: is a folder, not an image file")
        size = os.path.getsize(path)
        if size > MAX_FILE_BYTES:
            raise UserError(
                f"{path}: {size:,} bytes are more than the {MAX_FILE_BYTES:,} that are read"
            )
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error


def find(places: Sequence[str]) -> list[str]:
    """Image files by name: files as they are, folders with all files in and below them.

    What is an image is seen from its content later. Hidden files are what systems leave, as when
    converting; links are followed; names within a folder are sorted.

    Raises:
        UserError: nothing there, a folder without a file, or one that contains itself.
    """
    paths: list[str] = []
    for place in places:
        if not os.path.isdir(place):
            if not os.path.exists(place):
                raise UserError(f"{place}: no such file or folder")
            paths.append(place)
            continue
        before = len(paths)
        paths += _within(place, ())
        if len(paths) == before:
            raise UserError(f"{place}: holds no file")
    return paths


def _within(folder: str, above: tuple[tuple[int, int], ...]) -> Iterator[str]:
    """The files of a folder, then those of its folders."""
    status = os.stat(folder)
    identity = (status.st_dev, status.st_ino)
    if identity in above:
        raise UserError(f"{folder}: is a link to a folder that it lies in; remove it")
    with os.scandir(folder) as listed:
        entries = sorted(listed, key=lambda entry: entry.name)
    seen = [entry for entry in entries if not hidden_files.is_hidden_part(entry.name)]
    yield from (entry.path for entry in seen if not entry.is_dir())
    for entry in seen:
        if entry.is_dir():
            yield from _within(entry.path, (*above, identity))


def of_files(
    paths: Sequence[str],
    size: int,
    batch_size: int,
    *,
    exif_orientation: str = "ignore",
    skip: bool = False,
) -> Iterator[Batch]:
    """Batches of image files in their order; the next ones are decoded meanwhile.

    Args:
        paths: of the files, which are also their names.
        size: side of the squares in pixels.
        exif_orientation: as for `square`.
        batch_size: files per batch; a batch holds fewer images where some are skipped.
        skip: leave out files that cannot be read, and say so in the batch.

    Raises:
        UserError: a file that cannot be read, unless `skip`.
    """

    def attempt(path: str) -> np.ndarray | UserError:
        try:
            return square(path, size, exif_orientation)
        except UserError as error:
            return error

    def gather(names: list[str], futures: list[Any]) -> Batch:
        pixels, kept, skipped = [], [], []
        for name, future in zip(names, futures, strict=True):
            result = future.result()
            if not isinstance(result, UserError):
                pixels.append(result)
                kept.append(name)
            elif skip:
                skipped.append((name, str(result).removeprefix(f"{name}: ")))
            else:
                raise result
        images = np.stack(pixels) if pixels else np.zeros((0, size, size, 3), np.uint8)
        return Batch(kept, images, None, skipped)

    chunks = [list(paths[i : i + batch_size]) for i in range(0, len(paths), batch_size)]
    pool = concurrent.futures.ThreadPoolExecutor()
    try:
        waiting: list[tuple[list[str], list[Any]]] = []
        for chunk in chunks:
            waiting.append((chunk, [pool.submit(attempt, path) for path in chunk]))
            if len(waiting) == 2:
                yield gather(*waiting.pop(0))
        for names, futures in waiting:
            yield gather(names, futures)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def of_split(
    data: dataset.Dataset, split: str, batch_size: int, numbers: np.ndarray | None = None
) -> Iterator[Batch]:
    """Batches of a split in the order of its records, as the evaluator sees them.

    Args:
        data: the dataset.
        split: "train" or "validation".
        batch_size: images per batch; the last one may be shorter.
        numbers: of the examples that are wanted, int [n], in this order; None: all.

    Raises:
        UserError: no such split, or no image in it.
    """
    if not data.split(split).count:
        raise UserError(f"{data.directory}: the split {split} has no images")
    wanted = np.arange(data.split(split).count) if numbers is None else np.asarray(numbers)
    names = names_of_split(data, split)
    span = pipeline.Span(len(wanted), min(batch_size, len(wanted)))
    first = 0
    for batch in pipeline.evaluation_batches(data, split, span, numbers=wanted):
        real = batch["weight"].numpy() > 0
        part = wanted[first : first + int(real.sum())]
        first += len(part)
        yield Batch(names(part), batch["image"].numpy()[real], batch["label"].numpy()[real])


def sample(data: dataset.Dataset, split: str, count: int, seed: int = 0) -> Batch:
    """Some images of a split, drawn without replacement, the same for the same seed.

    Raises:
        UserError: no such split, or no image in it.
    """
    available = data.split(split).count
    drawn = np.random.default_rng(seed).permutation(available)[:count]
    return next(iter(of_split(data, split, max(count, 1), drawn)))


def names_of_split(data: dataset.Dataset, split: str) -> Callable[[np.ndarray], list[str]]:
    """A function from numbers of examples, int [b], to the names of their files.

    A name is the class, the folders below it, and the file's own name: photographs of several
    folders often have the same. Where a record holds no name: the split and the number.
    """
    reader = records.RecordReader(data, split)
    keys = (dataset.CLASS_KEY, dataset.PATH_KEY, dataset.NAME_KEY)
    features = {key: tf.io.FixedLenFeature([], tf.string, default_value="") for key in keys}

    def names(numbers: np.ndarray) -> list[str]:
        serialized = tf.constant(reader.read(numbers), tf.string)
        parsed = tf.io.parse_example(serialized, features)
        columns = (parsed[key].numpy() for key in keys)
        result = []
        for class_name, path, name, number in zip(*columns, numbers, strict=True):
            parts = [class_name] * bool(class_name) + [path or name]
            whole = b"/".join(parts) if path or name else f"{split}/{number}".encode()
            result.append(whole.decode(errors="backslashreplace"))
        return result

    return names
