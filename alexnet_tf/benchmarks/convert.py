"""Converts photographs at full size beside a bare OpenCV loop, and with one and two workers.

Example:
  python -m alexnet_tf.benchmark convert --images=imagenet_sample

--images is a folder of class folders, or a tar archive of it. Three things are measured:

  per_core   images per second of CPU time on one core, in turns on the same images: the whole
             converter (read, decode, resize, crop, JPEG, statistics, record, CRC, SHA-256, write,
             read back) and a loop of imdecode, resize, crop, imencode with OpenCV that writes
             nothing. `ratio` is converter / OpenCV, the median over the rounds.
  workers    images per second of wall time with one and two worker processes, once they have
             started, and their ratio. Needs two idle cores to say anything; where others use them
             too, `ratio_by_cpu_time` says what two workers do in the time that they are given.
  pixels     largest difference of a pixel (0..255) to OpenCV's result, and the share of pixels
             that differ, for the images that shrink and for those that grow.

Needs opencv-python-headless (the extra `benchmark`).
"""

from __future__ import annotations

import dataclasses
import json
import os
import statistics
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import flags

from alexnet_common import folders, tensorflow_import
from alexnet_common.errors import UsageError, UserError
from data_prep.pixels import resize
from data_prep.shards import making, plan, sidecars, workers
from data_prep.sources import listing

JPEG_QUALITY = 95


def define_flags(flag_values: flags.FlagValues) -> None:
    """Defines the flags of this benchmark."""
    flags.DEFINE_string("images", None, "Folder or tar of class folders.", flag_values=flag_values)
    flags.DEFINE_integer("rounds", 5, "Repetitions.", lower_bound=1, flag_values=flag_values)
    flags.DEFINE_integer(
        "repeat",
        8,
        "How often each worker run converts all images.",
        lower_bound=1,
        flag_values=flag_values,
    )
    flags.DEFINE_integer("image_size", 256, "Side in pixels.", flag_values=flag_values)
    flags.mark_flag_as_required("images", flag_values=flag_values)


def main(flag_values: flags.FlagValues, arguments: list[str]) -> None:
    """Measures and prints the result as JSON."""
    if arguments:
        raise UsageError(f"unexpected argument {arguments[0]!r}, only flags are known")
    cv2 = _import_opencv()
    images = listing.find_images(flag_values.images)
    size = flag_values.image_size
    with folders.scratch_folder() as folder:
        os.makedirs(os.path.join(folder, sidecars.FOLDER))
        result = {
            "images": len(images),
            "image_size": size,
            "per_core": _per_core(images, size, flag_values.rounds, folder),
            "workers": _workers(images, size, flag_values.repeat, flag_values.rounds, folder),
            "pixels": _pixels(cv2, images, size),
            "load_average": round(os.getloadavg()[0], 2),
            "versions": {
                "opencv": cv2.__version__,
                "tensorflow": tensorflow_import.import_on_cpu().__version__,
            },
        }
    print(json.dumps(result, indent=1))


def _import_opencv() -> Any:
    try:
        import cv2
    except ImportError as error:
        raise UserError(
            "needs OpenCV: pip install 'alexnet-tf[benchmark]' (or opencv-python-headless)"
        ) from error
    cv2.setNumThreads(1)
    return cv2


def _job(images: Sequence[listing.SourceImage], size: int, folder: str, name: str) -> making.Job:
    classes = {image.class_name: 0 for image in images}
    return making.Job(
        output_dir=folder,
        fingerprint="benchmark",
        shard_name=name,
        images=tuple(images),
        class_indices=classes,
        class_titles=(),
        settings=plan.Settings(image_size=size, jpeg_quality=JPEG_QUALITY),
        write_records=True,
        write_statistics=True,
        max_skipped=0,
    )


@dataclasses.dataclass(frozen=True)
class Turns:
    """What one worker is to measure: rounds of both programs over the same images."""

    images: tuple[listing.SourceImage, ...]
    size: int
    rounds: int
    folder: str


def take_turns(turns: Turns, report: workers.Report) -> list[tuple[float, float]]:
    """CPU seconds of the converter and of the OpenCV loop over all images, round by round."""
    cv2 = _import_opencv()
    measured = []
    for number in range(turns.rounds + 1):
        begin = time.process_time()
        making.make(_job(turns.images, turns.size, turns.folder, f"core-{number}"), report)
        middle = time.process_time()
        for image in turns.images:
            opencv_jpeg(cv2, listing.read_image(image), turns.size)
        measured.append((middle - begin, time.process_time() - middle))
    # The first round pays for page cache, tables of weights and lazy initialisation.
    return measured[1:]


