"""A job and its outcome as JSON beside the shards, for workers that another engine starts.

They may run on other machines and see nothing but the dataset folder and the sources, so what an
engine carries is only the path of a small file.
"""

import dataclasses
import json
from typing import Any

from alexnet_common import files
from data_prep.shards import sidecars
from data_prep.shards.making import Job, Oddities, Outcome
from data_prep.shards.plan import Settings
from data_prep.sources.image_table import SourceImage


def write_job(job: Job) -> str:
    """Writes a job and returns the path of its file."""
    fields = {name.name: getattr(job, name.name) for name in dataclasses.fields(job)}
    fields["images"] = [list(image) for image in job.images]
    fields["settings"] = dataclasses.asdict(job.settings)
    path = _path(job, "job")
    files.write_atomically(path, json.dumps(fields).encode())
    return path


def read_job(path: str) -> Job:
    """The job that `write_job` wrote."""
    fields: dict[str, Any] = json.loads(files.read_bytes(path))
    fields["images"] = tuple(SourceImage(*image) for image in fields["images"])
    fields["settings"] = Settings(**fields["settings"])
    fields["class_titles"] = tuple(fields["class_titles"])
    return Job(**fields)


def write_outcome(job: Job, outcome: Outcome | None, error: str | None) -> None:
    """Says what became of a job: its outcome, or why it failed."""
    told = None if outcome is None else dataclasses.asdict(outcome)
    content = json.dumps({"outcome": told, "error": error})
    files.write_atomically(_path(job, "outcome"), content.encode())


def read_outcome(job: Job) -> tuple[Outcome | None, str | None]:
    """What `write_outcome` wrote, or (None, None) where nothing became of the job."""
    path = _path(job, "outcome")
    if not files.exists(path):
        return None, None
    content = json.loads(files.read_bytes(path))
    told = content["outcome"]
    if told is None:
        return None, content["error"]
    skipped = tuple((key, reason) for key, reason in told["skipped"])
    return Outcome(skipped, told["was_finished"], Oddities(**told["oddities"])), None


def remove(job: Job) -> None:
    """Removes both files."""
    for what in ("job", "outcome"):
        files.remove(_path(job, what))


def _path(job: Job, what: str) -> str:
    return files.join(sidecars.folder(job.output_dir), f"{job.shard_name}.{what}.json")
