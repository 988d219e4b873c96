"""Checks a dataset folder from end to end, and says which shard and which record is bad.

    python -m data_prep.verify --data_dir=imagenet_256 --decode=sample

Checked: dataset.json and its schema, every file and checksum, the CRCs of every record, the
record index, labels and sizes in every record, the number of images per class, and that the
pixels of all records, of a sample, or of none can be decoded. Prints a report as JSON on stdout.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from absl import flags

from alexnet_common import command, counting, files
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
    try:
        the_dataset.mean_image()
    except dataset.DatasetError as error:
        problems.append(str(error))
    tasks = {name: _tasks(the_dataset, name, decode, problems) for name in the_dataset.splits}
    every = [task for of_split in tasks.values() for task in of_split]
    total = sum(split.count for split in the_dataset.splits.values())
    results = iter(workers.run(check_shard, every, num_workers, total, "checking"))
    checked = {name: [next(results) for _ in of_split] for name, of_split in tasks.items()}
    problems += [line for name in checked for result in checked[name] for line in result.problems]
    if not any(result.problems for of_split in checked.values() for result in of_split):
        # Where a shard is bad, its images are missing in their classes: nothing new.
        problems += _miscounted(the_dataset, checked)
    summary = {
        "data_dir": directory,
        "images": {name: split.count for name, split in the_dataset.splits.items()},
        "shards": len(every),
        "bytes": sum(task.shard.bytes for task in every),
        "decoded": sum(result.decoded for of_split in checked.values() for result in of_split),
        "problems": problems,
    }
    return problems, summary


def _tasks(
    the_dataset: dataset.Dataset, split_name: str, decode: str, problems: list[str]
) -> list[Task]:
    """The shards of a split; an index that is damaged is a problem, and its shards go without."""
    index = None
    try:
        index = the_dataset.index(split_name)
    except dataset.DatasetError as error:
        problems.append(str(error))
    tasks = []
    for number, shard in enumerate(the_dataset.split(split_name).shards):
        offsets = None
        if index is not None:
            offsets = tuple(int(at) for at in index[index[:, 0] == number, 1])
        tasks.append(
            Task(
                path=the_dataset.shard_path(split_name, number),
                shard=shard,
                payload_offsets=offsets,
                store=the_dataset.store,
                image_size=the_dataset.image_size,
                label_offset=the_dataset.label_offset,
                class_names=the_dataset.class_names,
                decode=decode,
            )
        )
    return tasks


def _miscounted(
    the_dataset: dataset.Dataset, checked: Mapping[str, Sequence[Checked]]
) -> Iterator[str]:
    """Classes of which there are more or fewer images than `dataset.json` says, a line each."""
    for name, results in checked.items():
        counts = [0] * the_dataset.num_classes
        for result in results:
            for label, count in result.class_counts.items():
                counts[label] += count
        stated = the_dataset.split(name).class_counts
        for class_name, found, wanted in zip(the_dataset.class_names, counts, stated, strict=True):
            if found != wanted:
                yield (
                    f"{name}: {counting.counted(found, 'image')} of class {class_name!r}, "
                    f"{dataset.DATASET_FILE} says {wanted:,}"
                )


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
    if example.get(dataset.CLASS_KEY) != task.class_names[label].encode("utf-8", "surrogateescape"):
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
            f"{data_dir}: {counting.counted(len(problems), 'problem')}; remove "
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
