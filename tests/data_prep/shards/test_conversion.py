"""The whole conversion: the same bytes from any source, in any number of tasks, after damage."""

import io
import json
import pathlib
import sys

import numpy as np
import pytest
from PIL import Image

from alexnet_common import files
from data_prep import dataset
from data_prep.shards import sidecars
from tests.data_prep.conftest import Convert, dataset_files
from tests.helpers import imagenet_standin

pytestmark = pytest.mark.usefixtures("in_process")


def from_tars(
    stand_in: imagenet_standin.StandIn, output_dir: pathlib.Path, **flags: object
) -> dict:  # type: ignore[type-arg]
    return {
        "train": stand_in.train_tar,
        "validation": stand_in.validation_tar,
        "output_dir": output_dir,
        "image_size": 64,
        "train_shards": 5,
        "validation_shards": 2,
        **flags,
    }


def test_tars_and_folders_give_the_same_bytes(
    stand_in: imagenet_standin.StandIn, tmp_path: pathlib.Path, convert: Convert
) -> None:
    assert convert(**from_tars(stand_in, tmp_path / "tars")) == 0
    folders = from_tars(
        stand_in,
        tmp_path / "folders",
        train=stand_in.train_folder,
        validation=stand_in.validation_folder,
        devkit=stand_in.devkit,
    )
    assert convert(**folders) == 0
    flat = {**folders, "validation": stand_in.flat_validation, "output_dir": tmp_path / "flat"}
    assert convert(**flat) == 0
    expected = dataset_files(tmp_path / "tars")
    assert len(expected) == 5 + 2 + 2 + 1 + 1
    assert dataset_files(tmp_path / "folders") == expected
    assert dataset_files(tmp_path / "flat") == expected


@pytest.mark.parametrize("store", ["jpeg", "uint8", "centered"])
def test_three_tasks_give_the_bytes_of_one(
    stand_in: imagenet_standin.StandIn, tmp_path: pathlib.Path, convert: Convert, store: str
) -> None:
    alone = from_tars(stand_in, tmp_path / "alone", store=store)
    assert convert(**alone) == 0
    shared = tmp_path / "shared"
    # In two passes the task that ends the first one goes on, and the others come once more.
    order = (3, 1, 2, 3, 1) if store == "centered" else (3, 1, 2)
    for task in order:
        assert not (shared / "dataset.json").exists()
        assert convert(**{**alone, "output_dir": shared, "task": f"{task}/3"}) == 0
    assert dataset_files(shared) == dataset_files(tmp_path / "alone")


def test_every_image_is_in_the_dataset_once(
    stand_in: imagenet_standin.StandIn, tmp_path: pathlib.Path, convert: Convert
) -> None:
    """Read as the well-known ImageNet readers do: sorted classes, labels from 1."""
    import tensorflow as tf

    assert convert(**from_tars(stand_in, tmp_path / "x")) == 0
    features = {
        "image/encoded": tf.io.FixedLenFeature([], tf.string),
        "image/class/label": tf.io.FixedLenFeature([], tf.int64),
        "image/class/synset": tf.io.FixedLenFeature([], tf.string),
        "image/filename": tf.io.FixedLenFeature([], tf.string),
    }
    names = sorted(stand_in.devkit_names)
    for split, count in (("train", 120), ("validation", 40)):
        paths = sorted(str(path) for path in (tmp_path / "x").glob(f"{split}-*-of-*"))
        seen = set()
        for record in tf.data.TFRecordDataset(paths):
            example = tf.io.parse_single_example(record, features)
            index = int(example["image/class/label"]) - 1
            assert 0 <= index < 20
            synset = example["image/class/synset"].numpy().decode()
            assert names[index] == synset
            filename = example["image/filename"].numpy().decode()
            if split == "validation":
                assert stand_in.validation_classes[filename] == synset
            else:
                assert filename.startswith(synset)
            seen.add(filename)
            assert tf.io.decode_jpeg(example["image/encoded"]).shape == (64, 64, 3)
        assert len(seen) == count


