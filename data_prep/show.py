"""Pictures of a dataset folder: a sheet of images per class, the mean image, statistics.

    python -m data_prep.show --data_dir=imagenet_256 --output_dir=pictures

Writes `<split>-<class>.png` for every class (or those of --classes) and `mean_image.png`, and
prints the statistics. What the network will see can be looked at before hours are spent on it.
"""

from __future__ import annotations

import io
import math
import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from absl import flags
from PIL import Image

from alexnet_common import command, files, suggestions
from alexnet_common.counting import counted
from alexnet_common.errors import UsageError, UserError
from alexnet_common.messages import log
from data_prep import dataset
from data_prep.shards import records, repeats, statistics

THUMBNAIL = 128
GAP = 2
# Of a class in the name of its sheet; file systems allow 255 for the whole.
MOST_NAME_BYTES = 200


def first_examples(
    the_dataset: dataset.Dataset, split: str, wanted: dict[int, int]
) -> dict[int, list[int]]:
    """Finds the first examples of every class by the labels of the records.

    Only numbers are kept: 25 images of each of 1,000 classes would be 5 GB.

    Args:
        the_dataset: where to look.
        split: "train" or "validation".
        wanted: number of examples per class index; of a class that has fewer all are found.

    Returns:
        Example indices per class index.

    Raises:
        UserError: a shard is damaged.
    """
    missing = {
        label: min(count, the_dataset.split(split).class_counts[label])
        for label, count in wanted.items()
    }
    result: dict[int, list[int]] = {label: [] for label in wanted}
    left = sum(missing.values())
    for place, payload in enumerate(_payloads(the_dataset, split)):
        if not left:
            break
        label = _field(the_dataset, payload, dataset.LABEL_KEY) - the_dataset.label_offset
        if missing.get(label, 0) > 0:
            missing[label] -= 1
            left -= 1
            result[label].append(place)
    return result


def _payloads(the_dataset: dataset.Dataset, split: str) -> Iterator[bytes]:
    """The records of a split, in order."""
    for number in range(len(the_dataset.split(split).shards)):
        path = the_dataset.shard_path(split, number)
        try:
            with files.open_for_reading(path) as file:
                yield from records.read_payloads(file)
        except records.RecordError as error:
            raise UserError(f"{path}: {error}; see data_prep.verify") from error


def example_images(
    the_dataset: dataset.Dataset, split: str, examples: list[int], index: np.ndarray
) -> list[np.ndarray]:
    """The images of examples as uint8 [size, size, 3]; `index` is that of the split."""
    mean = the_dataset.mean_image() if the_dataset.store == "centered" else None
    images = []
    for number, offset, length in index[examples].tolist():
        with files.open_for_reading(the_dataset.shard_path(split, number)) as file:
            file.seek(offset)
            content = _field(the_dataset, file.read(length), the_dataset.image_key)
        images.append(pixels(the_dataset, content, mean))
    return images


def _field(the_dataset: dataset.Dataset, payload: bytes, key: str) -> Any:
    example = records.decode_example(payload) or {}
    if key not in example:
        raise UserError(f"{the_dataset.directory}: has damaged records; see data_prep.verify")
    value = example[key]
    return value[0] if key == dataset.LABEL_KEY else value


def pixels(the_dataset: dataset.Dataset, content: bytes, mean: np.ndarray | None) -> np.ndarray:
    """The image of a record as uint8 [size, size, 3], whatever the store."""
    side = the_dataset.image_size
    if the_dataset.store == "jpeg":
        return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    if the_dataset.store == "uint8":
        return np.frombuffer(content, np.uint8).reshape(side, side, 3)
    assert mean is not None
    centered = np.frombuffer(content, "<f2").astype(np.float32).reshape(side, side, 3)
    return np.clip(np.rint(centered + mean), 0, 255).astype(np.uint8)


