"""Every kind of damage is found and named; what is stored can be looked at."""

import hashlib
import io
import json
import pathlib
import shutil
import tracemalloc
import unicodedata

import numpy as np
import pytest
from PIL import Image

from alexnet_common import command
from data_prep import dataset, show, verify
from data_prep.shards import records
from tests.data_prep.conftest import Convert
from tests.helpers import imagenet_standin, small_dataset

pytestmark = pytest.mark.usefixtures("in_process")


@pytest.fixture(params=["jpeg", "uint8", "centered"])
def converted(
    small: imagenet_standin.StandIn,
    tmp_path: pathlib.Path,
    convert: Convert,
    request: pytest.FixtureRequest,
    in_process: None,
) -> pathlib.Path:
    status = convert(
        train=small.train_tar,
        validation=small.validation_tar,
        output_dir=tmp_path / "data",
        image_size=48,
        train_shards=2,
        store=request.param,
    )
    assert status == 0
    return tmp_path / "data"


def run_verify(folder: pathlib.Path, decode: str = "all") -> int:
    arguments = [f"--data_dir={folder}", f"--decode={decode}"]
    return command.call(verify.define_flags, verify.main, verify.__doc__, arguments)


@pytest.mark.parametrize("decode", ["none", "sample", "all"])
def test_a_whole_dataset_is_whole(
    converted: pathlib.Path, decode: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_verify(converted, decode) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["problems"] == []
    assert report["images"] == {"train": 9, "validation": 4}
    assert report["decoded"] == (0 if decode == "none" else 13)


@pytest.mark.parametrize("converted", ["jpeg"], indirect=True)
def test_each_damage_names_its_shard_and_record(
    converted: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index = dataset.load(converted).index("train")
    shard = "train-00000-of-00002"
    _, offset, length = (int(value) for value in index[2])

    def damaged(position: int) -> list[str]:
        copy = tmp_path / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(converted, copy)
        data = bytearray((copy / shard).read_bytes())
        data[position] ^= 0x40
        (copy / shard).write_bytes(bytes(data))
        assert run_verify(copy) == 1
        problems: list[str] = json.loads(capsys.readouterr().out)["problems"]
        return problems

    for position in (offset, offset + length - 1, offset + length + 2):
        problems = damaged(position)
        assert f"{shard}: its checksum differs" in problems
        assert f"{shard}: record 2: damaged content, its CRC differs" in problems
        assert len(problems) == 2
    assert f"{shard}: record 2: damaged length" in damaged(offset - 12)


@pytest.mark.parametrize("converted", ["jpeg"], indirect=True)
def test_missing_and_short_files(
    converted: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shard = converted / "train-00001-of-00002"
    data = shard.read_bytes()
    shard.write_bytes(data[:-10])
    assert run_verify(converted) == 1
    problems = json.loads(capsys.readouterr().out)["problems"]
    assert any("has " in problem and shard.name in problem for problem in problems)
    assert any("the file ends within it" in problem for problem in problems)
    shard.unlink()
    assert run_verify(converted) == 1
    assert json.loads(capsys.readouterr().out)["problems"] == [f"{shard.name}: is missing"]
    shard.write_bytes(data)
    (converted / "mean_image.npy").unlink()
    assert run_verify(converted) == 1
    (problem,) = json.loads(capsys.readouterr().out)["problems"]
    assert "mean_image.npy" in problem
    (converted / "dataset.json").unlink()
    assert run_verify(converted) == 1
    assert "not a finished dataset" in capsys.readouterr().err


def rewrite(folder: pathlib.Path, shard: str, payloads: list[bytes]) -> None:
    """Replaces a shard, and its checksum too, so that only the content is wrong."""
    data = b"".join(records.frame(payload) for payload in payloads)
    (folder / shard).write_bytes(data)
    document = json.loads((folder / "dataset.json").read_text())
    for split in document["splits"].values():
        for described in split["shards"]:
            if described["name"] == shard:
                described["bytes"] = len(data)
                described["sha256"] = hashlib.sha256(data).hexdigest()
    (folder / "dataset.json").write_text(json.dumps(document))


@pytest.mark.parametrize("converted", ["jpeg"], indirect=True)
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"label": 4}, "label 4 is not in 1..3"),
        ({"label": 0}, "label 0 is not in 1..3"),
        ({"class_name": "zebra"}, "is not the class it names"),
        ({"size": 47}, "states another image size"),
        ({"store": "uint8"}, "has no image/encoded"),
        ({"image": b"\xff\xd8 cut"}, "truncated JPEG"),
    ],
)
def test_wrong_content_under_right_checksums(
    converted: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    change: dict[str, object],
    said: str,
) -> None:
    shard = "validation-00000-of-00001"
    with open(converted / shard, "rb") as file:
        payloads = list(records.read_payloads(file))
    example = records.decode_example(payloads[3])
    assert example is not None
    fields = {
        "image": example["image/encoded"],
        "store": "jpeg",
        "size": 48,
        "label": example["image/class/label"][0],
        "class_name": example["image/class/synset"].decode(),
        "class_title": None,
        "path": "x",
        **change,
    }
    payloads[3] = records.encode_example(**fields)  # type: ignore[arg-type]
    rewrite(converted, shard, payloads)
    assert run_verify(converted) == 1
    problems = json.loads(capsys.readouterr().out)["problems"]
    assert any(f"{shard}: record 3: " in problem and said in problem for problem in problems)


