"""Which files of a folder are asked about: those that the converter would convert."""

import pathlib

import pytest
from PIL import Image

from alexnet_common.errors import UserError
from data_prep.shards import conversion, making, plan
from data_prep.sources import inputs, tree

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


def test_images_of_a_split_of_one_name_in_several_folders(tmp_path: pathlib.Path) -> None:
    """Cameras count from 1 in every folder."""
    names = ["cat/2019/1.png", "cat/2020/1.png", "cat/1.png", "dog/1.png", "été/1.png"]
    for number, name in enumerate(names):
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (50 * number, 0, 0)).save(tmp_path / "set" / name)
    settings = plan.Settings(image_size=8)
    found = inputs.find(str(tmp_path / "set"), None)
    data = conversion.convert(
        plan.make_plan(settings, found.images, found.class_names),
        str(tmp_path / "data"),
        conversion.Options(
            run_jobs=lambda jobs, *_: [making.make(j, lambda n: None) for j in jobs]
        ),
    )
    assert data is not None
    (batch,) = images.of_split(data, "train", 10)
    # The red of a picture is its number among the names.
    assert [names[round(red / 50)] for red in batch.images[:, 0, 0, 0]] == batch.names
    assert sorted(batch.names) == sorted(names)
    # Our own records as a source keep them apart, too.
    again = inputs.find(str(tmp_path / "data"), None).images["train"]
    assert sorted(again.keys()) == sorted(names)


def test_links_that_go_round_are_refused(tmp_path: pathlib.Path) -> None:
    for name, other in (("a", "b"), ("b", "a")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.jpg").write_bytes(b"x")
        (tmp_path / name / "x").symlink_to(tmp_path / other)
    with pytest.raises(UserError, match="is a link to a folder that it lies in"):
        images.find([str(tmp_path / "a")])
