"""The converter as people use it: photographs of phones, sets without validation, odd files."""

import errno
import json
import multiprocessing
import os
import pathlib
import re
import shutil
import tarfile
import time
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from alexnet_common import command
from alexnet_common.errors import UserError
from data_prep import dataset, show, verify
from data_prep.shards import plan, records, workers
from data_prep.sources import listing
from tests.data_prep.conftest import Convert, dataset_files
from tests.helpers import imagenet_standin

SIZE = 16


def photographs(
    folder: pathlib.Path, number: int = 3, orientation: int | None = None, side: int = 40
) -> pathlib.Path:
    """Two classes of JPEGs, as a camera held sideways writes them."""
    rng = np.random.default_rng(11)
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for count in range(number):
            picture = Image.fromarray(imagenet_standin.picture(rng, side + 8, side))
            block = Image.Exif()
            if orientation:
                block[0x0112] = orientation
            picture.save(folder / name / f"{count}.jpg", "JPEG", exif=block.tobytes(), quality=95)
    return folder


def squares(folder: pathlib.Path, split: str = "train") -> dict[tuple[bytes, bytes], np.ndarray]:
    """The stored pixels (store uint8) by class and file name."""
    data = dataset.load(folder)
    found = {}
    for shard in data.split(split).shards:
        with open(folder / shard.name, "rb") as file:
            for payload in records.read_payloads(file):
                example = records.decode_example(payload) or {}
                key = example["image/class/synset"], example["image/filename"]
                pixels = np.frombuffer(example["image/raw"], np.uint8)
                found[key] = pixels.reshape(data.image_size, data.image_size, 3)
    return found


@pytest.mark.usefixtures("in_process")
class TestPhotographs:
    def convert(self, convert: Convert, tmp_path: pathlib.Path, **flags: object) -> dict[str, Any]:
        arguments = {"train": tmp_path / "set", "output_dir": tmp_path / "data", "store": "uint8",
                     "image_size": SIZE, **flags}  # fmt: skip
        assert convert(**arguments) == 0
        document: dict[str, Any] = json.loads((tmp_path / "data" / "dataset.json").read_text())
        return document

    def test_rotated_ones_are_kept_as_stored_and_told(
        self, tmp_path: pathlib.Path, convert: Convert, capsys: pytest.CaptureFixture[str]
    ) -> None:
        photographs(tmp_path / "set", orientation=6)
        document = self.convert(convert, tmp_path)
        assert "exif_orientation" not in document  # as in datasets made before there was a choice
        assert dataset.load(tmp_path / "data").exif_orientation == "ignore"
        said = capsys.readouterr().err
        assert "note: 6 images with an EXIF orientation kept as stored" in said
        assert "--exif_orientation=apply" in said

    def test_those_of_shards_that_were_there_are_counted_too(
        self, tmp_path: pathlib.Path, convert: Convert, capsys: pytest.CaptureFixture[str]
    ) -> None:
        photographs(tmp_path / "set", orientation=6, side=7)
        self.convert(convert, tmp_path, train_shards=2)
        capsys.readouterr()
        # As after a conversion that was killed within the second shard.
        (tmp_path / "data" / "dataset.json").unlink()
        (tmp_path / "data" / "train-00001-of-00002").unlink()
        self.convert(convert, tmp_path, train_shards=2)
        said = capsys.readouterr().err
        assert "1 of 2 shards was there already" in said
        assert "note: 6 images with an EXIF orientation" in said
        assert "note: 6 images enlarged more than 2 times" in said

    def test_rotated_ones_are_turned_on_request(
        self, tmp_path: pathlib.Path, convert: Convert, capsys: pytest.CaptureFixture[str]
    ) -> None:
        folder = photographs(tmp_path / "set", orientation=6)
        document = self.convert(convert, tmp_path, exif_orientation="apply")
        assert document["exif_orientation"] == "apply"
        assert dataset.load(tmp_path / "data").exif_orientation == "apply"
        assert "note: 6 images turned upright" in capsys.readouterr().err
        turned = squares(tmp_path / "data")
        # Oracle: the same photographs, turned by Pillow and stored without the mark.
        for path in sorted(folder.rglob("*.jpg")):
            upright = ImageOps.exif_transpose(Image.open(path))
            target = tmp_path / "upright" / path.parent.name / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            upright.save(target, "PNG")
        assert convert(train=tmp_path / "upright", output_dir=tmp_path / "other", store="uint8",
                       image_size=SIZE) == 0  # fmt: skip
        expected = squares(tmp_path / "other")
        assert turned.keys() == expected.keys()
        assert all(np.array_equal(turned[key], expected[key]) for key in turned)

    def test_a_folder_made_in_one_way_is_not_finished_in_another(
        self, tmp_path: pathlib.Path, convert: Convert, capsys: pytest.CaptureFixture[str]
    ) -> None:
        photographs(tmp_path / "set", orientation=3)
        self.convert(convert, tmp_path)
        again = {"train": tmp_path / "set", "output_dir": tmp_path / "data", "store": "uint8",
                 "image_size": SIZE, "exif_orientation": "apply"}  # fmt: skip
        assert convert(**again) == 1
        assert "holds another dataset already" in capsys.readouterr().err

    @pytest.mark.parametrize(("side", "told"), [(8, False), (7, True)])
    def test_much_enlarged_ones_are_told(
        self,
        tmp_path: pathlib.Path,
        convert: Convert,
        capsys: pytest.CaptureFixture[str],
        side: int,
        told: bool,
    ) -> None:
        photographs(tmp_path / "set", side=side)
        self.convert(convert, tmp_path)
        assert ("6 images enlarged more than 2 times" in capsys.readouterr().err) == told


