"""ImageNet in every form: images, classes and shards of the raw tars; refusals in a line."""

import json
import os
import pathlib
import re
import sys
import types
import zipfile

import pytest

from alexnet_common.errors import UserError
from data_prep.sources import forms, inputs, listing, unpacked
from data_prep.sources import parquet as parquet_form
from data_prep.sources.inputs import Inputs
from tests.data_prep.conftest import Convert, dataset_files
from tests.helpers import imagenet_forms
from tests.helpers.imagenet_standin import StandIn

Named = dict[str, pathlib.Path]


def kaggle_folder(stand_in: StandIn, folder: pathlib.Path) -> Named:
    return {"train": imagenet_forms.write_folder(folder, imagenet_forms.kaggle_files(stand_in))}


def kaggle_zip(stand_in: StandIn, folder: pathlib.Path) -> Named:
    folder.mkdir()
    files = imagenet_forms.kaggle_files(stand_in)
    return {"train": imagenet_forms.write_zip(folder / "kaggle.zip", files)}


def stored_zips(stand_in: StandIn, folder: pathlib.Path) -> Named:
    folder.mkdir()
    named = {}
    for split in ("train", "validation"):
        files = {f"{c}/{n}": data for c, n, data in imagenet_forms.of_split(stand_in, split)}
        path = folder / f"{split}.zip"
        named[split] = imagenet_forms.write_zip(path, files, zipfile.ZIP_STORED)
    return {**named, "devkit": stand_in.devkit}


def flat_zip(stand_in: StandIn, folder: pathlib.Path) -> Named:
    folder.mkdir()
    files = {n: data for _, n, data in imagenet_forms.validation_files(stand_in)}
    validation = imagenet_forms.write_zip(folder / "val.zip", files)
    return {"train": stand_in.train_tar, "validation": validation}


def tar_gz(stand_in: StandIn, folder: pathlib.Path) -> Named:
    folder.mkdir()
    files = {f"top/{c}/{n}": data for c, n, data in imagenet_forms.train_files(stand_in)}
    train = imagenet_forms.tar_gz(folder / "train.tar.gz", files)
    return {"train": train, "validation": stand_in.validation_tar, "devkit": stand_in.devkit}


def class_tars(stand_in: StandIn, folder: pathlib.Path) -> Named:
    train = imagenet_forms.class_tars(stand_in, folder)
    return {"train": train, "validation": stand_in.validation_tar, "devkit": stand_in.devkit}


def parquet(stand_in: StandIn, folder: pathlib.Path) -> Named:
    pytest.importorskip("pyarrow")
    train = imagenet_forms.parquet(stand_in, folder)
    return {"train": train, "devkit": stand_in.devkit}


def web_dataset(stand_in: StandIn, folder: pathlib.Path) -> Named:
    train = imagenet_forms.web_dataset(stand_in, folder)
    return {"train": train, "devkit": stand_in.devkit}


def web_dataset_json(stand_in: StandIn, folder: pathlib.Path) -> Named:
    train = imagenet_forms.web_dataset(stand_in, folder, "json")
    names = imagenet_forms.class_list(stand_in, folder.parent / "classes.txt")
    return {"train": train, "class_list": names}


def tfds(stand_in: StandIn, folder: pathlib.Path) -> Named:
    pytest.importorskip("tensorflow")
    return {"train": imagenet_forms.tfrecords(stand_in, folder, "tfds"), "devkit": stand_in.devkit}


def model_garden(stand_in: StandIn, folder: pathlib.Path) -> Named:
    return {
        "train": imagenet_forms.tfrecords(stand_in, folder, "garden"),
        "devkit": stand_in.devkit,
    }


def model_garden_numbers(stand_in: StandIn, folder: pathlib.Path) -> Named:
    train = imagenet_forms.tfrecords(stand_in, folder, "garden numbers")
    names = imagenet_forms.class_list(stand_in, folder.parent / "classes.txt")
    return {"train": train, "class_list": names}


FORMS = (
    kaggle_folder, kaggle_zip, stored_zips, flat_zip, tar_gz, class_tars, parquet, web_dataset,
    web_dataset_json, tfds, model_garden, model_garden_numbers,
)  # fmt: skip


