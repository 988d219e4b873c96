"""Makes one shard, alone: read, convert, write, check, rename, sidecar.

A shard depends on its job only, so it may be made on any worker of any machine, any number of
times, also by two processes at once: every time the same bytes appear under the same name.
"""

import dataclasses
import errno
import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from alexnet_common import files
from alexnet_common.errors import UserError, one_line
from data_prep.pixels.errors import ImageError
from data_prep.shards import records, repeats, sidecars
from data_prep.shards.plan import Settings
from data_prep.shards.statistics import Accumulator
from data_prep.sources import listing
from data_prep.sources.image_table import WHOLE_FILE
from data_prep.sources.listing import SourceImage

# More than twice the size, and a picture shows its pixels.
ENLARGED = 2
# A machine short of these would otherwise skip images that are fine.
_NOT_THE_IMAGES_FAULT = frozenset([errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC])


class Cancelled(Exception):
    """The conversion was stopped while this shard was being made."""


@dataclasses.dataclass(frozen=True)
class Job:
    """All that a worker needs to make one shard.

    Attributes:
        write_records, write_statistics: what to make of the images.
        max_skipped: images that may be left out of this shard, or None for no limit.
        mean_image_file: .npy of the mean to subtract (store "centered" only).
    """

    output_dir: str
    fingerprint: str
    shard_name: str
    images: Sequence[SourceImage]
    class_indices: dict[str, int]
    class_titles: tuple[str, ...]
    settings: Settings
    write_records: bool
    write_statistics: bool
    max_skipped: int | None
    mean_image_file: str | None = None


@dataclasses.dataclass(frozen=True)
class Oddities:
    """Numbers of images that a person may want to know of; they change no byte.

    Attributes:
        rotated: images whose EXIF block asks for a turn.
        enlarged: images enlarged more than `ENLARGED` times.
    """

    rotated: int = 0
    enlarged: int = 0

    def __add__(self, other: "Oddities") -> "Oddities":
        return Oddities(self.rotated + other.rotated, self.enlarged + other.enlarged)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes:
        skipped: (key, reason) of the images that are not in the shard.
        was_finished: whether an earlier run had made the shard.
        oddities: what may surprise about the images of the shard.
    """

    skipped: tuple[tuple[str, str], ...]
    was_finished: bool
    oddities: Oddities = Oddities()


@dataclasses.dataclass
class _Seen:
    """What is gathered about the images of a shard while they are converted.

    `digests` grows by those of `repeats.digest`, for every record one.
    """

    skipped: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    odd: list[Oddities] = dataclasses.field(default_factory=list)
    digests: bytearray = dataclasses.field(default_factory=bytearray)

    def oddities(self) -> Oddities:
        """All of them together."""
        return sum(self.odd, Oddities())


def make(job: Job, report: Callable[[int], None]) -> Outcome:
    """Makes the shard of a job, unless it is there, complete and undamaged.

    Args:
        job: what to make.
        report: called with the number of images done since the last call; may raise `Cancelled`.

    Raises:
        UserError: an image cannot be converted and may not be skipped.
        OSError: the output cannot be written.
    """
    finished = _finished(job)
    if finished is not None:
        report(len(job.images))
        return finished
    accumulator = Accumulator(job.settings.image_size)
    seen = _Seen()
    images = _converted(job, accumulator, seen, report)
    if job.write_records:
        result = _write(job, images, seen)
        if job.write_statistics:
            _write_statistics(job, accumulator)
        sidecars.write_records(job.output_dir, job.fingerprint, result)
    else:
        for _ in images:
            pass
        _write_statistics(job, accumulator)
    return Outcome(tuple(seen.skipped), was_finished=False, oddities=seen.oddities())


def file_sha256(path: str) -> str:
    """SHA-256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with files.open_for_reading(path) as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def check(path: str, payload_lengths: tuple[int, ...] | list[int], sha256: str) -> str | None:
    """Reads a shard again: None if every record and the checksum are right, else what is wrong."""
    digest = hashlib.sha256()
    try:
        with files.open_for_reading(path) as file:
            lengths = [len(payload) for payload in records.read_payloads(_Hashing(file, digest))]
    except (OSError, records.RecordError) as error:
        return str(error)
    if lengths != list(payload_lengths):
        return f"holds {len(lengths):,} records, expected {len(payload_lengths):,}, or other ones"
    return None if digest.hexdigest() == sha256 else "its checksum differs"


class _Hashing:
    """A file whose checksum grows while it is read, so that it is read once."""

    def __init__(self, file: Any, digest: Any) -> None:
        self._file, self._digest = file, digest

    def read(self, size: int) -> bytes:
        data: bytes = self._file.read(size)
        self._digest.update(data)
        return data


