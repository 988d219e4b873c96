"""Finding images: every layout gives the same keys, every mistake one clear line."""

import pathlib
import re
import shutil
import tarfile

import pytest

from alexnet_common.errors import UsageError, UserError
from data_prep.sources import inputs, listing, reading
from tests.helpers import imagenet_standin


def keyed(images: list[listing.SourceImage]) -> dict[str, bytes]:
    return {image.key: listing.read_image(image) for image in images}


def test_tars_and_folders_hold_the_same(stand_in: imagenet_standin.StandIn) -> None:
    from_tars = inputs.find(str(stand_in.train_tar), str(stand_in.validation_tar))
    from_folders = inputs.find(
        str(stand_in.train_folder),
        str(stand_in.validation_folder),
        devkit_path=str(stand_in.devkit),
    )
    assert from_tars.class_names == from_folders.class_names
    assert from_tars.class_titles == from_folders.class_titles
    for split in ("train", "validation"):
        assert keyed(from_tars.images[split]) == keyed(from_folders.images[split])
    assert len(from_tars.images["train"]) == 20 * 6
    assert len(from_tars.images["validation"]) == 40


def test_the_layout_of_ilsvrc_2010(small: imagenet_standin.StandIn, tmp_path: pathlib.Path) -> None:
    """Validation images in a folder `val/` of their tar, IDs and files named 2010."""
    shutil.copy(small.train_tar, tmp_path / "ILSVRC2010_images_train.tar")
    names = sorted(small.validation_classes)
    with tarfile.open(tmp_path / "ILSVRC2010_images_val.tar", "w") as archive:
        contents = {f"val/{name}": (small.flat_validation / name).read_bytes() for name in names}
        imagenet_standin.add(archive, contents)
    ids = [small.devkit_names.index(small.validation_classes[name]) + 1 for name in names]
    kit = tmp_path / "ILSVRC2010_devkit-1.0.tar.gz"
    imagenet_standin.write_devkit(kit, small.devkit_names, ids, year=2010)
    found = inputs.find(
        str(tmp_path / "ILSVRC2010_images_train.tar"), str(tmp_path / "ILSVRC2010_images_val.tar")
    )
    expected = inputs.find(str(small.train_tar), str(small.validation_tar))
    assert found.class_names == expected.class_names
    assert found.class_titles == expected.class_titles
    for split in ("train", "validation"):
        assert keyed(found.images[split]) == keyed(expected.images[split])


def test_a_flat_folder_with_the_devkit(stand_in: imagenet_standin.StandIn) -> None:
    found = inputs.find(
        str(stand_in.train_folder), str(stand_in.flat_validation), devkit_path=str(stand_in.devkit)
    )
    classes = {image.filename: image.class_name for image in found.images["validation"]}
    assert classes == stand_in.validation_classes


def test_a_flat_folder_with_a_label_file(
    stand_in: imagenet_standin.StandIn, tmp_path: pathlib.Path
) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("".join(f"{f} {c}\n" for f, c in stand_in.validation_classes.items()))
    found = inputs.find(
        str(stand_in.train_folder), str(stand_in.flat_validation), validation_labels=str(labels)
    )
    classes = {image.filename: image.class_name for image in found.images["validation"]}
    assert classes == stand_in.validation_classes


def test_label_orders(stand_in: imagenet_standin.StandIn) -> None:
    in_order = inputs.find(str(stand_in.train_tar), None)
    assert list(in_order.class_names) == sorted(stand_in.devkit_names)
    assert in_order.class_titles[0] == f"thing {in_order.class_names[0]}, item"
    devkit = inputs.find(str(stand_in.train_tar), None, label_order="devkit")
    assert list(devkit.class_names) == stand_in.devkit_names
    assert devkit.class_titles[0] == f"thing {stand_in.devkit_names[0]}, item"


def test_flat_validation_images_need_labels(
    small: imagenet_standin.StandIn, tmp_path: pathlib.Path
) -> None:
    # Without the devkit beside them.
    for name, source in (("train", small.train_folder), ("validation", small.flat_validation)):
        shutil.copytree(source, tmp_path / name)
    with pytest.raises(UserError, match="flat collection .* --validation_labels or --devkit"):
        inputs.find(str(tmp_path / "train"), str(tmp_path / "validation"))