def find(named: Named, cache_folder: pathlib.Path) -> Inputs:
    texts = {name: str(path) for name, path in named.items()}
    return inputs.find(
        texts["train"],
        texts.get("validation"),
        devkit_path=texts.get("devkit"),
        class_list_path=texts.get("class_list"),
        cache_folder=str(cache_folder),
    )


def content(found: Inputs) -> dict[str, dict[str, tuple[str, bytes]]]:
    return {
        split: {image.key: (image.class_name, listing.read_image(image)) for image in images}
        for split, images in found.images.items()
    }


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_every_form_holds_what_the_raw_tars_hold(
    small: StandIn, tmp_path: pathlib.Path, form
) -> None:  # type: ignore[no-untyped-def]
    named = form(small, tmp_path / "form")
    expected = inputs.find(str(small.train_tar), str(small.validation_tar))
    for _ in range(2):  # listed, then from the index
        found = find(named, tmp_path / "cache")
        assert content(found) == content(expected)
        assert (found.class_names, found.class_titles) == (
            expected.class_names,
            expected.class_titles,
        )


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize(
    "form", [kaggle_zip, tar_gz, class_tars, parquet, web_dataset, tfds], ids=lambda f: f.__name__
)
def test_the_shards_are_those_of_the_raw_tars(
    small: StandIn, tmp_path: pathlib.Path, convert: Convert, form
) -> None:  # type: ignore[no-untyped-def]
    flags = {"image_size": 16, "train_shards": 2}
    raw = {"train": small.train_tar, "validation": small.validation_tar}
    assert convert(**raw, **flags, output_dir=tmp_path / "raw") == 0
    named = form(small, tmp_path / "form")
    assert convert(**named, **flags, output_dir=tmp_path / "same") == 0
    assert dataset_files(tmp_path / "same") == dataset_files(tmp_path / "raw")


def test_a_form_is_told_by_content_not_by_name(small: StandIn, tmp_path: pathlib.Path) -> None:
    (named,) = kaggle_zip(small, tmp_path / "form").values()
    other = named.rename(tmp_path / "imagenet.tar")
    assert set(find({"train": other}, tmp_path / "cache").images) == {"train", "validation"}


def test_a_named_validation_goes_before_the_one_beside_train(
    small: StandIn, tmp_path: pathlib.Path
) -> None:
    pytest.importorskip("pyarrow")
    folder = imagenet_forms.parquet(small, tmp_path / "form")
    named = {"train": folder, "devkit": small.devkit}
    validation = imagenet_forms.web_dataset(small, tmp_path / "other")
    found = find({**named, "validation": validation}, tmp_path / "cache")
    assert set(content(found)["validation"]) == {
        f"{c}/{n}" for c, n, _ in imagenet_forms.validation_files(small)
    }
    with pytest.raises(UserError, match="for sets without validation images"):
        inputs.find(
            str(folder), None, devkit_path=str(small.devkit), validation_fraction=0.5,
            cache_folder=str(tmp_path / "cache"),
        )  # fmt: skip


def test_names_that_a_parquet_file_states(small: StandIn, tmp_path: pathlib.Path) -> None:
    """Of other sets than ImageNet they are the classes."""
    pytest.importorskip("pyarrow")
    folder = imagenet_forms.parquet(small, tmp_path / "form", names=["cat", "dog", "emu"])
    found = find({"train": folder}, tmp_path / "cache")
    assert found.class_names == ("cat", "dog", "emu")
    first = sorted(small.devkit_names)[0]
    cats = {i.filename for i in found.images["train"] if i.class_name == "cat"}
    assert cats == {n for c, n, _ in imagenet_forms.train_files(small) if c == first}