def _finished(job: Job) -> Outcome | None:
    """The outcome of an earlier run, if all that the job makes is there and undamaged."""
    sums = None
    if job.write_statistics:
        sums = sidecars.read_statistics(job.output_dir, job.fingerprint, job.shard_name)
        if sums is None or (not job.write_records and sums.count != len(job.images)):
            return None
    if not job.write_records:
        return Outcome((), was_finished=True)
    done = sidecars.read_records(job.output_dir, job.fingerprint, job.shard_name)
    # An image that was skipped once may have been repaired since.
    if done is None or done.skipped:
        return None
    if job.write_statistics and sums is not None and sums.count != done.count:
        return None
    path = files.join(job.output_dir, job.shard_name)
    if files.size(path) != done.bytes or file_sha256(path) != done.sha256:
        return None
    return Outcome((), was_finished=True, oddities=Oddities(done.rotated, done.enlarged))


def _converted(
    job: Job,
    accumulator: Accumulator,
    seen: _Seen,
    report: Callable[[int], None],
) -> Iterator[tuple[SourceImage, np.ndarray]]:
    """Yields the images of a job as uint8 squares; those that fail are skipped or end it."""
    from data_prep.pixels import exif, images

    settings = job.settings
    skipped = seen.skipped
    for image in job.images:
        try:
            data = listing.read_image(image)
            pixels, header = images.square(data, settings.image_size, settings.exif_orientation)
        except (ImageError, OSError) as error:
            if isinstance(error, OSError) and error.errno in _NOT_THE_IMAGES_FAULT:
                raise
            reason = error.strerror if isinstance(error, OSError) and error.strerror else error
            skipped.append((image.key, one_line(reason)))
            if job.max_skipped is not None and len(skipped) > job.max_skipped:
                advice = (
                    "repair or remove it, or leave such images out with --on_error=skip"
                    if job.max_skipped == 0
                    else f"more than --max_errors={job.max_skipped} images failed"
                )
                raise UserError(f"{_where(image)}: {skipped[-1][1]}; {advice}") from error
            report(1)
            continue
        rotated = header.orientation != exif.AS_STORED
        enlarged = settings.image_size > ENLARGED * min(header.width, header.height)
        if rotated or enlarged:
            seen.odd.append(Oddities(int(rotated), int(enlarged)))
        if job.write_statistics:
            accumulator.add(pixels)
        if job.write_records:
            seen.digests += repeats.digest(data)
        yield image, pixels
        report(1)


def _where(image: SourceImage) -> str:
    """The file of an image, with its place in it where that is an archive."""
    whole = image.offset == WHOLE_FILE
    return image.path if whole else f"{image.path}: {image.key}"


def _write(
    job: Job,
    converted: Iterator[tuple[SourceImage, np.ndarray]],
    seen: _Seen,
) -> sidecars.Records:
    path = files.join(job.output_dir, job.shard_name)
    temporary = files.temporary_name(path)
    mean = _mean_image(job)
    digest = hashlib.sha256()
    lengths: list[int] = []
    class_counts: dict[int, int] = {}
    try:
        with files.named_in_errors(path, temporary):
            with files.open_for_writing(temporary) as file:
                for image, pixels in converted:
                    framed = encode_record(job, image, pixels, mean)
                    digest.update(framed)
                    file.write(framed)
                    lengths.append(len(framed) - records.FRAME_BYTES)
                    index = job.class_indices[image.class_name]
                    class_counts[index] = class_counts.get(index, 0) + 1
            sha256 = digest.hexdigest()
            wrong = check(temporary, lengths, sha256)
            if wrong:
                raise OSError(f"{path}: what was written reads back differently ({wrong})")
            files.publish(temporary, path)
    except BaseException:
        files.remove_quietly(temporary)
        raise
    return sidecars.Records(
        name=job.shard_name,
        count=len(lengths),
        bytes=sum(lengths) + len(lengths) * records.FRAME_BYTES,
        sha256=sha256,
        payload_lengths=tuple(lengths),
        class_counts=dict(sorted(class_counts.items())),
        skipped=tuple(seen.skipped),
        digests=bytes(seen.digests),
        **dataclasses.asdict(seen.oddities()),
    )


def _write_statistics(job: Job, accumulator: Accumulator) -> None:
    sidecars.write_statistics(job.output_dir, job.fingerprint, job.shard_name, accumulator.sums())


def encode_record(
    job: Job, image: SourceImage, pixels: np.ndarray, mean: np.ndarray | None = None
) -> bytes:
    """One framed record. `mean` is what the store "centered" subtracts; none means zero."""
    from data_prep.pixels import images

    settings = job.settings
    if settings.store == "jpeg":
        content = images.encode_jpeg(pixels, settings.jpeg_quality)
    elif settings.store == "uint8":
        content = pixels.tobytes()
    else:
        centered = pixels.astype(np.float32) - (0 if mean is None else mean)
        content = centered.astype("<f2").tobytes()
    index = job.class_indices[image.class_name]
    payload = records.encode_example(
        image=content,
        store=settings.store,
        size=settings.image_size,
        label=index + settings.label_offset,
        class_name=image.class_name,
        class_title=job.class_titles[index] if job.class_titles else None,
        path=image.path_in_class,
    )
    return records.frame(payload)


def _mean_image(job: Job) -> np.ndarray | None:
    if job.settings.store != "centered" or job.mean_image_file is None:
        return None
    return files.array_from_bytes(files.read_bytes(job.mean_image_file))