def test_devkit_order_needs_every_class_in_the_devkit(
    small: imagenet_standin.StandIn, tmp_path: pathlib.Path
) -> None:
    shutil.copytree(small.train_folder, tmp_path / "train")
    first = sorted((tmp_path / "train").iterdir())[0]
    first.rename(tmp_path / "train" / "zebra")
    with pytest.raises(UserError, match="class 'zebra' is not in the devkit"):
        inputs.find(
            str(tmp_path / "train"), None, devkit_path=str(small.devkit), label_order="devkit"
        )


def test_devkit_order_needs_the_devkit(
    small: imagenet_standin.StandIn, tmp_path: pathlib.Path
) -> None:
    moved = tmp_path / "elsewhere"
    moved.symlink_to(small.train_folder)
    with pytest.raises(UsageError, match="needs the devkit"):
        inputs.find(str(moved), None, label_order="devkit")


def test_folders_within_class_folders_and_hidden_files(tmp_path: pathlib.Path) -> None:
    for name in ("a/1.jpg", "a/more/2.jpg", "b/3.jpg", "b/.DS_Store", ".hidden/4.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    found = listing.find_images(str(tmp_path))
    assert [(image.key, image.class_name) for image in found] == [
        ("a/1.jpg", "a"),
        ("a/more/2.jpg", "a"),
        ("b/3.jpg", "b"),
    ]


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        ([], "is empty"),
        (["a/", "b/1.jpg"], "/a: class without images"),
        (["1.jpg", "2.jpg"], "no class folders"),
        (["a/1.jpg", "readme.txt"], "1 file lies beside the class folders"),
    ],
)
def test_folders_that_are_no_training_images(
    tmp_path: pathlib.Path, names: list[str], reason: str
) -> None:
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir() if name.endswith("/") else path.write_bytes(b"x")
    with pytest.raises(UserError, match=reason):
        listing.find_images(str(tmp_path))


def test_one_class_and_unknown_classes(tmp_path: pathlib.Path) -> None:
    for name in ("one/a/1.jpg", "two/a/1.jpg", "two/b/1.jpg", "three/a/1.jpg", "three/z/1.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(UserError, match="one: has only one class"):
        inputs.find(str(tmp_path / "one"), None)
    with pytest.raises(UserError, match="three: has 1 class that .* do not have: z"):
        inputs.find(str(tmp_path / "two"), str(tmp_path / "three"))


@pytest.mark.parametrize("name", ["..", "../cat", ".cat", "cat/", "cat//x", "é" * 128])
def test_classes_of_a_label_file_that_no_folder_can_have(tmp_path: pathlib.Path, name: str) -> None:
    (tmp_path / "set").mkdir()
    for number in range(3):
        (tmp_path / "set" / f"{number}.jpg").write_bytes(b"x")
    (tmp_path / "labels.csv").write_text(f"0.jpg,T-shirt/top\n1.jpg,dog\n2.jpg,{name}\n")
    flags = {"train_labels": str(tmp_path / "labels.csv")}
    with pytest.raises(UserError, match=f"set: '{re.escape(name)}' cannot be the name of a class"):
        inputs.find(str(tmp_path / "set"), None, **flags)  # type: ignore[arg-type]
    (tmp_path / "labels.csv").write_text("0.jpg,T-shirt/top\n1.jpg,dog\n2.jpg,dog\n")
    found = inputs.find(str(tmp_path / "set"), None, **flags)  # type: ignore[arg-type]
    assert found.class_names == ("T-shirt/top", "dog")
    assert [image.path_in_class for image in found.images["train"]] == ["0.jpg", "1.jpg", "2.jpg"]


def test_a_label_of_no_image_is_named_beside_the_image_without_one(tmp_path: pathlib.Path) -> None:
    """Capitals, quotes of another kind, other endings: seen at once where both are said."""
    (tmp_path / "set").mkdir()
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / "set" / name).write_bytes(b"x")
    (tmp_path / "labels.csv").write_text("A.JPG,cat\nb.jpg,dog\n")
    with pytest.raises(UserError, match=r"1 of 2 images has no label \(as 'a.jpg'\); there is one "
                       "of 'A.JPG', which is no image here"):  # fmt: skip
        inputs.find(str(tmp_path / "set"), None, train_labels=str(tmp_path / "labels.csv"))


