"""The end of a conversion: the sidecars of all shards become one dataset, `dataset.json` last."""

import hashlib
from typing import Any

import numpy as np

from alexnet_common import files, installed
from alexnet_common.errors import UserError
from data_prep import dataset
from data_prep.shards import records, repeats, sidecars, statistics
from data_prep.shards.plan import Plan, SplitPlan
from data_prep.shards.statistics import PixelSums

RESAMPLING = "shorter side by area down, cubic (a=-0.75) up, exact; floor centre crop"
# The split whose pixels make the mean image and the colour components.
STATISTICS_SPLIT = "train"
# Those that make pixels; their versions are kept in dataset.json.
LIBRARIES = ("numpy", "pillow", "tensorflow")


def finish(plan: Plan, fingerprint: str, output_dir: str) -> dataset.Dataset | None:
    """Merges the sidecars and writes index, mean image and `dataset.json`, in this order.

    Returns:
        The dataset, or None if a shard is still to be made.
    """
    sums = merged_statistics(plan, fingerprint, output_dir)
    if sums is None:
        return None
    of_records = records_fingerprint(plan, fingerprint, sums)
    splits: dict[str, Any] = {}
    photographs = repeats.Photographs()
    for split in plan.splits:
        described = _describe_split(plan, split, of_records, output_dir, photographs)
        if described is None:
            return None
        splits[split.name] = described
    if sums.count != splits[STATISTICS_SPLIT]["count"]:
        raise UserError(
            f"{output_dir}: an image changed between two runs; remove the folder and convert again"
        )
    mean_sha256 = write_mean_image(output_dir, sums)
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
    repeated = photographs.repeated()
    if repeated:
        document[dataset.REPEATED_FIELD] = repeated
    return dataset.save(output_dir, document)


def _describe_split(
    plan: Plan,
    split: SplitPlan,
    fingerprint: str,
    output_dir: str,
    photographs: repeats.Photographs,
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
        planned = split.shard_images(number)
        if done.count + len(done.skipped) != len(planned):
            raise UserError(f"{name}: other images than planned; remove it and run again")
        described.append(
            {"name": name, "count": done.count, "bytes": done.bytes, "sha256": done.sha256}
        )
        rows.append(records.index_rows(number, list(done.payload_lengths)))
        skipped.extend({"key": key, "reason": reason} for key, reason in done.skipped)
        photographs.add(split.name, planned, {key for key, _ in done.skipped}, done.digests)
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


def merged_statistics(plan: Plan, fingerprint: str, output_dir: str) -> PixelSums | None:
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


def records_fingerprint(plan: Plan, fingerprint: str, sums: PixelSums) -> str:
    """What the records depend on: the plan, and the mean where that is subtracted from them.

    The mean of one plan changes when an image that was skipped has been repaired.
    """
    if plan.settings.store != "centered":
        return fingerprint
    mean = statistics.mean_image(sums).tobytes()
    return hashlib.sha256(fingerprint.encode() + mean).hexdigest()


def write_mean_image(output_dir: str, sums: PixelSums) -> str:
    """Writes the mean image and returns its SHA-256."""
    data = files.array_to_bytes(statistics.mean_image(sums))
    files.write_atomically(files.join(output_dir, dataset.MEAN_IMAGE_FILE), data)
    return hashlib.sha256(data).hexdigest()
