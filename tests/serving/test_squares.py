"""Bytes to square pixels in a graph: the converter's pixels, bit by bit."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image


def photograph(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    """Smooth shapes and noise, so that every filter has something to get wrong."""
    random = np.random.default_rng([seed, height, width])
    y, x = np.mgrid[0:height, 0:width]
    planes = [
        128 + 90 * np.sin(x / (3 + plane)) * np.cos(y / (5 - plane)) for plane in range(channels)
    ]
    noise = random.integers(-40, 41, (height, width, channels))
    return np.clip(np.stack(planes, 2) + noise, 0, 255).astype(np.uint8)


def encoded(pixels: np.ndarray, kind: str = "JPEG", mode: str = "RGB", **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.squeeze(pixels)).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def in_graph():
    """The graph as an exported model runs it: compiled, for batches of any size."""
    import tensorflow as tf

    from alexnet_tf.serving import decode_graph

    compiled = {}

    def run(contents: list[bytes], size: int) -> np.ndarray:
        if size not in compiled:
            compiled[size] = tf.function(
                lambda batch: decode_graph.squares(batch, size),
                input_signature=[tf.TensorSpec([None], tf.string)],
                autograph=False,
            )
        pixels, errors = compiled[size](tf.constant(contents))
        assert not any(errors.numpy()), errors.numpy()
        return pixels.numpy()

    return run


SHAPES = [
    (300, 500), (500, 300), (257, 256), (256, 256), (401, 401), (97, 1031), (64, 64), (63, 65),
    (31, 200), (200, 31), (1, 40), (40, 1), (1, 1), (2, 3), (700, 65), (1000, 1500),
]  # fmt: skip


@pytest.mark.parametrize("size", [64, 256])
def test_pixels_equal_the_converters(in_graph, size):
    from data_prep.pixels import images

    contents = [encoded(photograph(*shape), "PNG") for shape in SHAPES]
    for shape, content, found in zip(SHAPES, contents, in_graph(contents, size), strict=True):
        expected = images.square_pixels(content, size)
        assert np.array_equal(found, expected), (
            f"{shape}: differ by {np.abs(found - expected).max()}"
        )


def test_halving_is_the_mean_of_four_pixels(in_graph):
    pixels = photograph(80, 80)
    blocks = pixels.reshape(40, 2, 40, 2, 3).sum(axis=(1, 3), dtype=np.int64)
    expected = (2 * blocks + 4) // 8  # Halves up.
    np.testing.assert_array_equal(in_graph([encoded(pixels, "PNG")], 40)[0], expected)


def test_only_the_centre_is_cut_and_the_odd_pixel_goes_behind(in_graph):
    pixels = photograph(20, 33)
    found = in_graph([encoded(pixels, "PNG")], 20)[0]
    np.testing.assert_array_equal(found, pixels[:, 6:26])


def test_a_jpeg_of_the_right_size_keeps_its_pixels(in_graph):
    content = encoded(photograph(48, 48), quality=90)
    # Pillow's libjpeg uses the same exact inverse DCT.
    expected = np.asarray(Image.open(io.BytesIO(content)))
    np.testing.assert_array_equal(in_graph([content], 48)[0], expected)


def quirks() -> dict[str, bytes]:
    pixels = photograph(60, 90)
    grey = photograph(60, 90, 1)
    with_alpha = np.dstack([pixels, photograph(60, 90, 1, seed=1)])
    exif = Image.Exif()
    exif[0x0112] = 6
    return {
        "grey JPEG": encoded(grey, mode="L"),
        "CMYK JPEG": encoded(pixels, mode="CMYK"),
        "progressive JPEG": encoded(pixels, progressive=True),
        "rotated by EXIF": encoded(pixels, exif=exif.tobytes()),
        "bytes behind the end": encoded(pixels) + b"\0" * 100,
        "grey PNG": encoded(grey, "PNG", mode="L"),
        "PNG with alpha": encoded(with_alpha, "PNG", mode="RGBA"),
        "PNG with a palette": encoded(pixels, "PNG", mode="P"),
        "grey and alpha PNG": encoded(grey, "PNG", mode="LA"),
        "BMP": encoded(pixels, "BMP"),
        "GIF": encoded(pixels, "GIF", mode="P"),
        "1 pixel wide": encoded(pixels[:, :1]),
        "1 pixel high": encoded(pixels[:1]),
        "BMP with alpha": bmp32(with_alpha),
    }


def bmp32(pixels: np.ndarray) -> bytes:
    """A BMP of four channels, bottom row first."""
    height, width = pixels.shape[:2]
    body = pixels[::-1, :, [2, 1, 0, 3]].tobytes()
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 32, 0, len(body), 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + len(body), 0, 0, 54) + header + body


@pytest.mark.parametrize("name", list(quirks()))
def test_quirky_files_equal_the_converters(in_graph, name):
    from data_prep.pixels import images

    content = quirks()[name]
    expected = images.square_pixels(content, 64)
    np.testing.assert_array_equal(in_graph([content], 64)[0], expected)


def test_webp_where_tensorflow_decodes_it(in_graph):
    import tensorflow as tf
    from PIL import features

    from data_prep.pixels import images

    if not hasattr(tf.io, "decode_webp") or not features.check("webp"):
        pytest.skip("needs a TensorFlow and a Pillow that know WebP")
    found = in_graph([encoded(photograph(60, 90), "WEBP", lossless=True)], 64)[0]
    expected = images.square_pixels(encoded(photograph(60, 90), "PNG"), 64)
    np.testing.assert_array_equal(found, expected)


def test_real_photographs_equal_the_converters(in_graph, real_data):
    import tarfile

    from data_prep.pixels import images

    contents = []
    with tarfile.open(real_data / "imagenet_sample.tar") as tar:
        for number, member in enumerate(member for member in tar if member.isfile()):
            if number % 10 == 0:
                contents.append(tar.extractfile(member).read())
    expected = [images.square_pixels(content, 256) for content in contents]
    np.testing.assert_array_equal(in_graph(contents, 256), expected)


def test_what_a_cubic_filter_overshoots_is_cut_off(in_graph):
    """Beside an edge from 0 to 255 it goes to about -18 and 273."""
    from data_prep.pixels import images

    edges = np.kron(np.random.default_rng(1).integers(0, 2, (5, 5, 1)), np.ones((2, 2, 3)))
    pixels = (255 * edges).astype(np.uint8)
    found = in_graph([encoded(pixels, "PNG")], 64)[0]
    assert (found == 0).mean() > 0.2 and (found == 255).mean() > 0.2
    assert np.array_equal(found, images.square_pixels(encoded(pixels, "PNG"), 64))


@pytest.mark.parametrize("size", [5, 7])
def test_an_overshoot_in_the_last_pixel_is_cut_off(in_graph, size):
    """Casts of many values at once saturate by themselves; those of the last few wrap around."""
    from data_prep.pixels import images

    last = np.array([0, 0, 255])
    pixels = np.repeat(np.minimum.outer(last, last)[..., None], 3, 2).astype(np.uint8)
    found = in_graph([encoded(pixels, "PNG")], size)[0]
    assert found[-1, -1].tolist() == [255, 255, 255]
    assert np.array_equal(found, images.square_pixels(encoded(pixels, "PNG"), size))
