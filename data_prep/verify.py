"""Checks a dataset folder from end to end, and says which shard and which record is bad.

    python -m data_prep.verify --data_dir=imagenet_256 --decode=sample

Checked: dataset.json and its schema, every file and checksum, the CRCs of every record, the
record index, labels and sizes in every record, the number of images per class, and that the
pixels of all records, of a sample, or of none can be decoded. Prints a report as JSON on stdout.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
from absl import flags

from alexnet_common import command, files
from alexnet_common.errors import FAILED, UsageError
from alexnet_common.messages import log
from data_prep import dataset
from data_prep.pixels.errors import ImageError
from data_prep.shards import making, records, workers

# Of every shard this many records are decoded by --decode=sample, spread over all of it.
SAMPLE_PER_SHARD = 16
# Problems told per shard; a shard of another format would fill the screen.
MAX_PROBLEMS = 10


@dataclasses.dataclass(frozen=True)
class Task:
    """One shard to check: what `dataset.json` and the index say of it."""

    path: str
    shard: dataset.Shard
    payload_offsets: tuple[int, ...] | None
    store: str
    image_size: int
    label_offset: int
    class_names: tuple[str, ...]
    decode: str


@dataclasses.dataclass(frozen=True)
class Checked:
    """Result of a shard: problems in lines, images per class index, and decoded records."""

    problems: tuple[str, ...]
    class_counts: dict[int, int]
    decoded: int


def check_dataset(
    directory: str, decode: str = "sample", num_workers: int = 1
) -> tuple[list[str], dict[str, Any]]:
    """Checks a dataset folder.

    Args:
        directory: the folder.
        decode: records whose pixels are decoded: "none", "sample" or "all".
        num_workers: processes.

    Returns:
        The problems, one line each (empty: the dataset is whole), and counts for the report.

    Raises:
        dataset.DatasetError: there is no `dataset.json` that can be read.
    """
    the_dataset = dataset.describe(directory)
    problems: list[str] = []
    tasks: list[Task] = []
    owners: list[str] = []
    try:
        the_dataset.mean_image()
    except dataset.DatasetError as error:
        problems.append(str(error))
    for name, split in the_dataset.splits.items():
        index = None
        try:
            index = the_dataset.index(name)
        except dataset.DatasetError as error:
            problems.append(str(error))
        for number, shard in enumerate(split.shards):
            offsets = None
            if index is not None:
                offsets = tuple(int(at) for at in index[index[:, 0] == number, 1])
            owners.append(name)
            tasks.append(
                Task(
                    path=files.join(directory, shard.name),
                    shard=shard,
                    payload_offsets=offsets,
                    store=the_dataset.store,
                    image_size=the_dataset.image_size,
                    label_offset=the_dataset.label_offset,
                    class_names=the_dataset.class_names,
                    decode=decode,
                )
            )
    total = sum(split.count for split in the_dataset.splits.values())
    results = workers.run(check_shard, tasks, num_workers, total, "checking")
    decoded = 0
    for name, split in the_dataset.splits.items():
        counts = [0] * the_dataset.num_classes
        for owner, result in zip(owners, results, strict=True):
            if owner == name:
                problems.extend(result.problems)
                decoded += result.decoded
                for label, count in result.class_counts.items():
                    counts[label] += count
        whole = not any(result.problems for result in results)
        for label, (counted, stated) in enumerate(zip(counts, split.class_counts, strict=True)):
            # Where a shard is bad, its images are missing in their classes: nothing new.
            if counted != stated and whole:
                problems.append(
                    f"{name}: {counted} images of class {the_dataset.class_names[label]!r}, "
                    f"{dataset.DATASET_FILE} says {stated}"
                )
    summary = {
        "data_dir": directory,
        "images": {name: split.count for name, split in the_dataset.splits.items()},
        "shards": len(tasks),
        "bytes": sum(task.shard.bytes for task in tasks),
        "decoded": decoded,
        "problems": problems,
    }
    return problems, summary


def check_shard(task: Task, report: workers.Report) -> Checked:
    """Checks one shard file; damage is told, never raised."""
    problems: list[str] = []
    class_counts: dict[int, int] = {}
    decoded = 0
    name = task.shard.name
    size = files.size(task.path)
    if size is None:
        return Checked((f"{name}: is missing",), {}, 0)
    if size != task.shard.bytes:
        problems.append(f"{name}: has {size:,} bytes, expected {task.shard.bytes:,}")
    elif making.file_sha256(task.path) != task.shard.sha256:
        problems.append(f"{name}: its checksum differs")
    step = max(1, task.shard.count // SAMPLE_PER_SHARD)
    number, offset = 0, 0

    def tell(problem: str) -> None:
        if len(problems) < MAX_PROBLEMS:
            problems.append(f"{name}: {problem}")

    def damaged(record: int, length: int) -> None:
        nonlocal number, offset
        tell(f"record {record}: damaged content, its CRC differs")
        number += 1
        offset += length + records.FRAME_BYTES

    try:
        with files.open_for_reading(task.path) as file:
            for payload in records.read_payloads(file, damaged):
                decode = task.decode == "all" or (task.decode == "sample" and number % step == 0)
                at = offset + records.HEADER_BYTES
                problem = _record_problem(task, number, at, payload, decode, class_counts)
                if problem:
                    tell(f"record {number}: {problem}")
                decoded += decode
                number += 1
                offset += len(payload) + records.FRAME_BYTES
                report(1)
    except (records.RecordError, OSError) as error:
        problems.append(f"{name}: {error}")
    else:
        if number != task.shard.count:
            problems.append(f"{name}: holds {number:,} records, expected {task.shard.count:,}")
    return Checked(tuple(problems), class_counts, decoded)


def _record_problem(
    task: Task,
    number: int,
    offset: int,
    payload: bytes,
    decode: bool,
    class_counts: dict[int, int],
) -> str | None:
    """What is wrong with one record, or None; counts its class."""
    expected = task.payload_offsets
    if expected is not None and (number >= len(expected) or expected[number] != offset):
        return "the record index names another place"
    example = records.decode_example(payload)
    if example is None:
        return "is not a tf.train.Example"
    labels = example.get(dataset.LABEL_KEY)
    if not isinstance(labels, list) or len(labels) != 1:
        return f"has no {dataset.LABEL_KEY}"
    label = labels[0] - task.label_offset
    if not 0 <= label < len(task.class_names):
        last = task.label_offset + len(task.class_names) - 1
        return f"label {labels[0]} is not in {task.label_offset}..{last}"
    class_counts[label] = class_counts.get(label, 0) + 1
    if example.get("image/class/synset") != task.class_names[label].encode(
        "utf-8", "surrogateescape"
    ):
        return f"label {labels[0]} is not the class it names"
    if [example.get("image/height"), example.get("image/width")] != [[task.image_size]] * 2:
        return "states another image size"
    content = example.get(dataset.IMAGE_KEYS[task.store])
    if not isinstance(content, bytes):
        return f"has no {dataset.IMAGE_KEYS[task.store]}"
    return _pixel_problem(task, content) if decode else None


def _pixel_problem(task: Task, content: bytes) -> str | None:
    pixels = task.image_size**2 * 3
    if task.store == "uint8":
        return None if len(content) == pixels else "has another number of pixels"
    if task.store == "centered":
        values = np.frombuffer(content, "<f2") if len(content) == 2 * pixels else None
        if values is None:
            return "has another number of pixels"
        return None if np.all(np.abs(values) <= 255) else "has pixels that cannot be"
    from data_prep.pixels import images

    try:
        decoded = images.decode(content)
    except ImageError as error:
        return str(error)
    side = task.image_size
    return None if decoded.shape == (side, side, 3) else f"has pixels {list(decoded.shape)}"


def define_flags(flag_values: flags.FlagValues) -> None:
    """Defines the flags of this command."""
    flags.DEFINE_string("data_dir", None, "Folder of the dataset.", flag_values=flag_values)
    flags.DEFINE_enum(
        "decode",
        "sample",
        ["none", "sample", "all"],
        f"Records whose pixels are decoded; sample: {SAMPLE_PER_SHARD} of every shard.",
        flag_values=flag_values,
    )
    flags.DEFINE_integer(
        "workers",
        None,
        "Processes; default: one per CPU core.",
        lower_bound=1,
        flag_values=flag_values,
    )
    flags.mark_flag_as_required("data_dir", flag_values=flag_values)


def main(flag_values: flags.FlagValues, arguments: list[str]) -> int:
    """Checks, prints the report, and fails if there is any problem."""
    if arguments:
        raise UsageError(f"unexpected argument {arguments[0]!r}, expected flags only")
    num_workers = flag_values.workers or workers.available_cores()
    data_dir = files.expand_user(flag_values.data_dir)
    problems, summary = check_dataset(data_dir, flag_values.decode, num_workers)
    print(json.dumps(summary, indent=1))
    for problem in problems:
        log(f"bad: {problem}")
    if problems:
        log(
            f"{data_dir}: {len(problems)} problem{'' if len(problems) == 1 else 's'}; remove "
            f"{dataset.DATASET_FILE} and run the same build_tfrecords again: it makes what is bad "
            "anew and keeps the rest"
        )
        return FAILED
    log(f"{data_dir}: whole")
    return 0


def run() -> None:
    """Entry point of the console script."""
    command.run(define_flags, main, __doc__)


if __name__ == "__main__":
    run()
