"""Damaged files by the thousand: each is converted or listed, and no worker grows or hangs."""

import io
import pathlib
import random
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from data_prep import dataset, verify
from data_prep.pixels import images
from data_prep.pixels.errors import ImageError
from tests.helpers import flat_webps, imagenet_standin
from tests.helpers.mutations import mutated, peak_resident_bytes

KINDS = (None, "png", "bmp", "gif", "cmyk", "grey", "progressive", "exif", "trailing")
MAX_RESIDENT_BYTES = 1_500_000_000
# Pillow holds a WebP four times with four bytes per pixel.
MAX_RESIDENT_BYTES_OF_WEBP = 2_000_000_000


def originals() -> list[bytes]:
    rng = np.random.default_rng(7)
    found = []
    for kind in KINDS:
        for width, height in ((150, 110), (40, 300), (513, 400)):
            found.append(
                imagenet_standin.encoded(imagenet_standin.picture(rng, width, height), kind)
            )
    return found


def convert(photos: pathlib.Path, output: pathlib.Path, *flags: str) -> tuple[int, str, int]:
    """Runs the converter; returns exit status, stderr, peak resident bytes of a worker."""
    with open(output.parent / "stderr.txt", "w+") as stderr:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "data_prep.build_tfrecords"),
                *(f"--train={photos}", f"--output_dir={output}", "--workers=2"),
                *("--train_shards=8", *flags),
            ],
            stderr=stderr,
        )
        peak = 0
        end = time.monotonic() + 500
        while process.poll() is None and time.monotonic() < end:
            peak = max(peak, peak_resident_bytes(process.pid))
            time.sleep(0.05)
        hung = process.poll() is None
        process.kill()
        process.wait()
        stderr.seek(0)
        assert not hung, stderr.read()
        return process.returncode, stderr.read(), peak


@pytest.mark.parametrize("count", [120])
def test_mutations_within_one_process(count: int) -> None:
    generator = random.Random(1)
    files = originals()
    results = {"converted": 0, "refused": 0}
    for _ in range(count):
        try:
            square = images.square_pixels(mutated(files, generator), 32)
        except ImageError as error:
            assert str(error) and "\n" not in str(error)
            results["refused"] += 1
        else:
            assert square.shape == (32, 32, 3) and square.dtype == np.uint8
            results["converted"] += 1
    assert min(results.values()) > count // 20


@pytest.mark.slow
def test_two_thousand_mutated_files_through_the_converter(tmp_path: pathlib.Path) -> None:
    generator = random.Random(2012)
    files = originals()
    for number in range(2_000):
        path = tmp_path / "photos" / f"class{number % 2}" / f"{number:04d}.JPEG"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(mutated(files, generator))
    status, said, peak = convert(tmp_path / "photos", tmp_path / "data", "--on_error=skip")
    assert "Traceback" not in said, said
    assert status == 1  # some were skipped
    split = dataset.load(tmp_path / "data").split("train")
    assert split.count + len(split.skipped) == 2_000
    listed = {entry.key for entry in split.skipped}
    assert len(listed) == len(split.skipped) and all(f"skipped {key}:" in said for key in listed)
    assert verify.check_dataset(str(tmp_path / "data"), "all", 2)[0] == []
    print(f"{split.count} converted, {len(listed)} skipped, peak of a worker {peak:,} bytes")
    assert peak < MAX_RESIDENT_BYTES


@pytest.mark.slow
def test_the_largest_images_fit_into_bounded_memory(tmp_path: pathlib.Path) -> None:
    """Squares of 8192 pixels, the most that is decoded, in every kind; larger ones are refused."""
    for name in ("a", "b"):
        (tmp_path / "photos" / name).mkdir(parents=True)
    rng = np.random.default_rng(0)
    small = imagenet_standin.picture(rng, 256, 256)
    picture = Image.fromarray(np.tile(small, (32, 32, 1)))
    for number, options in enumerate(({}, {"progressive": True, "subsampling": "4:4:4"})):
        picture.save(tmp_path / "photos" / "a" / f"{number}.jpg", "JPEG", quality=75, **options)
    picture.convert("CMYK").save(tmp_path / "photos" / "a" / "cmyk.jpg", "JPEG", quality=75)
    indices = Image.fromarray(np.tile(Image.fromarray(small).quantize(16), (32, 32)))
    indices.save(tmp_path / "photos" / "a" / "gif.jpg", "GIF")
    picture.save(tmp_path / "photos" / "b" / "big.jpg", "PNG", compress_level=1)
    picture.save(tmp_path / "photos" / "b" / "long_file.jpg", "BMP")
    picture.crop((0, 0, 4_700, 4_700)).save(tmp_path / "photos" / "b" / "bmp.jpg", "BMP")
    buffer = io.BytesIO()
    Image.new("L", (8193, 8192)).save(buffer, "PNG")
    (tmp_path / "photos" / "b" / "too_large.jpg").write_bytes(buffer.getvalue())
    flags = ("--on_error=skip", "--train_shards=1")
    status, said, peak = convert(tmp_path / "photos", tmp_path / "data", *flags)
    assert status == 1, said
    split = dataset.load(tmp_path / "data").split("train")
    print(f"peak of a worker {peak:,} bytes")
    reasons = {entry.key: entry.reason for entry in split.skipped}
    assert list(reasons) == ["b/long_file.jpg", "b/too_large.jpg"]
    assert "bytes are more than" in reasons["b/long_file.jpg"]
    assert "8193x8192 pixels are more than" in reasons["b/too_large.jpg"]
    assert peak < MAX_RESIDENT_BYTES


@pytest.mark.slow
def test_the_largest_webps_fit_into_bounded_memory(tmp_path: pathlib.Path) -> None:
    """Of a hundred bytes each, one of them an animation."""
    files = {"a": flat_webps.still(8192, 8192), "b": flat_webps.film(8192, 8192)}
    for name, data in files.items():
        (tmp_path / "photos" / name).mkdir(parents=True)
        (tmp_path / "photos" / name / "x.jpg").write_bytes(data)
    status, said, peak = convert(tmp_path / "photos", tmp_path / "data", "--train_shards=1")
    assert status == 0, said
    print(f"peak of a worker {peak:,} bytes")
    assert peak < MAX_RESIDENT_BYTES_OF_WEBP