def test_numbers_without_names_are_refused(small: StandIn, tmp_path: pathlib.Path) -> None:
    folder = imagenet_forms.web_dataset(small, tmp_path / "form")
    with pytest.raises(UserError, match="numbers its classes 0 to 2 .* --class_list=FILE"):
        find({"train": folder}, tmp_path / "cache")
    (tmp_path / "short.txt").write_text("cat\ndog\n")
    with pytest.raises(UserError, match="has a class number 2, but .*short.txt holds 2 classes"):
        find({"train": folder, "class_list": tmp_path / "short.txt"}, tmp_path / "cache")
    (tmp_path / "twice.txt").write_text("cat\ndog\ncat\n")
    with pytest.raises(UserError, match="names the class 'cat' twice"):
        find({"train": folder, "class_list": tmp_path / "twice.txt"}, tmp_path / "cache")
    (tmp_path / "empty.txt").write_text("\n\n")
    with pytest.raises(UserError, match="empty.txt: is empty; expected one class per line"):
        find({"train": folder, "class_list": tmp_path / "empty.txt"}, tmp_path / "cache")


def wds(folder: pathlib.Path, files: dict[str, bytes]) -> pathlib.Path:
    folder.mkdir(exist_ok=True)
    (folder / "train-0000.tar").write_bytes(imagenet_forms.tar_bytes(files))
    return folder


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"a.jpg": b"x", "a.cls": b"1", "b.jpg": b"y"}, "'b.jpg' has no .cls or .json beside it"),
        ({"a.jpg": b"x", "a.cls": b"1", "b.cls": b"0"}, "'b.cls' has no image beside it"),
        ({"a.jpg": b"x", "a.cls": b""}, "'a.cls' holds no class"),
        ({"a.jpg": b"x", "a.cls": b"\xff\xfe"}, "'a.cls' holds no class"),
        ({"a.jpg": b"x", "a.cls": b"-1"}, "holds '-1', which is no class"),
        ({"a.jpg": b"x", "a.cls": b"../x"}, "'../x' cannot be the name of a class"),
        ({"a.jpg": b"x", "a.cls": b"1" * 70_000}, "70,000 bytes, too many for a label"),
        ({"a.jpg": b"x", "a.cls": b"1" * 5_000}, "1' cannot be the name of a class"),
        ({"a.jpg": b"x", "a.cls": b"two\nlines"}, r"'two\nlines' cannot be the name of a class"),
        ({"a.jpg": b"x", "a.json": b"{"}, "'a.json' holds no class"),
        (
            {"a.jpg": b"x", "a.cls": b"1", "b.1.jpg": b"x", "b.1.cls": b"2"},
            "'b.1.jpg' is of the key 'b', which has no other image",
        ),
        ({"a.jpg": b"x", "a.json": b"[1]"}, "has none of the keys synset"),
        ({"a.jpg": b"x", "a.json": b'{"width": 3}'}, "has none of the keys synset"),
        ({"a.jpg": b"x", "a.json": b'{"label": true}'}, "'a.json' holds no class"),
        ({"a.jpg": b"x", "a.png": b"y", "a.cls": b"1"}, "key 'a' has two images"),
    ],
)
def test_web_datasets_that_are_not_whole(
    tmp_path: pathlib.Path, files: dict[str, bytes], reason: str
) -> None:
    with pytest.raises(UserError, match=re.escape(reason)):
        find({"train": wds(tmp_path / "w", files)}, tmp_path / "cache")


def test_further_images_of_a_key_and_marks_before_labels(tmp_path: pathlib.Path) -> None:
    files = {"a.jpg": b"x", "a.depth.png": b"d", "a.cls": b"\xef\xbb\xbfcat\r\n",
             "b.jpg": b"y", "b.json": b'{"label": "T-shirt/top"}'}  # fmt: skip
    found = find({"train": wds(tmp_path / "w", files)}, tmp_path / "cache")
    assert found.class_names == ("T-shirt/top", "cat")
    assert list(found.images["train"].keys()) == ["T-shirt/top/b.jpg", "cat/a.jpg"]


