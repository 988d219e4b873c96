"""A folder and a tar archive of it give the same images, the same words and the same refusals."""

import os
import pathlib
import shutil
import tarfile
import unicodedata

import pytest

from alexnet_common.errors import UsageError, UserError
from data_prep.sources import inputs, listing

JPEG = b"any bytes"


def made(folder: pathlib.Path, names: list[str]) -> pathlib.Path:
    """A folder of these files (those that end with a slash are folders)."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(exist_ok=True) if name.endswith("/") else path.write_bytes(JPEG)
    return folder


def archived(folder: pathlib.Path) -> pathlib.Path:
    """The archive of a folder's content, as `tar -C FOLDER -cf FOLDER.tar .` makes it."""
    path = folder.with_suffix(".tar")
    with tarfile.open(path, "w") as archive:
        archive.add(folder, ".")
    return path


def outcome(path: pathlib.Path, capsys: pytest.CaptureFixture[str], **named: object) -> object:
    """Keys and classes with what was said, or the refusal; without the path's own name."""
    capsys.readouterr()
    try:
        found: object = [
            (image.key, image.class_name)
            for image in listing.find_images(str(path), **named)  # type: ignore[arg-type]
        ]
    except UserError as error:
        found = str(error).replace(str(path), "PATH")
    return found, capsys.readouterr().err.replace(str(path), "PATH")


LAYOUTS = {
    "plain": ["cat/1.jpg", "dog/2.jpg"],
    "nested": ["cat/2019/1.jpg", "cat/2020/2.jpg", "dog/2019/3.jpg", "dog/deep/er/4.jpg"],
    "same name at two depths": ["cat/1.jpg", "cat/x/1.jpg", "dog/1.jpg"],
    "one folder around all": ["photos/cat/1.jpg", "photos/dog/2.jpg"],
    "two folders around all": ["a/b/cat/1.jpg", "a/b/dog/x/2.jpg"],
    "hidden": [
        "cat/1.jpg", "cat/.DS_Store", "cat/.thumbs/1.jpg", "dog/2.jpg", ".ipynb_checkpoints/3.jpg",
        "._cat", "dog/x/.y/z/4.jpg",
    ],
    "left by systems": [
        "set/cat/1.jpg", "set/cat/Thumbs.db", "set/cat/@eaDir/1.jpg/x.jpg", "set/dog/2.jpg",
        "set/Desktop.ini", "__MACOSX/set/cat/._1.jpg", "__MACOSX/set/more/",
    ],
    "a class of hidden files": ["cat/1.jpg", "dog/.2.jpg"],
    "an empty class": ["cat/1.jpg", "dog/"],
    "an empty folder in a class": ["cat/1.jpg", "cat/more/", "dog/2.jpg"],
    "loose files": ["cat/1.jpg", "dog/2.jpg", "readme.txt", "list.csv"],
    "flat": ["1.jpg", "2.jpg"],
    "nothing": [],
    "one class": ["cat/1.jpg", "cat/2.jpg"],
    "names with spaces": ["a b/1.jpg", "a/1.jpg", "a/2 3.jpg"],
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_both_give_the_same(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], layout: str
) -> None:
    (tmp_path / "set").mkdir()
    folder = made(tmp_path / "set", LAYOUTS[layout])
    assert outcome(folder, capsys) == outcome(archived(folder), capsys)


