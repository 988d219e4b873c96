"""The demo pictures: ten classes that colours alone do not tell apart."""

import io
import pathlib

import numpy as np
import pytest
from PIL import Image

from alexnet_common import command
from data_prep import make_demo_images


def call(*arguments: str) -> int:
    return command.call(
        make_demo_images.define_flags, make_demo_images.main, make_demo_images.__doc__, [*arguments]
    )


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("demo") / "images"
    flags = ("--train_images_per_class=10", "--validation_images_per_class=2")
    assert call(f"--output_dir={folder}", *flags) == 0
    return folder


def test_every_class_has_its_pictures(drawn: pathlib.Path) -> None:
    for split, count in (("train", 10), ("validation", 2)):
        classes = sorted(path.name for path in (drawn / split).iterdir())
        assert len(classes) == 10
        for name in classes:
            assert len(list((drawn / split / name).glob("*.JPEG"))) == count


def test_kinds_and_sizes(drawn: pathlib.Path) -> None:
    kinds: dict[str, int] = {}
    sizes = []
    for path in drawn.rglob("*.JPEG"):
        with Image.open(path) as image:
            kind = f"{image.format} {image.mode}"
            kinds[kind] = kinds.get(kind, 0) + 1
            sizes.append(image.size)
    assert kinds == {"JPEG RGB": 120 - 12, "JPEG L": 10, "JPEG CMYK": 1, "PNG RGB": 1}
    assert {(180, 300), (700, 500)} <= set(sizes)
    widths, heights = zip(*sizes, strict=True)
    assert 180 <= min(widths) and max(widths) <= 700
    assert 300 <= min(heights) and max(heights) <= 500


def test_the_seed_decides_everything(drawn: pathlib.Path, tmp_path: pathlib.Path) -> None:
    flags = ("--train_images_per_class=10", "--validation_images_per_class=2")
    assert call(f"--output_dir={tmp_path / 'again'}", *flags) == 0
    assert call(f"--output_dir={tmp_path / 'other'}", *flags, "--seed=1") == 0
    for path in drawn.rglob("*.JPEG"):
        name = path.relative_to(drawn)
        assert (tmp_path / "again" / name).read_bytes() == path.read_bytes()
        assert (tmp_path / "other" / name).read_bytes() != path.read_bytes()


def test_colours_do_not_tell_the_classes_apart() -> None:
    """The nearest class by mean colour is right about as often as a guess among ten."""
    rng = np.random.default_rng(0)
    names = make_demo_images.CLASSES
    means = np.array(
        [
            [make_demo_images.draw(name, (96, 96), rng).mean(axis=(0, 1)) for _ in range(40)]
            for name in names
        ]
    )
    centres = means[:, :20].mean(axis=1)
    distances = np.linalg.norm(means[:, 20:, None] - centres, axis=3)
    accuracy = (distances.argmin(axis=2) == np.arange(10)[:, None]).mean()
    assert accuracy < 0.25


def test_running_again_is_fine_and_other_contents_are_kept(
    drawn: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ("--train_images_per_class=10", "--validation_images_per_class=2")
    assert call(f"--output_dir={drawn}", *flags) == 0
    assert "are there already" in capsys.readouterr().err
    assert call(f"--output_dir={drawn}", *flags, "--seed=1") == 1
    (tmp_path / "letter.txt").write_text("dear")
    assert call(f"--output_dir={tmp_path}", *flags) == 1
    assert call(f"--output_dir={tmp_path / 'letter.txt'}", *flags) == 1
    assert (tmp_path / "letter.txt").read_text() == "dear"


def test_an_interrupted_run_leaves_nothing(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = make_demo_images.encode

    def interrupted(*arguments: object) -> bytes:
        if arguments[2] == 1:
            raise KeyboardInterrupt
        return original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(make_demo_images, "encode", interrupted)
    assert call(f"--output_dir={tmp_path / 'x'}") == 130
    assert list(tmp_path.iterdir()) == []


def test_the_cmyk_picture_is_the_drawn_one() -> None:
    name, number = make_demo_images.CMYK_PICTURE
    with Image.open(io.BytesIO(make_demo_images.encode(name, "train", number, 0))) as image:
        assert image.mode == "CMYK"