@pytest.mark.usefixtures("in_process")
class TestWithoutValidation:
    def test_a_part_is_held_out(
        self, tmp_path: pathlib.Path, convert: Convert, capsys: pytest.CaptureFixture[str]
    ) -> None:
        folder = photographs(tmp_path / "set", number=12)
        with tarfile.open(tmp_path / "set.tar", "w") as archive:
            archive.add(folder, ".")
        for train, name in ((folder, "a"), (tmp_path / "set.tar", "b")):
            assert convert(train=train, output_dir=tmp_path / name, image_size=SIZE,
                           validation_fraction=0.25) == 0  # fmt: skip
        assert dataset_files(tmp_path / "a") == dataset_files(tmp_path / "b")
        data = dataset.load(tmp_path / "a")
        assert data.document["validation_fraction"] == 0.25
        assert 1 <= data.split("validation").count <= 12
        assert data.split("train").count + data.split("validation").count == 24
        assert verify.check_dataset(str(tmp_path / "a"), "all")[0] == []

    def test_numbers_as_classes_out_of_their_order_are_told(
        self, tmp_path: pathlib.Path, convert: Convert, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Label 2 is class 10 of CIFAR-100's, which nobody expects."""
        for names, told in ((("1", "2", "10"), True), (("01", "02", "10"), False)):
            source = tmp_path / f"set{told}"
            for name in names:
                (source / name).mkdir(parents=True)
                Image.new("RGB", (9, 9), (0, 0, int(name))).save(source / name / "a.png")
            assert convert(train=source, output_dir=tmp_path / f"out{told}", image_size=8) == 0
            said = capsys.readouterr().err
            assert ("sorted as text: '10' comes before '2'" in said) == told

    def test_classes_that_no_validation_image_judges_are_told(
        self, tmp_path: pathlib.Path, convert: Convert, capsys: pytest.CaptureFixture[str]
    ) -> None:
        photographs(tmp_path / "set")
        shutil.copytree(tmp_path / "set" / "cat", tmp_path / "validation" / "cat")
        flags = {"train": tmp_path / "set", "image_size": SIZE}
        for more in ({"dry_run": True}, {}):
            assert convert(**flags, validation=tmp_path / "validation",
                           output_dir=tmp_path / "d", **more) == 0  # fmt: skip
            said = capsys.readouterr().err
            assert "note: 1 class ('dog') of 2 without a validation image" in said
        assert convert(**flags, validation=tmp_path / "set", output_dir=tmp_path / "e") == 2
        shutil.copytree(tmp_path / "set", tmp_path / "all")
        assert convert(**flags, validation=tmp_path / "all", output_dir=tmp_path / "e") == 0
        assert "without a validation image" not in capsys.readouterr().err

    def test_none_is_fine_for_the_commands_that_follow(
        self, tmp_path: pathlib.Path, convert: Convert
    ) -> None:
        photographs(tmp_path / "set")
        assert convert(train=tmp_path / "set", output_dir=tmp_path / "d", image_size=SIZE) == 0
        assert list(dataset.load(tmp_path / "d").splits) == ["train"]
        assert verify.check_dataset(str(tmp_path / "d"), "all")[0] == []
        flags = [f"--data_dir={tmp_path / 'd'}", f"--output_dir={tmp_path / 'p'}"]
        assert command.call(show.define_flags, show.main, show.__doc__, flags) == 0

    @pytest.mark.parametrize(
        ("flags", "reason"),
        [
            ({"validation_fraction": 0}, "expected more than 0, less than 1"),
            ({"validation_fraction": "nan"}, "expected more than 0, less than 1"),
            ({"validation_fraction": 0.1, "validation": "set"}, "for sets without --validation"),
            ({"validation_labels": "labels.csv"}, "needs the images it is about"),
        ],
    )
    def test_flags_that_contradict_each_other(
        self,
        tmp_path: pathlib.Path,
        convert: Convert,
        capsys: pytest.CaptureFixture[str],
        flags: dict[str, object],
        reason: str,
    ) -> None:
        assert convert(train=tmp_path, output_dir=tmp_path / "x", **flags) == 2
        assert reason in capsys.readouterr().err


@pytest.mark.usefixtures("in_process")
class TestCauses:
    def test_a_pipe_among_the_images_is_one_skipped_file(
        self, tmp_path: pathlib.Path, convert: Convert
    ) -> None:
        os.mkfifo(photographs(tmp_path / "set") / "cat" / "pipe.jpg")
        assert convert(train=tmp_path / "set", output_dir=tmp_path / "d", image_size=SIZE,
                       on_error="skip") == 1  # fmt: skip
        (entry,) = dataset.load(tmp_path / "d").split("train").skipped
        assert (entry.key, entry.reason) == ("cat/pipe.jpg", "is a pipe, not a regular file")

    def test_a_class_whose_images_were_all_skipped_is_told(
        self, tmp_path: pathlib.Path, convert: Convert, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for path in (photographs(tmp_path / "set") / "dog").iterdir():
            path.write_bytes(b"cut off")
        assert convert(train=tmp_path / "set", output_dir=tmp_path / "d", image_size=SIZE,
                       on_error="skip") == 1  # fmt: skip
        said = capsys.readouterr().err
        assert "warning: 1 class ('dog') of 2 without a training image left" in said

    def test_the_file_that_ends_a_conversion_is_named_once(
        self, tmp_path: pathlib.Path, convert: Convert, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = photographs(tmp_path / "set") / "cat" / "notes.txt"
        path.write_text("hello")
        assert convert(train=tmp_path / "set", output_dir=tmp_path / "d", image_size=SIZE) == 1
        said = capsys.readouterr().err
        assert said.count("notes.txt") == 1 and f"error: {path}: not an image" in said

    @pytest.mark.parametrize("number", [errno.EMFILE, errno.ENOMEM])
    def test_a_machine_that_is_short_of_something_skips_no_image(
        self,
        tmp_path: pathlib.Path,
        convert: Convert,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        number: int,
    ) -> None:
        photographs(tmp_path / "set")

        def fail(image: listing.SourceImage) -> bytes:
            raise OSError(number, os.strerror(number), image.path)

        monkeypatch.setattr(listing, "read_image", fail)
        assert convert(train=tmp_path / "set", output_dir=tmp_path / "d", image_size=SIZE,
                       on_error="skip") == 1  # fmt: skip
        assert os.strerror(number) in capsys.readouterr().err
        assert not (tmp_path / "d" / "dataset.json").exists()

    def test_an_output_that_cannot_be_made_is_told_before_anything_is_listed(
        self, tmp_path: pathlib.Path, convert: Convert, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "file").write_text("x")
        assert convert(train=tmp_path / "nowhere", output_dir=tmp_path / "file" / "data") == 1
        assert "a part of its path is a file" in capsys.readouterr().err

    def test_a_leading_tilde_is_the_home_folder(
        self, tmp_path: pathlib.Path, convert: Convert, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        photographs(tmp_path / "set")
        assert convert(train="~/set", output_dir="~/data", image_size=SIZE) == 0
        assert dataset.load(tmp_path / "data").split("train").count == 6

    def test_the_labels_of_both_worlds_are_told(
        self, tmp_path: pathlib.Path, convert: Convert, capsys: pytest.CaptureFixture[str]
    ) -> None:
        photographs(tmp_path / "set")
        assert convert(train=tmp_path / "set", output_dir=tmp_path / "d", image_size=SIZE) == 0
        lines = capsys.readouterr().err.splitlines()
        place = lines.index("labels in the records: 1 (cat) to 2 (dog)")
        assert lines[place + 1] == "(predictions count the same classes from 0)"


def test_settings_of_the_first_version_have_the_same_fingerprint() -> None:
    """A conversion that an older version began is finished, and gives the same bytes."""
    assert list(plan.Settings().summary()) == [
        "image_size", "store", "jpeg_quality", "seed", "label_order", "label_offset",
    ]  # fmt: skip
    later = plan.Settings(exif_orientation="apply", validation_fraction=0.1)
    assert later.summary().keys() - plan.Settings().summary().keys() == {
        "exif_orientation",
        "validation_fraction",
    }


def test_a_full_dev_shm_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def Value(self, *_: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(multiprocessing, "get_context", lambda kind: Full())
    with pytest.raises(UserError, match="/dev/shm, and there it says: No space left on device"):
        workers.run(print, [1], 1, 1, "converting")  # type: ignore[arg-type]


def report_and_wait(task: int, report: Any) -> int:
    """What a worker does in the test below."""
    for _ in range(4):
        report(1)
        time.sleep(0.3)
    return task


@pytest.mark.slow
def test_progress_in_a_file_is_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bar would fill the file with carriage returns."""
    monkeypatch.setattr(workers, "LINE_SECONDS", 0.0)
    results = workers.run(report_and_wait, [1, 2, 3], 1, 12, "converting")
    assert results == [1, 2, 3]
    said = capsys.readouterr().err
    assert re.search(r"^converting: \d+ of 12 images, about 0\.0 minutes left$", said, re.M)
    assert "\r" not in said