def _per_core(
    images: Sequence[listing.SourceImage], size: int, rounds: int, folder: str
) -> dict[str, Any]:
    """Both programs in turns over the same images, in one worker, by its CPU time."""
    turns = Turns(tuple(images), size, rounds, folder)
    total = len(images) * (rounds + 1)
    (measured,) = workers.run(take_turns, [turns], 1, total, "per core")
    ours = [len(images) / seconds for seconds, _ in measured]
    theirs = [len(images) / seconds for _, seconds in measured]
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    return {
        "converter_images_per_second": round(statistics.median(ours), 1),
        "opencv_images_per_second": round(statistics.median(theirs), 1),
        "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
    }


def opencv_jpeg(cv2: Any, data: bytes, size: int) -> bytes:
    """The bare loop's body: the 2012 converter's steps, straight from its description."""
    return bytes(cv2.imencode(".jpg", opencv_square(cv2, data, size),
                              [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1])  # fmt: skip


def opencv_square(cv2: Any, data: bytes, size: int) -> np.ndarray:
    """Decodes, resizes and crops with OpenCV: uint8 [size, size, 3], BGR."""
    flags_ = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags_)
    height, width = pixels.shape[:2]
    scale = size / min(height, width)
    new_width, new_height = int(width * scale + 0.5), int(height * scale + 0.5)
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC if scale > 1 else cv2.INTER_LINEAR
    resized = cv2.resize(pixels, (new_width, new_height), interpolation=method)
    top, left = (new_height - size) // 2, (new_width - size) // 2
    return np.asarray(resized[top : top + size, left : left + size])


@dataclasses.dataclass(frozen=True)
class Span:
    """When a worker began and ended a job, on the clock that all processes share, and its work."""

    begin: float
    end: float
    cpu_seconds: float


def timed_make(job: making.Job, report: workers.Report) -> Span:
    """Makes a shard in a worker, after one image that pays for what a worker does once."""
    from data_prep.pixels import images

    images.square_pixels(listing.read_image(job.images[0]), job.settings.image_size)
    begin, cpu = time.monotonic(), time.process_time()
    making.make(job, report)
    return Span(begin, time.monotonic(), time.process_time() - cpu)


def _workers(
    images: Sequence[listing.SourceImage], size: int, repeat: int, rounds: int, folder: str
) -> dict[str, Any]:
    """Wall-clock rates of one and of two workers, in turns; the best of each is compared."""
    rates: dict[int, list[float]] = {1: [], 2: []}
    work: dict[int, list[float]] = {1: [], 2: []}
    for round_number in range(rounds):
        for count in rates:
            jobs = [
                _job(images[part::4], size, folder, f"w{round_number}-{count}-{turn}-{part}")
                for turn in range(repeat)
                for part in range(4)
            ]
            total = len(images) * repeat
            spans = workers.run(timed_make, jobs, count, total, f"{count} workers")
            seconds = max(span.end for span in spans) - min(span.begin for span in spans)
            rates[count].append(total / seconds)
            work[count].append(sum(span.cpu_seconds for span in spans) / total)
    best = {count: max(values) for count, values in rates.items()}
    return {
        "one_images_per_second": round(best[1], 1),
        "two_images_per_second": round(best[2], 1),
        "ratio": round(best[2] / best[1], 3),
        "ratio_by_cpu_time": round(2 * min(work[1]) / min(work[2]), 3),
        "all_rounds": {str(count): [round(v, 1) for v in rates[count]] for count in rates},
        "cpu_cores": workers.available_cores(),
    }


def _pixels(cv2: Any, images: Sequence[listing.SourceImage], size: int) -> dict[str, Any]:
    """Differences of our squares to OpenCV's, before any encoding."""
    from data_prep.pixels import images as converter

    differences: dict[str, list[tuple[int, float]]] = {"shrunk": [], "enlarged": [], "kept": []}
    for image in images:
        data = listing.read_image(image)
        pixels = converter.decode(data)
        shape = resize.geometry(*pixels.shape[:2], size)
        rows, columns = shape.rows, shape.columns
        ours = resize.central_square(pixels[rows[0] : rows[1], columns[0] : columns[1]], shape)
        theirs = opencv_square(cv2, data, size)[:, :, ::-1]
        difference = np.abs(ours.astype(int) - theirs)
        shorter = min(pixels.shape[:2])
        kind = "shrunk" if shorter > size else "enlarged" if shorter < size else "kept"
        differences[kind].append((int(difference.max()), float((difference > 0).mean())))
    return {
        kind: {
            "images": len(values),
            "largest_difference": max(value[0] for value in values),
            "share_that_differs": round(statistics.mean(value[1] for value in values), 6),
        }
        for kind, values in differences.items()
        if values
    }
