"""Real photographs and CIFAR-10, where they are at hand."""

import io
import pathlib
import tarfile

import numpy as np
import pytest
from PIL import Image

from data_prep import dataset, verify
from data_prep.pixels import images, resize
from data_prep.sources import listing
from tests.data_prep.conftest import Convert


@pytest.fixture(scope="module")
def photographs(real_data: pathlib.Path) -> list[listing.SourceImage]:
    return listing.find_images(str(real_data / "imagenet_sample.tar"))


def area_by_integral(image: np.ndarray, new: int, axis: int) -> np.ndarray:
    """Means over [i, i + 1) * length / new, as differences of the running sum between pixels."""
    length = image.shape[axis]
    edges = np.linspace(0, length, new + 1)

    def shrink(line: np.ndarray) -> np.ndarray:
        running = np.concatenate([[0.0], np.cumsum(line)])
        return np.diff(np.interp(edges, np.arange(length + 1), running)) * new / length

    return np.apply_along_axis(shrink, axis, image)


def test_a_tar_of_class_folders_is_found(photographs: list[listing.SourceImage]) -> None:
    assert len(photographs) == 400
    assert len({image.class_name for image in photographs}) == 400
    for image in photographs[:20]:
        assert image.filename.startswith(image.class_name)
        assert listing.read_image(image)[:2] == b"\xff\xd8"


def test_photographs_that_shrink_are_area_averages(
    photographs: list[listing.SourceImage],
) -> None:
    """Decoded by Pillow, averaged by running sums: nothing of the code under test."""
    checked = 0
    for image in photographs:
        data = listing.read_image(image)
        pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(np.float64)
        height, width = pixels.shape[:2]
        shorter = min(height, width)
        if shorter <= 256 or checked == 6:
            continue
        checked += 1
        new_height, new_width = (int(side * 256 / shorter + 0.5) for side in (height, width))
        exact = area_by_integral(area_by_integral(pixels, new_height, 0), new_width, 1)
        top, left = (new_height - 256) // 2, (new_width - 256) // 2
        difference = images.square_pixels(data, 256) - exact[top : top + 256, left : left + 256]
        assert np.abs(difference).max() <= 0.51
    assert checked == 6


@pytest.mark.slow
def test_all_photographs_are_opencvs_within_one_level(
    photographs: list[listing.SourceImage],
) -> None:
    cv2 = pytest.importorskip("cv2", reason="needs opencv-python-headless (extra: benchmark)")
    for image in photographs:
        data = listing.read_image(image)
        flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        shape = resize.geometry(*pixels.shape[:2], 256)
        method = cv2.INTER_AREA if shape.new_height < shape.height else cv2.INTER_CUBIC
        theirs = cv2.resize(pixels, (shape.new_width, shape.new_height), interpolation=method)
        theirs = theirs[shape.top : shape.top + 256, shape.left : shape.left + 256, ::-1]
        ours = images.square_pixels(data, 256).astype(int)
        assert np.abs(ours - theirs).max() <= 1, image.key


@pytest.mark.slow
def test_cifar_10_is_converted_without_loss(
    real_data: pathlib.Path, tmp_path: pathlib.Path, convert: Convert
) -> None:
    with tarfile.open(real_data / "cifar10_jpeg.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    folder = tmp_path / "cifar10_jpeg"
    output = tmp_path / "data"
    flags = {"train": folder / "train", "validation": folder / "test", "store": "uint8"}
    assert convert(**flags, output_dir=output, image_size=32, workers=2) == 0
    converted = dataset.load(output)
    assert converted.split("train").class_counts == (5_000,) * 10
    assert converted.split("validation").class_counts == (1_000,) * 10
    assert verify.check_dataset(str(output), "all", 2)[0] == []
    # The means that are published for CIFAR-10 (0.4914, 0.4822, 0.4465 of 255), JPEG or not.
    published = np.array([0.4914, 0.4822, 0.4465]) * 255
    np.testing.assert_allclose(converted.channel_mean, published, atol=0.1)
    # Nothing is resampled: the stored pixels are those of the files.
    index = converted.index("validation")
    from data_prep.shards import records

    shard, offset, length = (int(value) for value in index[0])
    with open(converted.shard_path("validation", shard), "rb") as file:
        file.seek(offset)
        example = records.decode_example(file.read(length))
    assert example is not None
    name = converted.class_names[example["image/class/label"][0] - 1]
    path = folder / "test" / name / example["image/filename"].decode()
    assert example["image/raw"] == np.asarray(Image.open(path).convert("RGB")).tobytes()