def test_the_class_is_the_folder_under_the_root(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = made(tmp_path / "set", LAYOUTS["nested"])
    for path in (folder, archived(folder)):
        assert outcome(path, capsys)[0] == [  # type: ignore[index]
            ("cat/2019/1.jpg", "cat"),
            ("cat/2020/2.jpg", "cat"),
            ("dog/2019/3.jpg", "dog"),
            ("dog/deep/er/4.jpg", "dog"),
        ]


def test_what_is_hidden_is_ignored_and_told(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = made(tmp_path / "set", LAYOUTS["hidden"])
    for path in (folder, archived(folder)):
        assert outcome(path, capsys) == (
            [("cat/1.jpg", "cat"), ("dog/2.jpg", "dog")],
            "PATH: ignored 5 hidden files or folders (as '._cat')\n",
        )


def test_what_systems_leave_is_neither_an_image_nor_a_class(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = made(tmp_path / "set", LAYOUTS["left by systems"])
    zipped = pathlib.Path(shutil.make_archive(str(tmp_path / "zipped"), "zip", folder))
    for path in (folder, archived(folder), zipped):
        assert outcome(path, capsys) == (
            [("cat/1.jpg", "cat"), ("dog/2.jpg", "dog")],
            "PATH: ignored 4 hidden files or folders (as '__MACOSX')\n"
            "PATH: its images lie in 'set/', whose folders are the classes\n",
        )


def test_a_folder_of_splits_is_told_from_classes(tmp_path: pathlib.Path) -> None:
    folder = made(
        tmp_path / "photos", ["train/cat/1.jpg", "train/dog/2.jpg", "val/cat/3.jpg", "list.json"]
    )
    expected = f"did you mean --train={folder}/train --validation={folder}/val\\?"
    with pytest.raises(UsageError, match=expected):
        listing.find_images(str(folder))
    with pytest.raises(UsageError, match="are splits, not classes"):
        listing.find_images(str(archived(folder)))
    # Two classes may well have these names.
    classes = made(tmp_path / "vehicles", ["train/1.jpg", "test/2.jpg"])
    assert len(listing.find_images(str(classes))) == 2


@pytest.mark.parametrize("flat", [False, True])
def test_validation_of_one_class(tmp_path: pathlib.Path, flat: bool) -> None:
    """A single folder is a class where training has it, else unsorted images."""
    made(tmp_path / "train", ["cat/1.jpg", "dog/2.jpg"])
    folder = made(tmp_path / "v", ["val/9.jpg"] if flat else ["cat/old/9.jpg"])
    (tmp_path / "labels.csv").write_text("9.jpg,cat\n")
    labels = str(tmp_path / "labels.csv") if flat else None
    for path in (folder, archived(folder)):
        found = inputs.find(str(tmp_path / "train"), str(path), validation_labels=labels)
        (image,) = found.images["validation"]
        assert (image.key, image.class_name) == ("cat/9.jpg" if flat else "cat/old/9.jpg", "cat")


def test_class_names_that_are_no_text_are_refused(tmp_path: pathlib.Path) -> None:
    made(tmp_path / "set", ["cat/1.jpg", os.fsdecode(b"ni\xf1o/2.jpg")])
    for path in (tmp_path / "set", archived(tmp_path / "set")):
        with pytest.raises(UserError, match=r"'ni\\udcf1o' cannot be the name .* not UTF-8"):
            listing.find_images(str(path))


def test_file_names_that_are_no_text_pass(tmp_path: pathlib.Path) -> None:
    made(tmp_path / "set", [os.fsdecode(b"cat/caf\xe9.jpg"), "dog/2.jpg"])
    for path in (tmp_path / "set", archived(tmp_path / "set")):
        found = listing.find_images(str(path))
        assert [image.filename for image in found] == ["caf\udce9.jpg", "2.jpg"]
        assert [listing.read_image(image) for image in found] == [JPEG, JPEG]


def test_unicode_twins_are_told_apart(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    composed = "caf\u00e9"
    decomposed = unicodedata.normalize("NFD", composed)
    assert decomposed == "cafe\u0301"
    made(tmp_path / "train", [f"{composed}/1.jpg", "dog/2.jpg"])
    made(tmp_path / "validation", [f"{decomposed}/3.jpg"])
    apart = r"'cafe\\u0301' \(NFD\) and 'caf\\xe9' \(NFC\) look the same"
    with pytest.raises(UserError, match=apart):
        inputs.find(str(tmp_path / "train"), str(made(tmp_path / "both", [
            f"{decomposed}/3.jpg", "dog/4.jpg"])))  # fmt: skip
    flat = made(tmp_path / "flat", [f"{decomposed}.jpg"])
    (tmp_path / "labels.csv").write_text(f"{composed}.jpg,dog\n")
    with pytest.raises(UserError, match="look the same"):
        inputs.find(
            str(tmp_path / "train"), str(flat), validation_labels=str(tmp_path / "labels.csv")
        )
    made(tmp_path / "train", [f"{decomposed}/5.jpg"])
    inputs.find(str(tmp_path / "train"), None)
    assert "they are two classes" in capsys.readouterr().err


def test_links_that_go_round_are_refused(tmp_path: pathlib.Path) -> None:
    folder = made(tmp_path / "set", ["cat/1.jpg", "dog/2.jpg"])
    (folder / "cat" / "again").symlink_to(folder)
    with pytest.raises(UserError, match="a link to a folder that it lies in"):
        listing.find_images(str(folder))


def test_links_to_other_folders_are_followed(tmp_path: pathlib.Path) -> None:
    made(tmp_path / "elsewhere", ["1.jpg"])
    folder = made(tmp_path / "set", ["dog/2.jpg"])
    (folder / "cat").symlink_to(tmp_path / "elsewhere")
    assert [image.key for image in listing.find_images(str(folder))] == ["cat/1.jpg", "dog/2.jpg"]


def test_only_regular_files_are_opened(tmp_path: pathlib.Path) -> None:
    """Opening a pipe would wait for its writer for ever."""
    folder = made(tmp_path / "set", ["cat/1.jpg", "dog/2.jpg"])
    os.mkfifo(folder / "dog" / "pipe.jpg")
    image = next(i for i in listing.find_images(str(folder)) if i.filename == "pipe.jpg")
    with pytest.raises(OSError, match="is a pipe, not a regular file"):
        listing.read_image(image)
    with pytest.raises(OSError, match="is a device"):
        listing.read_image(listing.SourceImage("a/b", "a", os.devnull))
    os.mkfifo(tmp_path / "archive.tar")
    with pytest.raises(OSError, match="is a pipe"):
        listing.find_images(str(tmp_path / "archive.tar"))
    flat = made(tmp_path / "flat", ["9.jpg"])
    (folder / "dog" / "pipe.jpg").unlink()
    with pytest.raises(UserError, match="is a pipe"):
        inputs.find(str(folder), str(flat), validation_labels=str(tmp_path / "archive.tar"))


@pytest.mark.parametrize(
    ("train", "validation", "output", "reason"),
    [
        ("photos", None, "photos/data", r"--output_dir=\S+: lies in --train"),
        ("photos", None, "photos", r"--output_dir=\S+: lies in --train"),
        ("photos/train", "photos/val", "photos/val/data", "lies in --validation"),
        ("photos", "photos/val", "data", "did you mean --train=.*photos/train"),
        ("photos/train", "photos/train", "data", "is the same as --train"),
        ("photos/train", "link", "data", "is the same as --train"),
        ("photos/train", "photos", "data", "--train=.* lies in --validation"),
        ("photos/train", "photos/val", "photos/data", None),
        ("photos/train", "photos/train2", "data", None),
    ],
)
def test_paths_within_each_other(
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    train: str,
    validation: str | None,
    output: str,
    reason: str | None,
) -> None:
    monkeypatch.chdir(tmp_path)
    made(tmp_path, ["photos/train/cat/1.jpg", "photos/val/cat/1.jpg", "photos/train2/"])
    (tmp_path / "link").symlink_to(tmp_path / "photos" / "train")
    if reason is None:
        inputs.check_paths(train, validation, output)
        return
    with pytest.raises(UsageError, match=reason):
        inputs.check_paths(train, validation, output)


def test_an_image_is_held_out_by_its_own_key() -> None:
    images = [listing.SourceImage(f"{c}/{n}.jpg", c, "/x") for c in "abcde" for n in range(400)]
    splits = inputs.hold_out(listing.Images.of(images), 0.1)
    held_out = {image.key for image in splits["validation"]}
    # Binomial: 200 expected, standard deviation 13.4.
    assert 150 < len(held_out) < 250
    assert {image.key for image in splits["train"]} == {image.key for image in images} - held_out
    fewer = inputs.hold_out(listing.Images.of(images[::-1][:700]), 0.1)
    assert {i.key for i in fewer["validation"]} == held_out & {i.key for i in images[::-1][:700]}
    larger = inputs.hold_out(listing.Images.of(images), 0.2)
    assert held_out < {image.key for image in larger["validation"]}


def test_what_cannot_be_held_out_is_told() -> None:
    made_up = [listing.SourceImage(f"{c}/{n}.jpg", c, "/x") for c in "ab" for n in range(2)]
    images = listing.Images.of(made_up)
    with pytest.raises(UserError, match="holds out none of 4 images"):
        inputs.hold_out(images, 1e-9)
    with pytest.raises(UserError, match="leaves class 'a' without a training image"):
        inputs.hold_out(images, 0.999999)


@pytest.mark.parametrize(
    ("magic", "kind"),
    [
        (b"BZh", "a bzip2"),
        (b"\xfd7zXZ", "an xz"),
        (b"\x28\xb5\x2f\xfd", "a zstd"),
        (b"Rar!", "a RAR"),
        (b"\x04\x22\x4d\x18", "an lz4"),
        (b"\x1f\x9d", r"a compress \(.Z\)"),
        (b"\x5d\0\0\x80", "an lzma"),
        (b"PK\x07\x08", "a split zip"),
    ],
)
@pytest.mark.parametrize("size", [100, 2_000])
def test_compressed_archives_are_named(
    tmp_path: pathlib.Path, magic: bytes, kind: str, size: int
) -> None:
    (tmp_path / "set.tar").write_bytes(magic + bytes(size))
    with pytest.raises(UserError, match=f"but {kind} file; unpack it"):
        listing.find_images(str(tmp_path / "set.tar"))


@pytest.mark.parametrize("name", ["cat.zip", "cat.tar.gz", "cat.TGZ", "cat.7z", "cat.tar.zst"])
def test_archives_instead_of_images_are_named(tmp_path: pathlib.Path, name: str) -> None:
    source = tmp_path / "set"
    for one in (name, name.replace("cat", "dog")):
        source.mkdir(exist_ok=True)
        (source / one).write_bytes(b"x")
    with tarfile.open(tmp_path / "set.tar", "w") as archive:
        archive.add(source, ".")
    for path in (source, tmp_path / "set.tar"):
        with pytest.raises(UserError, match=f"holds archives .as '{name}'. where images are exp"):
            listing.find_images(str(path))


def test_class_tars_in_capitals(tmp_path: pathlib.Path) -> None:
    (tmp_path / "set").mkdir()
    for name in ("cat", "dog"):
        (tmp_path / "a.jpg").write_bytes(name.encode())
        with tarfile.open(tmp_path / "set" / f"{name}.TAR", "w") as archive:
            archive.add(tmp_path / "a.jpg", "a.jpg")
    with tarfile.open(tmp_path / "set.tar", "w") as archive:
        archive.add(tmp_path / "set", ".")
    for path in (tmp_path / "set", tmp_path / "set.tar"):
        images = listing.find_images(str(path))
        assert list(images.keys()) == ["cat/a.jpg", "dog/a.jpg"]
        assert [listing.read_image(image) for image in images] == [b"cat", b"dog"]


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", r"is empty \(0 bytes\)"), (b"<html>", "expected a folder of class folders, or a tar")],
)
def test_a_file_shorter_than_a_header_is_no_cut_off_archive(
    tmp_path: pathlib.Path, content: bytes, words: str
) -> None:
    (tmp_path / "set.tar").write_bytes(content)
    with pytest.raises(UserError, match=words):
        listing.find_images(str(tmp_path / "set.tar"))
