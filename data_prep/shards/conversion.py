"""Carries a plan out: claim the folder, make the shards, merge sidecars, dataset.json last."""

import dataclasses
import errno
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from alexnet_common import files, installed
from alexnet_common.errors import UserError
from alexnet_common.messages import log
from data_prep import dataset
from data_prep.shards import making, records, sidecars, statistics, workers
from data_prep.shards.plan import Plan, SplitPlan
from data_prep.shards.statistics import PixelSums
from data_prep.sources.image_table import Images

PLAN_FILE = "plan.json"
RESAMPLING = "shorter side by area down, cubic (a=-0.75) up, exact; floor centre crop"
# The split whose pixels make the mean image and the colour components.
STATISTICS_SPLIT = "train"
# Those that make pixels; their versions are kept in dataset.json.
LIBRARIES = ("numpy", "pillow", "tensorflow")


# Jobs, processes, images, title, and what is called with every outcome, to the outcomes in order.
RunJobs = Callable[
    [Sequence[making.Job], int, int, str, Callable[[making.Outcome], None]], list[making.Outcome]
]


@dataclasses.dataclass(frozen=True)
class Options:
    """How to convert, none of which changes a byte of the result.

    Attributes:
        num_workers: processes on this machine.
        task, num_tasks: this is task number `task` (from 1) of `num_tasks` on as many machines.
        max_skipped: images that may be left out, 0 for none, None for any number.
        run_jobs: makes shards elsewhere, as `run_locally` does here.
    """

    num_workers: int = 1
    task: int = 1
    num_tasks: int = 1
    max_skipped: int | None = 0
    run_jobs: RunJobs | None = None


def convert(plan: Plan, output_dir: str, options: Options) -> dataset.Dataset | None:
    """Converts; finished shards of an earlier run with the same plan are kept.

    Returns:
        The dataset, or None while other tasks have not finished their shards.

    Raises:
        UserError: the folder holds something else, or an image cannot be converted.
        OSError: the output cannot be written.
    """
    fingerprint = plan.fingerprint()
    try:
        finished = claim(plan, fingerprint, output_dir)
        if finished is not None:
            log(f"{output_dir}: is complete already")
            return finished
        _sweep(output_dir)
        return _convert(plan, fingerprint, output_dir, options)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise UserError(
            f"{output_dir}: {error.strerror}; make room and run the same command again, "
            "finished shards are kept"
        ) from error


def _convert(
    plan: Plan, fingerprint: str, output_dir: str, options: Options
) -> dataset.Dataset | None:
    centered = plan.settings.store == "centered"
    if centered:
        jobs = _jobs(plan, fingerprint, output_dir, options, records=False, statistics=True)
        _make(jobs, options, "pass 1 of 2, mean")
        sums = _merged_statistics(plan, fingerprint, output_dir)
        if sums is None:
            log(
                f"{output_dir}: the first pass of this task is done, other tasks have not "
                "finished theirs; run the same command again when they have"
            )
            return None
        _write_mean_image(output_dir, sums)
        of_records = _records_fingerprint(plan, fingerprint, sums)
        jobs = _jobs(plan, of_records, output_dir, options, records=True, statistics=False)
    else:
        jobs = _jobs(plan, fingerprint, output_dir, options, records=True, statistics=True)
    _make(jobs, options, "pass 2 of 2, records" if centered else "converting")
    result = finish(plan, fingerprint, output_dir)
    _sweep(output_dir)
    if result is None:
        log(
            f"{output_dir}: task {options.task} of {options.num_tasks} is done; the task that "
            f"finishes last writes {dataset.DATASET_FILE}"
        )
    return result


def claim(plan: Plan, fingerprint: str, output_dir: str) -> dataset.Dataset | None:
    """Makes the folder this plan's own, or finds that it is.

    Returns:
        The dataset if it is complete, without skipped images, and its files are there.

    Raises:
        UserError: the folder holds another dataset, another plan's shards or other files.
    """
    refuse_foreign(output_dir)
    dataset_path = files.join(output_dir, dataset.DATASET_FILE)
    if files.exists(dataset_path):
        owner = _read_json(dataset_path)
        if owner.get("plan") != fingerprint:
            raise UserError(
                f"{output_dir}: holds another dataset already; name another --output_dir"
            )
        try:
            finished = dataset.load(output_dir)
            if not any(split.skipped for split in finished.splits.values()):
                return finished
        except dataset.DatasetError:
            pass
        # Something is missing or to be repaired; meanwhile this must not look finished.
        files.remove(dataset_path)
    files.make_dirs(sidecars.folder(output_dir))
    path = files.join(sidecars.folder(output_dir), PLAN_FILE)
    mine = {"plan": fingerprint, "summary": plan.summary()}
    text = json.dumps(mine, indent=1, sort_keys=True) + "\n"
    if not files.write_if_absent(path, text.encode()):
        theirs = _read_json(path)
        if theirs.get("plan") != fingerprint:
            raise UserError(
                f"{output_dir}: holds the unfinished shards of another plan "
                f"({_difference(theirs.get('summary'), plan.summary())}); "
                "name another --output_dir, or remove this one"
            )
    return None