def test_a_key_in_two_shards_is_refused_by_the_plan(
    tmp_path: pathlib.Path, convert: Convert, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = wds(tmp_path / "w", {"a.jpg": b"x", "a.cls": b"cat", "b.jpg": b"x", "b.cls": b"dog"})
    (folder / "train-0001.tar").write_bytes((folder / "train-0000.tar").read_bytes())
    assert convert(train=folder, output_dir=tmp_path / "d") == 1
    assert "two images have the same class and name ('" in capsys.readouterr().err


def test_parquet_files_that_are_refused(tmp_path: pathlib.Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet_files = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "train.parquet"

    def refused(columns: dict[str, list[object]], reason: str) -> None:
        parquet_files.write_table(pyarrow.table(columns), path)
        with pytest.raises(UserError, match=reason):
            find({"train": path}, tmp_path / "cache")

    refused({"text": ["a"], "label": [1]}, "has the columns text, label; expected image")
    refused({"image": ["a"], "label": [1]}, "expected image \\(bytes, path\\) and label")
    refused({"image": [{"bytes": b"x", "path": "p"}]}, "expected image")
    refused({"image": [{"bytes": b"x"}], "label": [1.5]}, "column label holds double")
    refused({"image": [{"bytes": b"x"}, {"bytes": None}], "label": [0, 1]}, "row 1 holds no image")
    refused({"image": [{"bytes": b"x"}, None], "label": [0, 1]}, "row 1 holds no image")
    refused({"image": [{"bytes": b"x"}], "label": [-1]}, "row 0 has no label")
    data = path.read_bytes()
    for cut in (8, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:cut])
        with pytest.raises(UserError, match="not a readable Parquet file"):
            find({"train": path}, tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("unpacked-*"))
    assert not list((tmp_path / "cache").glob(".unpacked-*"))


def test_the_room_for_all_parquet_files_is_looked_at_first(
    small: StandIn,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Not shard by shard, which would fill the disk before it says so."""
    pytest.importorskip("pyarrow")
    folder, cache = imagenet_forms.parquet(small, tmp_path / "hf"), tmp_path / "cache"
    shards = [str(path) for path in sorted((folder / "data").glob("train-*"))]
    needed = sum(os.path.getsize(shard) for shard in shards)
    assert len(shards) == 2
    free = types.SimpleNamespace(free=needed - 1)
    with monkeypatch.context() as patch:
        patch.setattr(unpacked.shutil, "disk_usage", lambda folder: free)
        with pytest.raises(UserError, match=f"needs about {needed:,} bytes; {needed - 1:,} are"):
            parquet_form.scan(str(folder), shards, str(cache))
        assert os.listdir(cache) == []
        # What is there already needs no room again.
        free.free = needed
        parquet_form.scan(str(folder), shards, str(cache))
        assert capsys.readouterr().err.count(f"is unpacked once to {cache}, about {needed:,}") == 1
        free.free = 0
        parquet_form.scan(str(folder), shards, str(cache))
    assert "unpacked" not in capsys.readouterr().err


def test_without_pyarrow_the_extra_is_named(
    small: StandIn, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "train.parquet").write_bytes(b"PAR1" + bytes(20))
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(UserError, match=re.escape("pip install 'alexnet-tf[parquet]'")):
        find({"train": tmp_path / "train.parquet"}, tmp_path / "cache")


def test_tfrecords_that_are_refused(tmp_path: pathlib.Path) -> None:
    tf = pytest.importorskip("tensorflow")
    path = tmp_path / "train-00000-of-00001"

    def write(*features: dict[str, object]) -> None:
        with tf.io.TFRecordWriter(str(path)) as writer:
            for feature in features:
                lists = {
                    key: tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
                    if isinstance(value, int)
                    else tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
                    for key, value in feature.items()
                }
                example = tf.train.Example(features=tf.train.Features(feature=lists))
                writer.write(example.SerializeToString())

    def refused(reason: str) -> None:
        with pytest.raises(UserError, match=reason):
            find({"train": path}, tmp_path / "cache")

    good = {"image/encoded": b"x" * 50, "image/class/label": 1}
    write(good, {"image/raw": b"x", "image/class/label": 1})
    refused("record 1: holds no encoded image, only image/class/label, image/raw")
    write(good, {"image/encoded": b"x"})
    refused("record 1: holds no class")
    write({"image": b"x", "label": -1})
    refused(r"record 0: has no class \(label is -1\)")
    write(good, good)
    data = path.read_bytes()
    path.write_bytes(data[:-3])
    refused("record 1: the file ends within it")
    path.write_bytes(data[:40] + b"!" + data[41:])
    refused("record 0: damaged, its checksum differs")
    path.write_bytes(data[: len(data) // 2] + b"!" * 60)
    refused("record 1: its length is damaged")
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(b"\xff\xff no example")
    refused("record 0: is no tf.train.Example")


def test_labels_from_zero_under_the_key_that_counts_from_one(
    small: StandIn, tmp_path: pathlib.Path
) -> None:
    """Some converters kept 0..999 there: a 0 among the labels tells."""
    tf = pytest.importorskip("tensorflow")
    with tf.io.TFRecordWriter(str(tmp_path / "train-0")) as writer:
        for number in (0, 1):
            feature = {
                "image/encoded": tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"x"])),
                "image/class/label": tf.train.Feature(
                    int64_list=tf.train.Int64List(value=[number])
                ),
            }
            example = tf.train.Example(features=tf.train.Features(feature=feature))
            writer.write(example.SerializeToString())
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    named = {"train": tmp_path / "train-0", "class_list": tmp_path / "classes.txt"}
    assert find(named, tmp_path / "cache").class_names == ("cat", "dog")


def test_kaggle_without_its_solution_file(small: StandIn, tmp_path: pathlib.Path) -> None:
    files = imagenet_forms.kaggle_files(small)
    solution = files.pop("LOC_val_solution.csv")
    folder = imagenet_forms.write_folder(tmp_path / "k", files)
    with pytest.raises(UserError, match="no LOC_val_solution.csv; name it with --validation_la"):
        find({"train": folder}, tmp_path / "cache")
    (tmp_path / "moved.csv").write_bytes(solution)
    found = inputs.find(str(folder), None, validation_labels=str(tmp_path / "moved.csv"))
    assert len(found.images["validation"]) == 4
    (folder / "LOC_val_solution.csv").write_bytes(solution.rsplit(b"\n", 2)[0] + b"\n")
    with pytest.raises(UserError, match="1 of 4 images has no label"):
        find({"train": folder}, tmp_path / "cache")


def test_kaggle_without_validation_images(small: StandIn, tmp_path: pathlib.Path) -> None:
    files = {
        name: data
        for name, data in imagenet_forms.kaggle_files(small).items()
        if "/CLS-LOC/val/" not in name
    }
    folder = imagenet_forms.write_folder(tmp_path / "k", files)
    with pytest.raises(UserError, match="has no validation images in ILSVRC/Data/CLS-LOC/val"):
        inputs.find(str(small.train_folder), str(folder))


def test_folders_that_lead_round_and_round(tmp_path: pathlib.Path) -> None:
    (tmp_path / "data").symlink_to(tmp_path)
    assert forms.detect(str(tmp_path)) is None


def test_shards_of_two_forms_in_one_folder(small: StandIn, tmp_path: pathlib.Path) -> None:
    folder = imagenet_forms.web_dataset(small, tmp_path / "form")
    for path in imagenet_forms.tfrecords(small, tmp_path / "other", "garden").iterdir():
        path.rename(folder / path.name)
    with pytest.raises(UserError, match="holds TFRecord and WebDataset files; name one set"):
        forms.detect(str(folder))


def test_the_published_order_is_taken_for_a_thousand_classes(tmp_path: pathlib.Path) -> None:
    """Label 1 of ImageNet's re-packed forms is the goldfish, n01443537."""
    files = {}
    for number in range(1000):
        files[f"{number}.jpg"] = b"x"
        files[f"{number}.json"] = json.dumps({"label": number}).encode()
    found = find({"train": wds(tmp_path / "w", files)}, tmp_path / "cache")
    by_name = {image.filename: image.class_name for image in found.images["train"]}
    assert by_name["0.jpg"] == "n01440764" and by_name["1.jpg"] == "n01443537"
    assert by_name["999.jpg"] == "n15075141"
    assert found.class_titles[1] == "goldfish, Carassius auratus"
