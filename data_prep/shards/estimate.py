"""What a conversion will take, from the plan and a sample of its images: no shard is written."""

import os
import shutil
import time
from typing import Any

from alexnet_common import files
from alexnet_common.counting import counted
from alexnet_common.errors import one_line
from alexnet_common.messages import log
from data_prep.pixels.errors import ImageError
from data_prep.shards import making, plan, workers
from data_prep.shards.plan import Plan, SplitPlan
from data_prep.sources import listing

SAMPLE_IMAGES = 200
MEAN_IMAGE_AND_SIDECARS = 1.05


def dry_run(the_plan: Plan, output_dir: str, num_workers: int) -> dict[str, Any]:
    """Describes a conversion before it is begun, as JSON for scripts and in lines for people.

    Converts a sample of the images (in their shuffled order, so a fair one) on one worker.
    """
    splits = {split.name: _measure(the_plan, split) for split in the_plan.splits}
    for name, split in splits.items():
        published = split["known_images"]
        beside = f" (ILSVRC-2012 has {published:,})" if published else ""
        images, shards = counted(split["images"], "image"), counted(split["shards"], "shard")
        log(f"{name}: {images}{beside}, {shards}")
        for failure in split["sample"]["failed"]:
            log(f"  cannot be converted: {failure['key']}: {failure['reason']}")
    need = round(sum(split["bytes"] for split in splits.values()) * MEAN_IMAGE_AND_SIDECARS)
    passes = 2 if the_plan.settings.store == "centered" else 1
    cpu_seconds = passes * sum(split["cpu_seconds"] for split in splits.values())
    free = _free_bytes(output_dir)
    result = {
        "splits": splits,
        "classes": len(the_plan.class_names),
        "output_bytes": need,
        "free_bytes": free,
        "fits": None if free is None else need <= free,
        "seconds": cpu_seconds / num_workers,
        "workers": num_workers,
    }
    log(f"output: about {need:,} bytes" + ("" if free is None else f"; free: {free:,}"))
    if result["fits"] is False:
        log(f"{output_dir}: the disk is too small")
    seconds = result["seconds"]
    log(f"time: {_duration(seconds)} with {counted(num_workers, 'worker')}")
    return result


def _duration(seconds: float) -> str:
    """A time for people; starting the processes, some seconds, is not in it."""
    if seconds < 10:
        return "some seconds"
    if seconds < 60:
        return f"about {seconds:.0f} seconds"
    return f"about {seconds / 60:,.1f} minutes"


def _measure(the_plan: Plan, split: SplitPlan) -> dict[str, Any]:
    sample = split.images[:SAMPLE_IMAGES]
    job = making.Job(
        output_dir="",
        fingerprint="",
        shard_name=split.name,
        images=sample,
        class_indices={name: index for index, name in enumerate(the_plan.class_names)},
        class_titles=the_plan.class_titles,
        settings=the_plan.settings,
        write_records=False,
        write_statistics=split.name == "train",
        max_skipped=None,
    )
    (measured,) = workers.run(measure_sample, [job], 1, len(sample), f"sampling {split.name}")
    converted = len(sample) - len(measured["failed"])
    record_bytes = measured["record_bytes"] / converted if converted else 0.0
    class_counts = dict.fromkeys(the_plan.class_names, 0)
    class_counts.update(split.images.class_counts())
    published = plan.ILSVRC_2012.get(split.name) if len(the_plan.class_names) == 1000 else None
    return {
        "images": len(split.images),
        "known_images": published[0] if published else None,
        "shards": split.num_shards,
        "class_counts": class_counts,
        "bytes": round(record_bytes * len(split.images)),
        "cpu_seconds": measured["seconds_per_image"] * len(split.images),
        "sample": {"images": len(sample), "failed": measured["failed"]},
    }


def measure_sample(job: making.Job, report: workers.Report) -> dict[str, Any]:
    """Converts the images of a job and keeps nothing but their size, time and failures.

    Returns:
        `record_bytes` of all together, `seconds_per_image`, and `failed`: `key` and `reason` of
        each that cannot be converted.
    """
    from data_prep.pixels import images
    from data_prep.shards.statistics import Accumulator

    accumulator = Accumulator(job.settings.image_size)
    failed = []
    total = 0
    begin = time.perf_counter()
    for number, image in enumerate(job.images):
        if number == 1:
            # The first image pays for what a process does once.
            begin = time.perf_counter()
        try:
            data = listing.read_image(image)
            pixels = images.square_pixels(
                data, job.settings.image_size, job.settings.exif_orientation
            )
        except (ImageError, OSError) as error:
            failed.append({"key": image.key, "reason": one_line(error)})
        else:
            if job.write_statistics:
                accumulator.add(pixels)
            total += len(making.encode_record(job, image, pixels))
        report(1)
    seconds = (time.perf_counter() - begin) / max(1, len(job.images) - 1)
    return {"record_bytes": total, "seconds_per_image": seconds, "failed": failed}


def _free_bytes(output_dir: str) -> int | None:
    """Free bytes of the disk that `output_dir` is or will be on; None for an object store."""
    if files.is_remote(output_dir):
        return None
    folder = os.path.abspath(output_dir)
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    return shutil.disk_usage(folder).free
