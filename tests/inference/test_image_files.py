"""Which files of a folder are asked about: those that the converter would convert."""

import pathlib

import pytest

from alexnet_common.errors import UserError
from data_prep.sources import tree

pytest.importorskip("tensorflow")

from alexnet_tf.inference import images


def test_folders_are_read_as_the_converter_reads_them(tmp_path: pathlib.Path) -> None:
    shown = ["b.jpg", "cat/1.jpg", "cat/2019/é.png", "dog/2.jpg"]
    hidden = [".DS_Store", "cat/Thumbs.db", "cat/desktop.ini", "__MACOSX/cat/1.jpg", "dog/.x/3.jpg",
              "dog/@eaDir/4.jpg"]  # fmt: skip
    for name in (*shown, *hidden):
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).write_bytes(b"x")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "9.jpg").write_bytes(b"x")
    (tmp_path / "set" / "linked").symlink_to(tmp_path / "elsewhere")
    found = images.find([str(tmp_path / "set")])
    assert found == [str(tmp_path / "set" / name) for name in [
        "b.jpg", "cat/1.jpg", "cat/2019/é.png", "dog/2.jpg", "linked/9.jpg"]]  # fmt: skip
    table = tree.scan(str(tmp_path / "set")).table
    assert sorted(found) == sorted(str(tmp_path / "set" / table.path(row)) for row in range(5))
    assert len(table) == 5


def test_links_that_go_round_are_refused(tmp_path: pathlib.Path) -> None:
    for name, other in (("a", "b"), ("b", "a")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.jpg").write_bytes(b"x")
        (tmp_path / name / "x").symlink_to(tmp_path / other)
    with pytest.raises(UserError, match="is a link to a folder that it lies in"):
        images.find([str(tmp_path / "a")])