def test_stores_hold_the_same_pixels(
    stand_in: imagenet_standin.StandIn, tmp_path: pathlib.Path, convert: Convert
) -> None:
    content: dict[str, list[bytes]] = {}
    for store in ("jpeg", "uint8", "centered"):
        assert convert(**from_tars(stand_in, tmp_path / store, store=store)) == 0
        content[store] = stored_images(tmp_path / store)
    mean = dataset.load(tmp_path / "uint8").mean_image()
    assert np.array_equal(mean, dataset.load(tmp_path / "centered").mean_image())
    assert np.array_equal(mean, dataset.load(tmp_path / "jpeg").mean_image())
    pixels = np.stack([np.frombuffer(c, np.uint8).reshape(64, 64, 3) for c in content["uint8"]])
    np.testing.assert_allclose(mean, pixels.mean(axis=0), atol=1e-4)
    for raw, centered, jpeg in zip(pixels, content["centered"], content["jpeg"], strict=True):
        values = np.frombuffer(centered, "<f2").reshape(64, 64, 3)
        # Between 128 and 256 a float16 has steps of 1/8.
        np.testing.assert_allclose(values, raw - mean, atol=1 / 16 + 1e-3)
        assert np.array_equal(np.rint(values + mean), raw)
        decoded = np.asarray(Image.open(io.BytesIO(jpeg)))
        expected = io.BytesIO()
        Image.fromarray(raw).save(expected, "JPEG", quality=95, subsampling="4:2:0")
        assert np.array_equal(decoded, np.asarray(Image.open(expected)))


def stored_images(folder: pathlib.Path) -> list[bytes]:
    from data_prep.shards import records

    the_dataset = dataset.load(folder)
    result = []
    for shard, offset, length in the_dataset.index("train"):
        with open(the_dataset.shard_path("train", shard), "rb") as file:
            file.seek(offset)
            example = records.decode_example(file.read(length))
        assert example is not None
        result.append(example[the_dataset.image_key])
    return result


def test_the_devkits_label_order(
    stand_in: imagenet_standin.StandIn, tmp_path: pathlib.Path, convert: Convert
) -> None:
    from data_prep.shards import records

    assert convert(**from_tars(stand_in, tmp_path / "x", label_order="devkit")) == 0
    the_dataset = dataset.load(tmp_path / "x")
    assert (the_dataset.label_order, the_dataset.label_offset) == ("devkit", 1)
    with open(the_dataset.shard_path("validation", 0), "rb") as file:
        for payload in records.read_payloads(file):
            example = records.decode_example(payload)
            assert example is not None
            name = stand_in.devkit_names[example["image/class/label"][0] - 1]
            assert name == example["image/class/synset"].decode()


def test_a_damaged_or_missing_shard_is_made_anew(
    stand_in: imagenet_standin.StandIn, tmp_path: pathlib.Path, convert: Convert
) -> None:
    flags = from_tars(stand_in, tmp_path / "x")
    assert convert(**flags) == 0
    expected = dataset_files(tmp_path / "x")
    shard = tmp_path / "x" / "train-00001-of-00005"
    damaged = bytearray(expected[shard.name])
    damaged[1000] ^= 1
    shard.write_bytes(bytes(damaged))
    (tmp_path / "x" / "train-00003-of-00005").unlink()
    sidecar = tmp_path / "x" / sidecars.FOLDER / "train-00002-of-00005.records.json"
    sidecar.write_bytes(sidecar.read_bytes()[:-9])
    statistics = tmp_path / "x" / sidecars.FOLDER / "train-00004-of-00005.statistics.json"
    statistics.write_text(statistics.read_text().replace('"count": 24', '"count": 23'))
    assert convert(**flags) == 0
    assert dataset_files(tmp_path / "x") == expected


@pytest.mark.parametrize("store", ["jpeg", "centered"])
def test_finished_shards_are_kept(
    small: imagenet_standin.StandIn,
    tmp_path: pathlib.Path,
    convert: Convert,
    capsys: pytest.CaptureFixture[str],
    store: str,
) -> None:
    flags = {**from_tars(small, tmp_path / "x"), "train_shards": 3, "validation_shards": 1}
    flags["store"] = store
    assert convert(**flags) == 0
    assert "there already" not in capsys.readouterr().err
    (tmp_path / "x" / "dataset.json").unlink()
    (tmp_path / "x" / "train-00001-of-00003").unlink()
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "x").glob("*-of-*")}
    assert convert(**flags) == 0
    after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "x").glob("*-of-*")}
    assert {name: after[name] for name in before} == before
    said = capsys.readouterr().err
    assert "3 of 4 shards were there already, with the right checksum" in said
    # The first of two passes makes no file but the sums of its three shards.
    assert ("3 of 3 shards were there already" in said) == (store == "centered")


def test_remains_of_a_killed_converter_are_swept_and_never_count(
    small: imagenet_standin.StandIn, tmp_path: pathlib.Path, convert: Convert
) -> None:
    flags = {**from_tars(small, tmp_path / "x"), "train_shards": 3, "validation_shards": 1}
    assert convert(**flags) == 0
    expected = dataset_files(tmp_path / "x")
    folder = tmp_path / "x"
    (folder / "dataset.json").unlink()
    half = expected["train-00000-of-00003"][:500]
    dead = folder / f".train-00000-of-00003.tmp-{files.host_name()}-4194999-0123abcd"
    dead.write_bytes(half)
    other_machine = folder / ".train-00000-of-00003.tmp-elsewhere-1-0123abcd"
    other_machine.write_bytes(half)
    (folder / "train-00000-of-00003").write_bytes(half)
    assert convert(**flags) == 0
    assert dataset_files(folder) == expected
    assert not dead.exists()
    assert other_machine.exists()