@pytest.mark.parametrize("converted", ["uint8", "centered"], indirect=True)
@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("garbage", "is not a tf.train.Example"),
        ("no label", "has no image/class/label"),
        ("few pixels", "has another number of pixels"),
        ("fewer", "holds 3 records, expected 4"),
    ],
)
def test_records_that_only_verify_reads(
    converted: pathlib.Path, capsys: pytest.CaptureFixture[str], damage: str, said: str
) -> None:
    """The files and the index fit; what is in the last record does not."""
    tf = pytest.importorskip("tensorflow")
    shard = "validation-00000-of-00001"
    with open(converted / shard, "rb") as file:
        payloads = list(records.read_payloads(file))
    example = tf.train.Example.FromString(payloads[-1])
    if damage == "fewer":
        payloads.pop()
    elif damage == "garbage":
        payloads[-1] = b"\xff" * 20
    else:
        feature = example.features.feature
        if damage == "no label":
            del feature["image/class/label"]
        else:
            (key,) = [name for name in feature if name in dataset.IMAGE_KEYS.values()]
            (content,) = feature[key].bytes_list.value
            feature[key].bytes_list.value[:] = [content[:-2]]
        payloads[-1] = example.SerializeToString()
    rewrite(converted, shard, payloads)
    assert run_verify(converted) == 1
    assert said in capsys.readouterr().out


