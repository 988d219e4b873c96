"""Devkit, label files and known sizes."""

import gzip
import math
import pathlib
import tarfile

import pytest

from alexnet_common.errors import UserError
from data_prep.sources import imagenet, labels
from tests.helpers import imagenet_standin

KIT = imagenet.Devkit(("n3", "n1", "n2"), ("three", "one", "two"), (2, 2, 3))
NAMES = ["val_3.JPEG", "val_1.JPEG", "val_2.JPEG"]


def test_the_devkit_gives_classes_in_its_own_order(stand_in: imagenet_standin.StandIn) -> None:
    kit = imagenet.read_devkit(str(stand_in.devkit))
    assert list(kit.class_names) == stand_in.devkit_names
    assert kit.class_titles[4] == f"thing {stand_in.devkit_names[4]}, item"
    names = sorted(stand_in.validation_classes)
    truth = imagenet.ground_truth("kit", kit.validation_ids, names[::-1], kit)
    assert truth == stand_in.validation_classes


def test_the_unpacked_devkit_is_the_same(
    stand_in: imagenet_standin.StandIn, tmp_path: pathlib.Path
) -> None:
    with tarfile.open(stand_in.devkit) as archive:
        archive.extractall(tmp_path, filter="data")
    packed = imagenet.read_devkit(str(stand_in.devkit))
    assert imagenet.read_devkit(str(tmp_path)) == packed
    assert imagenet.read_devkit(str(tmp_path / "ILSVRC2012_devkit_t12")) == packed


def test_the_devkit_beside_the_images_is_found(stand_in: imagenet_standin.StandIn) -> None:
    assert imagenet.find_devkit(str(stand_in.train_tar)) == str(stand_in.devkit)
    assert imagenet.find_devkit(str(stand_in.flat_validation / "x")) is None


def test_ground_truth_lines_belong_to_sorted_names(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "ILSVRC2012_validation_ground_truth.txt"
    path.write_text("1\n3\n2\n")
    found = labels.read(str(path), NAMES, KIT)
    assert found == {"val_1.JPEG": "n3", "val_2.JPEG": "n2", "val_3.JPEG": "n1"}


@pytest.mark.parametrize(
    "text", ["a.JPEG n1\nb.JPEG n2\n", "val/a.JPEG,n1\nval/b.JPEG,n2", "a.JPEG\tn1\r\nb.JPEG\tn2"]
)
def test_lines_of_filename_and_class(tmp_path: pathlib.Path, text: str) -> None:
    (tmp_path / "labels.txt").write_text(text)
    found = labels.read(str(tmp_path / "labels.txt"), [], None)
    assert found == {"a.JPEG": "n1", "b.JPEG": "n2"}


def test_kaggles_solution_file(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "LOC_val_solution.csv"
    path.write_text(
        "ImageId,PredictionString\n"
        "ILSVRC2012_val_00048981,n03995372 85 1 499 272 \n"
        "ILSVRC2012_val_00037956,n03481172 131 0 499 254 n03481172 1 2 3 4 \n"
    )
    assert labels.read(str(path), [], None) == {
        "ILSVRC2012_val_00048981.JPEG": "n03995372",
        "ILSVRC2012_val_00037956.JPEG": "n03481172",
    }


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is empty"),
        ("1\n2\n", "2 labels for 3 images"),
        ("1\n2\n9\n", "names class 9, the devkit has 3"),
        ("1\n\n0\n2\n", "line 3: '0' is not a class; the devkit's are 1, 2, 3, ..."),
        ("1\n-1\n2\n", "line 2: '-1' is not a class"),
        ("1.0\n2.0\n2.0\n", "line 1: '1.0' is not a class"),
        (f"1\n{'9' * 5_000}\n2\n", "9' is not a class"),
        ("1\n\u00b2\n2\n", "expected 'filename class'"),
        ("a.JPEG\n", "expected 'filename class'"),
        ("a.JPEG n1\na.JPEG n2\n", "a second class for a.JPEG"),
        ("ImageId,PredictionString\nx\n", "expected 'ImageId,class box"),
        ("a.JPEG n1 n2\n", ":1: expected 'filename class'"),
    ],
)
def test_label_files_that_do_not_fit(tmp_path: pathlib.Path, text: str, reason: str) -> None:
    (tmp_path / "labels.txt").write_text(text)
    with pytest.raises(UserError, match=reason):
        labels.read(str(tmp_path / "labels.txt"), NAMES, KIT)


def test_numbers_need_the_devkit(tmp_path: pathlib.Path) -> None:
    (tmp_path / "labels.txt").write_text("1\n2\n3\n")
    with pytest.raises(UserError, match="only the devkit says"):
        labels.read(str(tmp_path / "labels.txt"), NAMES, None)


