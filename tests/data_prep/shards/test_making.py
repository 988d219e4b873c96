"""One shard in this process: its records, what is said of its images, and when it is made anew."""

import dataclasses
import errno
import io
import os
import pathlib

import numpy as np
import pytest
from PIL import Image

from alexnet_common import files
from alexnet_common.errors import UserError
from data_prep.shards import making, records, sidecars
from data_prep.shards.plan import Settings
from data_prep.sources.image_table import SourceImage

NAME = "train-00000-of-00001"


def png(side: int, seed: int, orientation: int = 1) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", exif=exif)
    return buffer.getvalue()


def job(folder: pathlib.Path, contents: list[bytes], **changes: object) -> making.Job:
    """Images of class "b", the second of two."""
    (folder / "images").mkdir()
    (folder / "out" / ".conversion").mkdir(parents=True)
    images = []
    for number, content in enumerate(contents):
        path = folder / "images" / f"{number}.png"
        path.write_bytes(content)
        images.append(SourceImage(f"b/{number}.png", "b", str(path)))
    made = making.Job(
        output_dir=str(folder / "out"), fingerprint="p", shard_name=NAME, images=images,
        class_indices={"a": 0, "b": 1}, class_titles=("first", "second"),
        settings=Settings(image_size=8, store="uint8"), write_records=True, write_statistics=True,
        max_skipped=0,
    )  # fmt: skip
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def made(the_job: making.Job) -> tuple[making.Outcome, list[int]]:
    done: list[int] = []
    return making.make(the_job, done.append), done


def stored(the_job: making.Job) -> list[dict[str, object]]:
    with open(pathlib.Path(the_job.output_dir) / NAME, "rb") as file:
        return [records.decode_example(payload) or {} for payload in records.read_payloads(file)]


def test_an_error_of_the_disk_names_the_shard(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system's own error of a write names nothing, that of a rename the temporary file."""

    def worn_out(path: str) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    the_job = job(tmp_path, [png(8, 0)])
    monkeypatch.setattr(files, "open_for_writing", worn_out)
    with pytest.raises(OSError, match="Input/output error") as error:
        made(the_job)
    assert error.value.filename == str(tmp_path / "out" / NAME)


def test_a_shard_holds_its_images_in_order(tmp_path: pathlib.Path) -> None:
    contents = [png(8, seed) for seed in range(3)]
    the_job = job(tmp_path, contents)
    outcome, done = made(the_job)
    assert outcome == making.Outcome((), was_finished=False) and done == [1, 1, 1]
    expected = [np.asarray(Image.open(io.BytesIO(content))) for content in contents]
    examples = stored(the_job)
    assert [example["image/raw"] for example in examples] == [e.tobytes() for e in expected]
    assert [example["image/class/label"] for example in examples] == [[2], [2], [2]]
    assert [example["image/class/text"] for example in examples] == [b"second"] * 3
    sums = sidecars.read_statistics(the_job.output_dir, "p", NAME)
    assert sums is not None and sums.count == 3
    assert np.array_equal(sums.image, np.sum(expected, axis=0))
    kept = sidecars.read_records(the_job.output_dir, "p", NAME)
    size = (tmp_path / "out" / NAME).stat().st_size
    assert kept is not None and (kept.count, kept.bytes, kept.class_counts) == (3, size, {1: 3})


def test_what_may_surprise_is_counted(tmp_path: pathlib.Path) -> None:
    """Twice the size is not more than twice; of 8 pixels, 3 are."""
    contents = [png(8, 0), png(8, 1, 6), png(4, 2), png(3, 3), png(3, 4, 8), png(3, 5)]
    the_job = job(tmp_path, contents)
    assert made(the_job)[0].oddities == making.Oddities(rotated=2, enlarged=3)
    # And read back where the shard is there already.
    outcome, done = made(the_job)
    assert outcome == making.Outcome((), True, making.Oddities(2, 3)) and done == [6]


@pytest.mark.parametrize("damage", ["byte", "cut", "longer", "gone", "statistics", "records"])
def test_what_is_damaged_is_made_anew(tmp_path: pathlib.Path, damage: str) -> None:
    the_job = job(tmp_path, [png(8, 0), png(8, 1)])
    made(the_job)
    path = tmp_path / "out" / NAME
    whole = path.read_bytes()
    if damage == "byte":
        path.write_bytes(whole[:50] + bytes([whole[50] ^ 1]) + whole[51:])
    elif damage == "cut":
        path.write_bytes(whole[:-1])
    elif damage == "longer":
        path.write_bytes(whole + b"\0")
    elif damage == "gone":
        path.unlink()
    else:
        (tmp_path / "out" / ".conversion" / f"{NAME}.{damage}.json").unlink()
    assert not made(the_job)[0].was_finished
    assert path.read_bytes() == whole
    assert made(the_job)[0].was_finished


def test_images_that_were_skipped_are_tried_again(tmp_path: pathlib.Path) -> None:
    the_job = job(tmp_path, [png(8, 0), b"text", png(8, 1)], max_skipped=1)
    outcome, done = made(the_job)
    assert [key for key, _ in outcome.skipped] == ["b/1.png"] and done == [1, 1, 1]
    assert not made(the_job)[0].was_finished
    (tmp_path / "images" / "1.png").write_bytes(png(8, 2))
    assert made(the_job)[0].skipped == ()
    assert made(the_job)[0].was_finished and len(stored(the_job)) == 3


@pytest.mark.parametrize(
    ("limit", "advice"), [(0, "--on_error=skip"), (1, "more than --max_errors=1 images failed")]
)
def test_no_more_images_are_skipped_than_may_be(
    tmp_path: pathlib.Path, limit: int, advice: str
) -> None:
    the_job = job(tmp_path, [png(8, 0)] + [b"text"] * (limit + 1), max_skipped=limit)
    with pytest.raises(UserError, match=advice):
        made(the_job)
    assert not (tmp_path / "out" / NAME).exists()


def test_statistics_alone_write_no_records(tmp_path: pathlib.Path) -> None:
    the_job = job(tmp_path, [png(8, 0), png(8, 1)], write_records=False)
    assert not made(the_job)[0].was_finished
    assert not (tmp_path / "out" / NAME).exists()
    outcome, done = made(the_job)
    assert outcome == making.Outcome((), was_finished=True) and done == [2]
    # Sums of fewer images than the job has are not those of the job.
    more = dataclasses.replace(the_job, images=[*the_job.images, the_job.images[0]])
    assert not made(more)[0].was_finished


def test_records_alone_write_no_statistics(tmp_path: pathlib.Path) -> None:
    the_job = job(tmp_path, [png(8, 0)], write_statistics=False)
    made(the_job)
    assert sidecars.read_statistics(the_job.output_dir, "p", NAME) is None
    assert made(the_job)[0].was_finished


@pytest.mark.parametrize("mean", [None, 100.0])
def test_centered_records_hold_float16_differences(
    tmp_path: pathlib.Path, mean: float | None
) -> None:
    the_job = job(tmp_path, [png(8, 0)], settings=Settings(image_size=8, store="centered"))
    if mean is not None:
        np.save(tmp_path / "mean.npy", np.full((8, 8, 3), mean, np.float32))
        the_job = dataclasses.replace(the_job, mean_image_file=str(tmp_path / "mean.npy"))
    made(the_job)
    pixels = np.asarray(Image.open(tmp_path / "images" / "0.png")).astype(np.float64)
    (example,) = stored(the_job)
    content = example["image/raw"]
    assert np.array_equal(np.frombuffer(content, "<f2"), (pixels - (mean or 0)).ravel())  # type: ignore[call-overload]