def refuse_foreign(output_dir: str) -> None:
    """Refuses a folder that holds anything but a dataset or the beginning of one.

    Raises:
        UserError: it is a file, or holds other files.
    """
    if not files.exists(output_dir):
        return
    if not files.is_dir(output_dir):
        raise UserError(f"{output_dir}: is a file; --output_dir wants a folder")
    ours = (
        files.join(output_dir, dataset.DATASET_FILE),
        files.join(sidecars.folder(output_dir), PLAN_FILE),
    )
    foreign = [name for name in files.list_dir(output_dir) if not name.startswith(".")]
    if foreign and not any(files.exists(path) for path in ours):
        raise UserError(
            f"{output_dir}: holds other files (as {foreign[0]!r}); name a new --output_dir"
        )


def finish(plan: Plan, fingerprint: str, output_dir: str) -> dataset.Dataset | None:
    """Merges the sidecars and writes index, mean image and `dataset.json`, in this order.

    Returns:
        The dataset, or None if a shard is still to be made.
    """
    sums = _merged_statistics(plan, fingerprint, output_dir)
    if sums is None:
        return None
    of_records = _records_fingerprint(plan, fingerprint, sums)
    splits: dict[str, Any] = {}
    for split in plan.splits:
        described = _describe_split(plan, split, of_records, output_dir)
        if described is None:
            return None
        splits[split.name] = described
    if sums.count != splits[STATISTICS_SPLIT]["count"]:
        raise UserError(
            f"{output_dir}: an image changed between two runs; remove the folder and convert again"
        )
    mean_sha256 = _write_mean_image(output_dir, sums)
    settings = plan.settings
    document = {
        "schema_version": dataset.SCHEMA_VERSION,
        "plan": fingerprint,
        "image_size": settings.image_size,
        "store": settings.store,
        "jpeg_quality": settings.jpeg_quality if settings.store == "jpeg" else None,
        "resampling": RESAMPLING,
        "label_order": settings.label_order,
        "label_offset": settings.label_offset,
        "class_names": list(plan.class_names),
        "class_titles": list(plan.class_titles or plan.class_names),
        "seed": settings.seed,
        **settings.beyond_the_first(),
        "versions": {name: installed.version(name) for name in LIBRARIES},
        "splits": splits,
        "statistics": {
            "split": STATISTICS_SPLIT,
            **statistics.summarize(sums),
            "mean_image": {"name": dataset.MEAN_IMAGE_FILE, "sha256": mean_sha256},
        },
    }
    return dataset.save(output_dir, document)


def _jobs(
    plan: Plan,
    fingerprint: str,
    output_dir: str,
    options: Options,
    *,
    records: bool,
    statistics: bool,
) -> list[making.Job]:
    """This task's share: every `num_tasks`-th shard, counted over all splits."""
    jobs = []
    place = 0
    for split in plan.splits:
        measured = split.name == STATISTICS_SPLIT and statistics
        for number in range(split.num_shards):
            place += 1
            if place % options.num_tasks != options.task - 1 or not (records or measured):
                continue
            images = split.shard_images(number)
            jobs.append(
                making.Job(
                    output_dir=output_dir,
                    fingerprint=fingerprint,
                    shard_name=split.shard_name(number),
                    images=images,
                    class_indices=_indices(plan, images),
                    class_titles=plan.class_titles,
                    settings=plan.settings,
                    write_records=records,
                    write_statistics=measured,
                    max_skipped=options.max_skipped,
                    mean_image_file=files.join(output_dir, dataset.MEAN_IMAGE_FILE),
                )
            )
    return jobs


def _indices(plan: Plan, images: Images) -> dict[str, int]:
    needed = images.class_counts()
    return {name: index for index, name in enumerate(plan.class_names) if name in needed}


def _make(jobs: list[making.Job], options: Options, title: str) -> None:
    """Makes the shards of all jobs, and keeps to `max_skipped` over all of them."""
    skipped: list[tuple[str, str]] = []

    def check(outcome: making.Outcome) -> None:
        skipped.extend(outcome.skipped)
        if options.max_skipped is not None and len(skipped) > options.max_skipped:
            raise UserError(
                f"{len(skipped)} images failed, more than --max_errors={options.max_skipped}; "
                f"the last one is {skipped[-1][0]}: {skipped[-1][1]}"
            )

    num_images = sum(len(job.images) for job in jobs)
    run_jobs = options.run_jobs or run_locally
    outcomes = run_jobs(jobs, options.num_workers, num_images, title, check)
    kept = sum(outcome.was_finished for outcome in outcomes)
    if kept:
        log(
            f"{kept} of {len(jobs)} shards {'was' if kept == 1 else 'were'} there already, "
            "with the right checksum"
        )
    _note(sum((outcome.oddities for outcome in outcomes), making.Oddities()), jobs)


