"""Carries a plan out: claims the folder, makes the shards, has them finished into a dataset."""

import dataclasses
import errno
from collections.abc import Callable, Sequence

from alexnet_common import files
from alexnet_common.counting import counted
from alexnet_common.errors import UserError
from alexnet_common.messages import log
from data_prep import dataset
from data_prep.shards import finishing, making, ownership, workers
from data_prep.shards.plan import Plan
from data_prep.sources.image_table import Images

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
        finished = ownership.claim(plan, fingerprint, output_dir)
        if finished is not None:
            log(f"{output_dir}: is complete already")
            return finished
        ownership.sweep(output_dir)
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
        sums = finishing.merged_statistics(plan, fingerprint, output_dir)
        if sums is None:
            log(
                f"{output_dir}: the first pass of this task is done, other tasks have not "
                "finished theirs; run the same command again when they have"
            )
            return None
        finishing.write_mean_image(output_dir, sums)
        of_records = finishing.records_fingerprint(plan, fingerprint, sums)
        jobs = _jobs(plan, of_records, output_dir, options, records=True, statistics=False)
    else:
        jobs = _jobs(plan, fingerprint, output_dir, options, records=True, statistics=True)
    _make(jobs, options, "pass 2 of 2, records" if centered else "converting")
    result = finishing.finish(plan, fingerprint, output_dir)
    ownership.sweep(output_dir)
    if result is None:
        log(
            f"{output_dir}: task {options.task} of {options.num_tasks} is done; the task that "
            f"finishes last writes {dataset.DATASET_FILE}"
        )
    return result


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
        measured = split.name == finishing.STATISTICS_SPLIT and statistics
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
                f"{len(skipped):,} images failed, more than --max_errors={options.max_skipped}; "
                f"the last one is {skipped[-1][0]}: {skipped[-1][1]}"
            )

    num_images = sum(len(job.images) for job in jobs)
    run_jobs = options.run_jobs or run_locally
    outcomes = run_jobs(jobs, options.num_workers, num_images, title, check)
    kept = sum(outcome.was_finished for outcome in outcomes)
    if kept:
        log(
            f"{kept:,} of {len(jobs):,} shards {'was' if kept == 1 else 'were'} there already, "
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
        count = counted(oddities.rotated, "image")
        if settings.exif_orientation == "apply":
            log(f"note: {count} turned upright, as the EXIF orientation asks")
        else:
            log(
                f"note: {count} with an EXIF orientation kept as stored, as in 2012; "
                "--exif_orientation=apply turns such photographs upright"
            )
    if oddities.enlarged:
        log(
            f"note: {counted(oddities.enlarged, 'image')} enlarged more than {making.ENLARGED} "
            f"times to {settings.image_size} pixels; a smaller --image_size keeps small images "
            "sharp"
        )