def sheet(images: list[np.ndarray]) -> Image.Image:
    """Puts images side by side, in rows as long as there are rows."""
    columns = math.ceil(math.sqrt(len(images)))
    rows = math.ceil(len(images) / columns)
    step = THUMBNAIL + GAP
    result = Image.new("RGB", (columns * step - GAP, rows * step - GAP), "white")
    for place, image in enumerate(images):
        small = Image.fromarray(image).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BICUBIC)
        result.paste(small, (place % columns * step, place // columns * step))
    return result


def file_names(class_names: Sequence[str]) -> list[str]:
    """A file name for every class: a class may have any name, a file may not.

    Where two would be the same file, also on systems that do not tell A from a, the class's
    number is added.
    """
    result: list[str] = []
    taken: set[str] = set()
    for number, class_name in enumerate(class_names):
        name = re.sub(r"[^\w.-]", "_", class_name)
        while len(name.encode()) > MOST_NAME_BYTES:
            name = name[:-1]
        while unicodedata.normalize("NFC", name).casefold() in taken:
            name += f"-{number}"
        taken.add(unicodedata.normalize("NFC", name).casefold())
        result.append(name)
    return result


def describe(the_dataset: dataset.Dataset) -> str:
    """The statistics of a dataset as text, beside those of ImageNet in the 2012 code."""

    def row(values: object) -> str:
        return "  ".join(f"{value:8.3f}" for value in values)  # type: ignore[attr-defined]

    lines = [
        f"{the_dataset.directory}: {counted(the_dataset.num_classes, 'class', 'classes')}, "
        f"{the_dataset.image_size} pixels, store {the_dataset.store}, "
        f"labels {the_dataset.label_order} from {the_dataset.label_offset}"
    ]
    for name, split in the_dataset.splits.items():
        fewest, most = min(split.class_counts), max(split.class_counts)
        per_class = f"{most:,}" if fewest == most else f"{fewest:,} to {most:,}"
        size = sum(shard.bytes for shard in split.shards)
        lines.append(
            f"{name}: {counted(split.count, 'image')}, {per_class} per class, "
            f"{counted(len(split.shards), 'shard')}, {size:,} bytes, {len(split.skipped):,} skipped"
        )
    lines += repeats.notes(the_dataset.document)
    lines += [
        f"mean RGB, 0 to 255            {row(the_dataset.channel_mean)}",
        f"  on ImageNet, 2012           {row(statistics.AUTHOR_CHANNEL_MEAN)}",
        "principal components of RGB, along which the colour noise is drawn:",
        f"  standard deviations         {row(the_dataset.pca_standard_deviations)}",
        f"  on ImageNet, 2012           {row(statistics.AUTHOR_PCA_STANDARD_DEVIATIONS)}",
    ]
    for colour, values in zip("RGB", the_dataset.pca_vectors, strict=True):
        lines.append(f"  {colour} of their directions       {row(values)}")
    return "\n".join(lines)


def define_flags(flag_values: flags.FlagValues) -> None:
    """Defines the flags of this command."""
    flags.DEFINE_string("data_dir", None, "Folder of the dataset.", flag_values=flag_values)
    flags.DEFINE_string("output_dir", None, "Folder for the pictures.", flag_values=flag_values)
    flags.DEFINE_string("split", "train", "Split to show.", flag_values=flag_values)
    flags.DEFINE_list("classes", [], "Names of classes; default: all.", flag_values=flag_values)
    flags.DEFINE_integer(
        "images_per_class", 25, "Images on a sheet.", lower_bound=1, flag_values=flag_values
    )
    flags.mark_flags_as_required(["data_dir", "output_dir"], flag_values=flag_values)


def main(flag_values: flags.FlagValues, arguments: list[str]) -> None:
    """Writes the pictures and prints the statistics."""
    if arguments:
        raise UsageError(f"unexpected argument {arguments[0]!r}, expected flags only")
    the_dataset = dataset.load(files.expand_user(flag_values.data_dir))
    names = the_dataset.class_names
    unknown = [name for name in flag_values.classes if name not in names]
    if unknown:
        near = suggestions.did_you_mean(unknown[0], names)
        raise UsageError(f"--classes={unknown[0]}: no such class in {the_dataset.directory}{near}")
    the_dataset.split(flag_values.split)
    chosen = [names.index(name) for name in flag_values.classes or names]
    wanted = dict.fromkeys(chosen, flag_values.images_per_class)
    examples = first_examples(the_dataset, flag_values.split, wanted)
    index = the_dataset.index(flag_values.split)
    folder = files.expand_user(flag_values.output_dir)
    sheet_names = file_names(names)
    shown = [label for label in chosen if examples[label]]
    for label in shown:
        images = example_images(the_dataset, flag_values.split, examples[label], index)
        path = os.path.join(folder, f"{flag_values.split}-{sheet_names[label]}.png")
        _write_png(path, sheet(images))
    mean = np.clip(np.rint(the_dataset.mean_image()), 0, 255).astype(np.uint8)
    _write_png(os.path.join(folder, "mean_image.png"), Image.fromarray(mean))
    print(describe(the_dataset))
    log(f"{folder}: {counted(len(shown), 'sheet')} and the mean image")
    if len(shown) < len(chosen):
        lacking = [names[label] for label in chosen if not examples[label]]
        log(
            f"note: {counted(len(lacking), 'class', 'classes')} without an image in the "
            f"{flag_values.split} split, as {lacking[0]!r}"
        )


def _write_png(path: str, image: Image.Image) -> None:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    files.write_atomically(path, buffer.getvalue())


def run() -> None:
    """Entry point of the console script."""
    command.run(define_flags, main, __doc__)


if __name__ == "__main__":
    run()
