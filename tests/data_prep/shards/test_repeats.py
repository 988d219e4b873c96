"""The same photograph in two classes or splits is told; the same one twice in a class is not."""

import json
import os
import pathlib

import pytest
from PIL import Image

from data_prep import dataset, show
from data_prep.shards import repeats
from data_prep.sources.image_table import Images, SourceImage
from tests.data_prep.conftest import Convert

pytestmark = pytest.mark.usefixtures("in_process")


def write(folder: pathlib.Path, names: dict[str, int]) -> None:
    """Photographs by path; those of the same number are the same file."""
    for name, number in names.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (9, 9), (number, 0, 0)).save(path, "PNG")


TRAIN = {"cat/a.png": 1, "cat/b.png": 2, "dog/a.png": 3, "dog/b.png": 4, "dog/copy of b.png": 4}


@pytest.fixture
def folders(tmp_path: pathlib.Path) -> dict[str, object]:
    write(tmp_path / "train", TRAIN)
    write(tmp_path / "validation", {"cat/v.png": 5, "dog/v.png": 6})
    return {
        "train": tmp_path / "train", "validation": tmp_path / "validation", "image_size": 8,
        "output_dir": tmp_path / "out", "train_shards": 3,
    }  # fmt: skip


def document(folders: dict[str, object]) -> dict:  # type: ignore[type-arg]
    return json.loads((pathlib.Path(str(folders["output_dir"])) / "dataset.json").read_text())


def test_twice_in_a_class_is_not_told(
    folders: dict[str, object], convert: Convert, capsys: pytest.CaptureFixture[str]
) -> None:
    assert convert(**folders) == 0
    assert "byte for byte" not in capsys.readouterr().err
    assert "repeated_photographs" not in document(folders)


@pytest.mark.parametrize("store", ["jpeg", "centered"])
def test_in_two_classes_and_in_both_splits(
    folders: dict[str, object],
    convert: Convert,
    capsys: pytest.CaptureFixture[str],
    store: str,
) -> None:
    train, validation = (pathlib.Path(str(folders[name])) for name in ("train", "validation"))
    write(train, {"dog/z.png": 1, "cat/z.png": 3})
    write(validation, {"dog/w.png": 2, "cat/w.png": 2, "cat/x.png": 2})
    assert convert(**folders, store=store) == 0
    # 1 and 3 within the training images, 2 between the splits and within validation.
    line = (
        "warning: byte for byte the same files: 3 photographs in several classes (as cat/a.png "
        "(train) and dog/z.png (train)); 1 photograph in both splits (as cat/b.png (train) and "
        "cat/w.png (validation))"
    )
    assert capsys.readouterr().err.count(line) == 1
    assert document(folders)["repeated_photographs"] == {
        "in_both_splits": {
            "count": 1, "as": [["train", "cat/b.png"], ["validation", "cat/w.png"]],
        },
        "in_several_classes": {
            "count": 3, "as": [["train", "cat/a.png"], ["train", "dog/z.png"]],
        },
    }  # fmt: skip
    # The summary of the finished dataset says it, too, and so does the same command again.
    assert line in show.describe(dataset.load(str(folders["output_dir"])))
    assert convert(**folders, store=store) == 0
    assert line in capsys.readouterr().err


def test_with_skipped_images_between(
    folders: dict[str, object], convert: Convert, capsys: pytest.CaptureFixture[str]
) -> None:
    """A record's place in its shard is not its place in the plan then."""
    train = pathlib.Path(str(folders["train"]))
    write(train, {f"cat/{number}.png": 100 + number for number in range(9)} | {"dog/z.png": 1})
    for number in range(0, 9, 2):
        (train / f"cat/{number}.png").write_bytes(b"")
    assert convert(**folders, on_error="skip") == 1
    assert "1 photograph in several classes (as cat/a.png (train) and dog/z.png (train))" in (
        capsys.readouterr().err
    )


def test_shards_of_an_older_version_are_kept_and_not_judged(
    folders: dict[str, object], convert: Convert, capsys: pytest.CaptureFixture[str]
) -> None:
    write(pathlib.Path(str(folders["train"])), {"dog/z.png": 1})
    assert convert(**folders) == 0
    out = pathlib.Path(str(folders["output_dir"]))
    (out / "dataset.json").unlink()
    for path in (out / ".conversion").glob("*.records.json"):
        fields = json.loads(path.read_text())
        del fields["digests"], fields["check"]
        from data_prep.shards import sidecars

        path.write_text(json.dumps({**fields, "check": sidecars._digest(fields)}))
    capsys.readouterr()
    assert convert(**folders) == 0
    said = capsys.readouterr().err
    assert "4 of 4 shards were there already" in said and "byte for byte" not in said


def test_digests_tell_files_apart() -> None:
    """Any single bit, either half, and zeros at the end, which a plain CRC of nothing ignores."""
    content = os.urandom(200)
    others = [content[:-1], content + b"\0", b"\0" + content, content[100:] + content[:100]]
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1 << place % 8
        others.append(bytes(changed))
    digests = {repeats.digest(one) for one in [content, *others, b"", b"\0", b"\0\0"]}
    assert len(digests) == len(others) + 4
    assert all(len(one) == 8 for one in digests)


def test_copies_of_one_picture_are_one_photograph() -> None:
    """Placeholders of one picture are all the same file."""
    images = Images.of(SourceImage(f"{n % 2}/{n}.jpg", str(n % 2), "x") for n in range(5000))
    photographs = repeats.Photographs()
    for begin in range(0, 5000, 50):
        photographs.add("train", images[begin : begin + 50], (), 50 * repeats.digest(b"x"))
    expected = {"count": 1, "as": [["train", "0/0.jpg"], ["train", "1/1.jpg"]]}
    assert photographs.repeated() == {"in_several_classes": expected}
    assert repeats.Photographs().repeated() == {}


@pytest.mark.parametrize(
    "damage",
    [[], {"in_both_splits": 3}, {"x": {"count": 0, "as": [["a", "b"], ["c", "d"]]}},
     {"x": {"count": 1, "as": [["a", "b"]]}}, {"x": {"count": 1, "as": [["a"], ["c", "d"]]}},
     {"x": {"count": 1}}],
)  # fmt: skip
def test_a_field_that_is_none_is_refused(
    folders: dict[str, object], convert: Convert, damage: object
) -> None:
    assert convert(**folders) == 0
    changed = {**document(folders), "repeated_photographs": damage}
    with pytest.raises(dataset.DatasetError, match="damaged"):
        dataset.parse(changed, "x")