def test_labels_and_images_must_match(
    small: imagenet_standin.StandIn, tmp_path: pathlib.Path
) -> None:
    labels = tmp_path / "labels.txt"
    pairs = list(small.validation_classes.items())

    def find(lines: list[tuple[str, str]]) -> None:
        labels.write_text("".join(f"{name} {label}\n" for name, label in lines))
        inputs.find(
            str(small.train_folder), str(small.flat_validation), validation_labels=str(labels)
        )

    find(pairs)
    with pytest.raises(UserError, match="1 of 4 images has no label"):
        find(pairs[1:])
    with pytest.raises(UserError, match="'extra.JPEG' is not there"):
        find([*pairs, ("extra.JPEG", pairs[0][1])])


def test_files_that_shrink_or_are_too_large(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(bytes(100))
    with pytest.raises(OSError, match="only 50 of 90 bytes"):
        listing.read_image(listing.SourceImage("a/x", "a", str(path), 50, 90))
    with open(path, "wb") as file:
        file.truncate(reading.MAX_FILE_BYTES + 1)
    with pytest.raises(OSError, match="more than"):
        listing.read_image(listing.SourceImage("a/x", "a", str(path)))


def test_flat_training_images_with_a_label_file(tmp_path: pathlib.Path) -> None:
    """As much of what Kaggle offers comes; the same images in class folders are the oracle."""
    lines = ["id,class"]
    for number in range(8):
        label = "a cat" if number % 2 else "dog"
        for folder in (tmp_path / "flat", tmp_path / "folders" / label):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{number}.jpg").write_bytes(b"%d" % number)
        lines.append(f"{number},{label}")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    found = inputs.find(
        str(tmp_path / "flat"), None, train_labels=str(tmp_path / "labels.csv"),
        validation_fraction=0.5,
    )  # fmt: skip
    expected = inputs.find(str(tmp_path / "folders"), None, validation_fraction=0.5)
    assert found.class_names == expected.class_names == ("a cat", "dog")
    for split in ("train", "validation"):
        assert keyed(found.images[split]) == keyed(expected.images[split])


@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_label_file_beside_class_folders_is_refused(
    small: imagenet_standin.StandIn, tmp_path: pathlib.Path, split: str
) -> None:
    (tmp_path / "labels.csv").write_text("x.jpg,cat\n")
    folder = str(small.train_folder)
    with pytest.raises(UsageError, match="has class folders; the label file .* is for flat"):
        inputs.find(folder, folder, **{f"{split}_labels": str(tmp_path / "labels.csv")})  # type: ignore[arg-type]


def test_a_link_to_nothing_beside_class_folders_is_named(tmp_path: pathlib.Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.jpg").write_bytes(b"x")
    (tmp_path / "bird").symlink_to(tmp_path / "an-unmounted-disk")
    with pytest.raises(UserError, match=r"\(as 'bird', a link to what is not there\)"):
        inputs.find(str(tmp_path), None)


def test_a_picture_named_as_the_training_images(tmp_path: pathlib.Path) -> None:
    (tmp_path / "1.jpg").write_bytes(b"\xff\xd8" * 600)
    with pytest.raises(UserError, match="expected a folder of class folders, or a tar, tar.gz or"):
        inputs.find(str(tmp_path / "1.jpg"), None)


@pytest.mark.parametrize("name", ["two\nlines", "a\ttab", "\u2028", "\x85"])
def test_class_names_of_several_lines_are_refused(tmp_path: pathlib.Path, name: str) -> None:
    """Lists of classes have one line for each, as TFDS' labels.txt."""
    for folder in ("dog", name):
        (tmp_path / "set" / folder).mkdir(parents=True)
        (tmp_path / "set" / folder / "1.jpg").write_bytes(b"x")
    with pytest.raises(UserError, match="has a line break or control character"):
        inputs.find(str(tmp_path / "set"), None)
    (tmp_path / "flat").mkdir()
    (tmp_path / "flat" / "1.jpg").write_bytes(b"x")
    (tmp_path / "labels.csv").write_text(f'1.jpg,"{name}"\n')
    with pytest.raises(UserError, match=r"control character|expected 'filename class'"):
        inputs.find(str(tmp_path / "flat"), None, train_labels=str(tmp_path / "labels.csv"))
