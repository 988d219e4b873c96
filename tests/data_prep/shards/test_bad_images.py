"""Images that cannot be converted: what is said, what is left out, and what stays unfinished."""

import json
import pathlib
import shutil

import numpy as np
import pytest

from data_prep import dataset
from tests.data_prep.conftest import Convert, dataset_files
from tests.helpers import imagenet_standin

pytestmark = pytest.mark.usefixtures("in_process")


def bad_files(folder: pathlib.Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
        for number in range(4):
            data = imagenet_standin.encoded(imagenet_standin.picture(rng, 80, 70))
            (folder / name / f"{number}.jpg").write_bytes(data)
    (folder / "a" / "empty.jpg").write_bytes(b"")
    (folder / "a" / "text.jpg").write_bytes(b"this is text")
    whole = (folder / "b" / "0.jpg").read_bytes()
    (folder / "b" / "cut.jpg").write_bytes(whole[: len(whole) // 2])


def test_one_bad_file_fails_by_default_and_leaves_nothing_finished(
    tmp_path: pathlib.Path, convert: Convert, capsys: pytest.CaptureFixture[str]
) -> None:
    bad_files(tmp_path / "photos")
    assert convert(train=tmp_path / "photos", output_dir=tmp_path / "x", image_size=32) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert "--on_error=skip" in line
    assert any(name in line for name in ("a/empty.jpg", "a/text.jpg", "b/cut.jpg"))
    assert not (tmp_path / "x" / "dataset.json").exists()
    with pytest.raises(dataset.DatasetError):
        dataset.load(tmp_path / "x")


def test_skipped_files_are_listed_and_the_exit_status_says_so(
    tmp_path: pathlib.Path, convert: Convert, capsys: pytest.CaptureFixture[str]
) -> None:
    bad_files(tmp_path / "photos")
    flags = {"train": tmp_path / "photos", "output_dir": tmp_path / "x", "image_size": 32}
    assert convert(**flags, on_error="skip", max_errors=2) == 1
    assert "more than --max_errors=2" in capsys.readouterr().err
    assert not (tmp_path / "x" / "dataset.json").exists()
    assert convert(**flags, on_error="skip", max_errors=3) == 1
    said = capsys.readouterr().err
    split = dataset.load(tmp_path / "x").split("train")
    assert split.count == 8 and split.class_counts == (4, 4)
    reasons = {entry.key: entry.reason for entry in split.skipped}
    assert list(reasons) == ["a/empty.jpg", "a/text.jpg", "b/cut.jpg"]
    assert reasons["a/empty.jpg"] == "empty file"
    assert "not an image" in reasons["a/text.jpg"]
    assert "truncated" in reasons["b/cut.jpg"]
    for key in reasons:
        assert f"skipped {key}" in said
    # A file that has been repaired is taken by the same command.
    for name in ("a/empty.jpg", "a/text.jpg", "b/cut.jpg"):
        shutil.copy(tmp_path / "photos" / "b" / "0.jpg", tmp_path / "photos" / name)
    assert convert(**flags) == 0
    assert dataset.load(tmp_path / "x").split("train").count == 11


def test_errors_are_counted_over_all_shards(
    tmp_path: pathlib.Path, convert: Convert, capsys: pytest.CaptureFixture[str]
) -> None:
    bad_files(tmp_path / "photos")
    for number in range(5):
        (tmp_path / "photos" / "a" / f"more_{number}.jpg").write_bytes(b"this is text")
    # 16 files, 8 of them bad, no more than 2 in a shard.
    flags = {"train": tmp_path / "photos", "image_size": 32, "train_shards": 8}
    status = convert(**flags, output_dir=tmp_path / "x", on_error="skip", max_errors=2)
    assert status == 1
    assert "images failed, more than --max_errors=2" in capsys.readouterr().err
    assert not (tmp_path / "x" / "dataset.json").exists()


def test_a_dry_run_names_what_cannot_be_converted(
    tmp_path: pathlib.Path,
    convert: Convert,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bad_files(tmp_path / "photos")
    monkeypatch.setattr("data_prep.shards.estimate._free_bytes", lambda output_dir: 1_000)
    flags = {"train": tmp_path / "photos", "output_dir": tmp_path / "x", "image_size": 32}
    convert(**flags, dry_run=True)
    printed = capsys.readouterr()
    report = json.loads(printed.out)
    failed = {entry["key"] for entry in report["splits"]["train"]["sample"]["failed"]}
    assert failed == {"a/empty.jpg", "a/text.jpg", "b/cut.jpg"}
    for key in failed:
        assert f"cannot be converted: {key}: " in printed.err
    assert report["fits"] is False and "the disk is too small" in printed.err
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("store", ["uint8", "centered"])
def test_repairing_a_skipped_file_gives_the_dataset_that_it_would_have_given(
    tmp_path: pathlib.Path, convert: Convert, store: str
) -> None:
    bad_files(tmp_path / "photos")
    for name in ("a/empty.jpg", "a/text.jpg"):
        (tmp_path / "photos" / name).unlink()
    flags = {"train": tmp_path / "photos", "image_size": 32, "train_shards": 3, "store": store}
    assert convert(**flags, output_dir=tmp_path / "x", on_error="skip") == 1
    whole = (tmp_path / "photos" / "b" / "0.jpg").read_bytes()
    (tmp_path / "photos" / "b" / "cut.jpg").write_bytes(whole)
    assert convert(**flags, output_dir=tmp_path / "x") == 0
    assert convert(**flags, output_dir=tmp_path / "fresh") == 0
    assert dataset_files(tmp_path / "x") == dataset_files(tmp_path / "fresh")


def test_nothing_but_bad_files(
    tmp_path: pathlib.Path, convert: Convert, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a/1.jpg", "b/1.jpg"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True)
        (tmp_path / "photos" / name).write_bytes(b"text")
    for store in ("jpeg", "centered"):
        folder = tmp_path / store
        status = convert(train=tmp_path / "photos", output_dir=folder, on_error="skip", store=store)
        assert status == 1
        assert "not one training image could be converted" in capsys.readouterr().err
        assert not (folder / "dataset.json").exists()