@pytest.mark.parametrize("converted", ["jpeg"], indirect=True)
def test_class_counts_that_do_not_add_up(
    converted: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = json.loads((converted / "dataset.json").read_text())
    counts = document["splits"]["validation"]["class_counts"]
    real = counts[0]
    counts[0], counts[1] = counts[0] - 1, counts[1] + 1
    (converted / "dataset.json").write_text(json.dumps(document))
    assert run_verify(converted) == 1
    name = document["class_names"][0]
    images = "1 image" if real == 1 else f"{real} images"
    said = f"validation: {images} of class '{name}', dataset.json says {real - 1}"
    assert said in capsys.readouterr().out


@pytest.mark.parametrize("converted", ["jpeg"], indirect=True)
def test_a_record_that_was_moved_no_longer_fits_the_index(
    converted: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shard = "train-00000-of-00002"
    with open(converted / shard, "rb") as file:
        payloads = list(records.read_payloads(file))
    rewrite(converted, shard, payloads[::-1])
    assert run_verify(converted) == 1
    assert "record index names another place" in capsys.readouterr().out


def test_sheets_show_the_stored_pictures(
    converted: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [f"--data_dir={converted}", f"--output_dir={tmp_path / 'pictures'}"]
    assert command.call(show.define_flags, show.main, show.__doc__, arguments) == 0
    the_dataset = dataset.load(converted)
    pictures = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    expected = [f"train-{name}.png" for name in the_dataset.class_names]
    assert pictures == sorted(["mean_image.png", *expected])
    mean = np.asarray(Image.open(tmp_path / "pictures" / "mean_image.png"))
    assert np.abs(mean - the_dataset.mean_image()).max() <= 0.5 + 1e-3
    # Three images stand in two rows of two, with a gap of two pixels.
    with Image.open(tmp_path / "pictures" / expected[0]) as sheet:
        assert sheet.size == (2 * 128 + 2, 2 * 128 + 2)
    said = capsys.readouterr().out
    assert "train: 9 images, 3 per class, 2 shards" in said
    # Krizhevsky's own values, in words that need no knowledge of his code.
    assert "on ImageNet, 2012            127.305" in said and "author" not in said
    assert "principal components of RGB" in said


@pytest.mark.parametrize("converted", ["jpeg"], indirect=True)
def test_an_unknown_class_or_split_to_show(
    converted: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [f"--data_dir={converted}", f"--output_dir={tmp_path / 'pictures'}"]
    for flag, status in (("--classes=zebra", 2), ("--split=test", 1)):
        called = command.call(show.define_flags, show.main, show.__doc__, [*arguments, flag])
        assert called == status
        assert flag.split("=")[1] in capsys.readouterr().err


@pytest.mark.parametrize("converted", ["jpeg"], indirect=True)
def test_a_damaged_shard_to_show_is_named(
    converted: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shard = converted / "train-00000-of-00002"
    content = bytearray(shard.read_bytes())
    content[int(dataset.load(converted).index("train")[1, 1]) + 9] ^= 1
    shard.write_bytes(content)
    arguments = [f"--data_dir={converted}", f"--output_dir={tmp_path / 'pictures'}"]
    assert command.call(show.define_flags, show.main, show.__doc__, arguments) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith(f"error: {shard}: record 1: damaged content")
    assert not (tmp_path / "pictures").exists()


def test_every_class_has_a_sheet_of_its_own() -> None:
    long = "x" * 254
    names = show.file_names(["a b", "a_b", "a/b", "A_B", "a_b-1", "caf\u00e9", "cafe\u0301", long])
    assert len({unicodedata.normalize("NFC", name).casefold() for name in names}) == 8
    assert names[0] == "a_b" and names[5] == "caf\u00e9"
    assert all(len(f"validation-{name}.png".encode()) <= 255 and "/" not in name for name in names)


def test_sheets_need_the_memory_of_one_class(tmp_path: pathlib.Path) -> None:
    """Of ImageNet all classes together would be 5 GB."""
    classes, images, side = 16, 80, 96
    folder = small_dataset.make(
        tmp_path / "data", image_size=side, classes=classes, train=images, validation=classes,
        store="uint8",
    )  # fmt: skip

    def run(*more: str) -> int:
        arguments = [f"--data_dir={folder}", f"--output_dir={tmp_path / 'pictures'}", *more]
        return command.call(show.define_flags, show.main, show.__doc__, arguments)

    # The first call also loads what writes pictures.
    assert run("--classes=class_1") == 0
    tracemalloc.start()
    try:
        assert run() == 0
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    all_images = images * side * side * 3
    assert len(list((tmp_path / "pictures").iterdir())) == classes + 1
    assert all_images / classes < peak < all_images / 3


@pytest.mark.parametrize("converted", ["jpeg"], indirect=True)
def test_sheets_hold_the_images_of_their_class(
    converted: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = dataset.load(converted)
    found = show.first_examples(data, "train", {0: 2, 2: 100})
    index = data.index("train")
    for label, examples in found.items():
        assert len(examples) == min({0: 2, 2: 100}[label], data.split("train").class_counts[label])
        for example, image in zip(
            examples, show.example_images(data, "train", examples, index), strict=True
        ):
            # Oracle: the record read as a TFRecord reader does, decoded by Pillow.
            shard, place = index[example][0], example - int((index[:, 0] < index[example][0]).sum())
            with open(converted / f"train-{shard:05d}-of-00002", "rb") as file:
                payload = list(records.read_payloads(file))[place]
            record = records.decode_example(payload) or {}
            assert record["image/class/label"][0] == label + data.label_offset
            expected = np.asarray(Image.open(io.BytesIO(record["image/encoded"])).convert("RGB"))
            np.testing.assert_array_equal(image, expected)
    arguments = [f"--data_dir={converted}", f"--output_dir={tmp_path}"]
    one = [*arguments, f"--classes={data.class_names[0]}"]
    assert command.call(show.define_flags, show.main, show.__doc__, one) == 0
    assert "1 sheet and the mean image" in capsys.readouterr().err