def test_a_binary_label_file(tmp_path: pathlib.Path) -> None:
    (tmp_path / "labels.txt").write_bytes(b"\xfd\xfe\x80\xff")
    with pytest.raises(UserError, match="cannot be read as a label file"):
        labels.read(str(tmp_path / "labels.txt"), NAMES, KIT)


@pytest.mark.parametrize("damage", ["missing", "text", "cut", "no meta", "bad meta"])
def test_a_damaged_devkit_is_one_line(
    stand_in: imagenet_standin.StandIn, tmp_path: pathlib.Path, damage: str
) -> None:
    path = tmp_path / "ILSVRC2012_devkit_t12.tar.gz"
    if damage == "text":
        path.write_text("not an archive")
    elif damage == "cut":
        path.write_bytes(stand_in.devkit.read_bytes()[:300])
    elif damage in ("no meta", "bad meta"):
        source = tmp_path / "data"
        source.mkdir()
        (source / ("meta.mat" if damage == "bad meta" else "other.mat")).write_bytes(bytes(300))
        with tarfile.open(path, "w:gz") as archive:
            archive.add(source, "devkit/data")
    with pytest.raises(UserError) as raised:
        imagenet.read_devkit(str(path))
    assert "\n" not in str(raised.value) and path.name in str(raised.value)


TABLE_ROWS = [{"ILSVRC2012_ID": 1, "WNID": "n1", "words": "one", "num_children": 0}]


@pytest.mark.parametrize(
    ("name", "rows", "reason"),
    [
        ("synsets", [TABLE_ROWS[0] | {"num_children": "none"}], "a field that is not one number"),
        ("synsets", [TABLE_ROWS[0] | {"num_children": math.inf}], "infinity"),
        ("synsets", [TABLE_ROWS[0] | {"num_children": math.nan}], "NaN"),
        ("synsets", [{"WNID": "n1", "num_children": 0}], "do not have their numbers"),
        ("synsets", [{"ILSVRC2012_ID": 1, "WNID": "n1"}], "it does not have 'num_children'"),
        ("synsets", [TABLE_ROWS[0] | {"ILSVRC2012_ID": 2}], "numbers are not 1, 2, 3, ..."),
        ("other", TABLE_ROWS, "it does not have 'synsets'"),
    ],
)
def test_a_table_of_classes_that_is_none_is_one_line(
    tmp_path: pathlib.Path, name: str, rows: list[dict[str, object]], reason: str
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/meta.mat").write_bytes(imagenet_standin.mat_file(name, rows))
    with pytest.raises(UserError, match=f"meta.mat is damaged .*{reason}"):
        imagenet.read_devkit(str(tmp_path))


def test_ground_truth_of_other_classes_is_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/meta.mat").write_bytes(imagenet_standin.mat_file("synsets", TABLE_ROWS))
    truth = tmp_path / "data/ILSVRC2012_validation_ground_truth.txt"
    truth.write_text("1\n1\n")
    assert imagenet.read_devkit(str(tmp_path)).validation_ids == (1, 1)
    truth.write_text("1\n2\n")
    with pytest.raises(UserError, match="the ground truth names class 2 of 1"):
        imagenet.read_devkit(str(tmp_path))


def test_a_devkit_that_unpacks_to_too_much_is_refused(
    stand_in: imagenet_standin.StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its tar, which has names of any length, included."""
    plain = gzip.decompress(stand_in.devkit.read_bytes())
    monkeypatch.setattr(imagenet, "_MAX_UNPACKED_BYTES", len(plain))
    assert imagenet.read_devkit(str(stand_in.devkit)).class_names
    monkeypatch.setattr(imagenet, "_MAX_UNPACKED_BYTES", len(plain) - 1)
    with pytest.raises(UserError, match=f"more than {len(plain) - 1:,} bytes, which no devkit has"):
        imagenet.read_devkit(str(stand_in.devkit))


def test_known_archives_of_another_size_are_refused(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "ILSVRC2012_img_val.tar"
    path.write_bytes(bytes(100))
    with pytest.raises(UserError, match=r"100 bytes, the published file has 6,744,924,160"):
        imagenet.check_archive(str(path), checksum=False)
    assert imagenet.check_archive(str(tmp_path / "mine.tar"), checksum=True) is None


def test_the_published_size_passes_and_the_checksum_is_looked_at(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "ILSVRC2012_img_val.tar"
    with open(path, "wb") as file:
        file.truncate(6_744_924_160)  # a hole, no bytes on the disk
    found = imagenet.check_archive(str(path), checksum=False)
    assert found is not None and "as published" in found
    kit = tmp_path / "ILSVRC2012_devkit_t12.tar.gz"
    kit.write_bytes(b"other")
    # Of this file no size is published: nothing was compared.
    assert imagenet.check_archive(str(kit), checksum=False) is None
    with pytest.raises(UserError, match="MD5"):
        imagenet.check_archive(str(kit), checksum=True)