def run_locally(
    jobs: Sequence[making.Job],
    num_workers: int,
    num_images: int,
    title: str,
    check: Callable[[making.Outcome], None],
) -> list[making.Outcome]:
    """Makes the shards of all jobs in processes of this machine."""
    return workers.run(making.make, jobs, num_workers, num_images, title, check)


def _note(oddities: making.Oddities, jobs: list[making.Job]) -> None:
    """Says what may surprise about the images, those of an earlier run among them.

    With two passes, those of the records say it.
    """
    if not jobs or not jobs[0].write_records:
        return
    settings = jobs[0].settings
    if oddities.rotated:
        count = _images(oddities.rotated)
        if settings.exif_orientation == "apply":
            log(f"note: {count} turned upright, as the EXIF orientation asks")
        else:
            log(
                f"note: {count} with an EXIF orientation kept as stored, as in 2012; "
                "--exif_orientation=apply turns such photographs upright"
            )
    if oddities.enlarged:
        log(
            f"note: {_images(oddities.enlarged)} enlarged more than {making.ENLARGED} times to "
            f"{settings.image_size} pixels; a smaller --image_size keeps small images sharp"
        )


def _images(count: int) -> str:
    return f"{count:,} image{'' if count == 1 else 's'}"


def _describe_split(
    plan: Plan, split: SplitPlan, fingerprint: str, output_dir: str
) -> dict[str, Any] | None:
    """One split as `dataset.json` holds it, and its index written; None if a shard is missing."""
    class_counts = [0] * len(plan.class_names)
    described: list[dict[str, Any]] = []
    rows: list[np.ndarray] = []
    skipped: list[dict[str, str]] = []
    for number in range(split.num_shards):
        name = split.shard_name(number)
        done = sidecars.read_records(output_dir, fingerprint, name)
        if done is None or files.size(files.join(output_dir, name)) != done.bytes:
            return None
        if done.count + len(done.skipped) != len(split.shard_images(number)):
            raise UserError(f"{name}: other images than planned; remove it and run again")
        described.append(
            {"name": name, "count": done.count, "bytes": done.bytes, "sha256": done.sha256}
        )
        rows.append(records.index_rows(number, list(done.payload_lengths)))
        skipped.extend({"key": key, "reason": reason} for key, reason in done.skipped)
        for index, count in done.class_counts.items():
            class_counts[index] += count
    index_name = f"{split.name}-index.npy"
    index_file = files.array_to_bytes(np.concatenate(rows))
    files.write_atomically(files.join(output_dir, index_name), index_file)
    return {
        "count": sum(class_counts),
        "class_counts": class_counts,
        "shards": described,
        "index": {"name": index_name, "sha256": hashlib.sha256(index_file).hexdigest()},
        "skipped": sorted(skipped, key=lambda entry: entry["key"]),
    }


def _merged_statistics(plan: Plan, fingerprint: str, output_dir: str) -> PixelSums | None:
    """The sums over the training split, or None if a shard's are missing."""
    total = PixelSums.zero(plan.settings.image_size)
    for split in plan.splits:
        if split.name != STATISTICS_SPLIT:
            continue
        for number in range(split.num_shards):
            name = split.shard_name(number)
            sums = sidecars.read_statistics(output_dir, fingerprint, name)
            if sums is None:
                return None
            total.merge(sums)
    if total.count == 0:
        raise UserError(f"{output_dir}: not one training image could be converted")
    return total


def _records_fingerprint(plan: Plan, fingerprint: str, sums: PixelSums) -> str:
    """What the records depend on: the plan, and the mean where that is subtracted from them.

    The mean of one plan changes when an image that was skipped has been repaired.
    """
    if plan.settings.store != "centered":
        return fingerprint
    mean = statistics.mean_image(sums).tobytes()
    return hashlib.sha256(fingerprint.encode() + mean).hexdigest()


def _write_mean_image(output_dir: str, sums: PixelSums) -> str:
    """Writes the mean image and returns its SHA-256."""
    data = files.array_to_bytes(statistics.mean_image(sums))
    files.write_atomically(files.join(output_dir, dataset.MEAN_IMAGE_FILE), data)
    return hashlib.sha256(data).hexdigest()


def _sweep(output_dir: str) -> None:
    """Removes temporary files of processes of this machine that are gone."""
    if files.is_remote(output_dir):
        return
    for folder in (output_dir, sidecars.folder(output_dir)):
        for name in os.listdir(folder):
            if files.left_behind(name):
                files.remove(os.path.join(folder, name))


def _read_json(path: str) -> dict[str, Any]:
    try:
        content = json.loads(files.read_bytes(path))
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _difference(theirs: Any, mine: dict[str, Any]) -> str:
    if not isinstance(theirs, dict):
        return "its plan cannot be read"
    words = [f"{key} {theirs[key]} there, {mine[key]} now"
             for key in mine if key in theirs and theirs[key] != mine[key]]  # fmt: skip
    return ", ".join(words) or "other images or classes"