def test_output_folders_that_are_not_free(
    small: imagenet_standin.StandIn,
    tmp_path: pathlib.Path,
    convert: Convert,
    capsys: pytest.CaptureFixture[str],
) -> None:
    flags = {**from_tars(small, tmp_path / "x"), "train_shards": 3, "validation_shards": 1}
    assert convert(**flags) == 0
    finished = dataset_files(tmp_path / "x")
    assert convert(**{**flags, "image_size": 32}) == 1
    assert "holds another dataset" in capsys.readouterr().err
    assert dataset_files(tmp_path / "x") == finished
    (tmp_path / "x" / "dataset.json").unlink()
    assert convert(**{**flags, "image_size": 32}) == 1
    assert "image_size 64 there, 32 now" in capsys.readouterr().err
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter.txt").write_text("dear")
    assert convert(**{**flags, "output_dir": tmp_path / "home"}) == 1
    assert "'letter.txt'" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["letter.txt"]
    assert convert(**{**flags, "output_dir": tmp_path / "home" / "letter.txt"}) == 1
    assert "is a file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"task": "4/3"}, "expected i/n"),
        ({"task": "0/3"}, "expected i/n"),
        ({"task": "x"}, "expected i/n"),
        ({"train_shards": "many"}, "expected auto or a number"),
        ({"train_shards": "0"}, "expected auto or a number"),
        ({"max_errors": 3}, "with --on_error=skip only"),
        ({"store": "png"}, "--store"),
        ({"image_size": 0}, "--image_size"),
        ({"validaton": "x"}, "validaton"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(
    tmp_path: pathlib.Path,
    convert: Convert,
    capsys: pytest.CaptureFixture[str],
    flags: dict[str, object],
    said: str,
) -> None:
    assert convert(train=tmp_path, output_dir=tmp_path / "x", **flags) == 2
    errors = capsys.readouterr().err.strip().splitlines()
    assert len(errors) == 1 and said in errors[0]


def test_dry_run_writes_nothing_and_counts_everything(
    small: imagenet_standin.StandIn,
    tmp_path: pathlib.Path,
    convert: Convert,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    flags = {**from_tars(small, tmp_path / "x", train=small.train_folder), "train_shards": 1}
    flags.update(validation=small.validation_folder, validation_shards=1)
    assert convert(**flags, dry_run=True) == 0
    assert not (tmp_path / "x").exists()
    printed = capsys.readouterr()
    # 13 images take milliseconds; the processes that convert them start in seconds.
    assert "time: some seconds with" in printed.err
    described = json.loads(printed.out)
    assert described["splits"]["train"]["images"] == 9
    assert set(described["splits"]["train"]["class_counts"].values()) == {3}
    assert described["splits"]["validation"]["images"] == 4
    assert described["fits"] is True
    # On a terminal the lines for people are all.
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert convert(**flags, dry_run=True) == 0
    printed = capsys.readouterr()
    assert "time: some seconds with" in printed.err and printed.out == ""
    assert convert(**flags) == 0
    actual = sum(
        len(data) for name, data in dataset_files(tmp_path / "x").items() if "-of-" in name
    )
    estimated = sum(split["bytes"] for split in described["splits"].values())
    # All images are in the sample, so the estimate of the shards is exact.
    assert estimated == actual


def test_dali_index_lines_are_offset_and_size(
    small: imagenet_standin.StandIn, tmp_path: pathlib.Path, convert: Convert
) -> None:
    flags = {**from_tars(small, tmp_path / "x"), "train_shards": 2, "validation_shards": 1}
    assert convert(**flags, dali_index=True) == 0
    for shard in (tmp_path / "x").glob("*-of-*"):
        data = shard.read_bytes()
        lines, position = [], 0
        while position < len(data):
            size = int.from_bytes(data[position : position + 8], "little") + 16
            lines.append(f"{position} {size}")
            position += size
        assert (tmp_path / "x" / "idx" / f"{shard.name}.idx").read_text().splitlines() == lines


def test_paths_with_a_scheme(
    small: imagenet_standin.StandIn, tmp_path: pathlib.Path, convert: Convert
) -> None:
    flags = {**from_tars(small, tmp_path / "x"), "train_shards": 2, "validation_shards": 1}
    assert convert(**flags) == 0
    remote = f"file://{tmp_path}/remote"
    assert convert(**{**flags, "output_dir": remote}) == 0
    assert dataset_files(tmp_path / "remote") == dataset_files(tmp_path / "x")
    loaded = dataset.load(remote)
    assert loaded.index("train").shape == (9, 3)
