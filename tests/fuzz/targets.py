"""What hostile files are thrown at: one function per parser, which takes the bytes of a file.

Each returns when the file was read, raises `Refused` when the program refused it with one line, and
raises anything else where the program has an error: then a person would see a traceback.
"""

from __future__ import annotations

import gzip
import os
import pathlib
import shutil
import struct
import tempfile
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

import numpy as np

from alexnet_common.errors import UserError
from alexnet_common.tfrecord import masked_crc
from alexnet_tf.input import records
from alexnet_tf.tables.cuda_convnet import reader
from alexnet_tf.weight_io import weight_files
from alexnet_tf.weight_io.weights import WeightsError
from data_prep import dataset
from data_prep.pixels import images
from data_prep.pixels.errors import ImageError
from data_prep.sources import archives, imagenet, labels, tfrecords, zips

# Parts of one input: a definition file and its parameter file.
SEPARATOR = b"\n===\n"
IMAGE_NAMES = ("a.jpg", "b c.jpg", "train/d.png")
SIZE = 8
# A dataset folder that the `dataset.json` of the corpus belongs to.
_DATASET = pathlib.Path(__file__).parents[1] / "data" / "version_0_1_0" / "dataset_jpeg"
FOLDER = tempfile.TemporaryDirectory(prefix="fuzz-", dir="/dev/shm")


class Refused(Exception):
    """The program said in one line what is wrong with the file."""


@contextmanager
def refusals() -> Iterator[None]:
    """What the program says of a bad file becomes `Refused`."""
    try:
        yield
    except (UserError, ImageError) as error:
        # Commands print it without its line breaks.
        text = " ".join(str(error).split())
        assert text, f"{type(error).__name__} without words"
        raise Refused(text) from error


def _file(name: str, content: bytes) -> str:
    path = os.path.join(FOLDER.name, name)
    with open(path, "wb") as file:
        file.write(content)
    return path


def definition(content: bytes) -> None:
    """Layer-definition and layer-parameter files of 2012."""
    layers, _, parameters = content.partition(SEPARATOR)
    paths = [_file("layers.cfg", layers)]
    if parameters:
        paths.append(_file("layer-params.cfg", parameters))
    with refusals():
        table = reader.read(*paths)
        assert table.layers and table.cost and table.shapes


def label_file(content: bytes) -> None:
    """Label files in any of their forms."""
    with refusals():
        found = labels.parse("labels.txt", content, IMAGE_NAMES, None)
        assert all(name and label for name, label in found.items())


def dataset_json(content: bytes) -> None:
    """`dataset.json`, through the function that opens a dataset folder."""
    for path in _DATASET.iterdir():
        if path.is_file() and not os.path.exists(os.path.join(FOLDER.name, path.name)):
            shutil.copy(path, FOLDER.name)
    _file("dataset.json", content)
    with refusals():
        data = dataset.load(FOLDER.name)
        for split in data.splits.values():
            assert sum(shard.count for shard in split.shards) == split.count
            for shard in split.shards:
                assert os.path.basename(shard.name) == shard.name


def _split(path: str, length: int, key: str) -> dataset.Dataset:
    """As much of a dataset as the reader of records asks for: one record of this length."""
    split = types.SimpleNamespace(count=1, shards=(None,))
    return cast(
        dataset.Dataset,
        types.SimpleNamespace(
            split=lambda name: split,
            splits={"train": split},
            index=lambda name: np.array([[0, 12, length]], np.int64),
            shard_path=lambda name, number: path,
            image_key=key,
        ),
    )


def record(content: bytes) -> None:
    """The reader of a dataset's records, behind the checksum, which a hostile file has right."""
    path = _file("record", framed(content))
    pixels = np.zeros((1, SIZE * SIZE * 3), np.uint8)
    found = records.RecordReader(_split(path, len(content), "image/raw"), "train")
    try:
        with refusals():
            assert found.read(np.array([0]))[0] == content
            found.read_pixels(np.array([0]), pixels)
    finally:
        found.close()


def encoded_record(content: bytes) -> None:
    """The reader of records of encoded images: what it names is a part of the record."""
    path = _file("encoded_record", framed(content))
    found = records.RecordReader(_split(path, len(content), "image/encoded"), "train")
    try:
        with refusals():
            start, length, _ = found.read_contents(np.array([0]))[1][0]
            assert 0 <= start <= start + length <= len(content)
    finally:
        found.close()


def framed(payload: bytes) -> bytes:
    """A TFRecord file of one record."""
    head = struct.pack("<Q", len(payload))
    return (
        head
        + struct.pack("<I", masked_crc(head))
        + payload
        + struct.pack("<I", masked_crc(payload))
    )


def foreign_record(content: bytes) -> None:
    """TFRecord files of other converters."""
    # One in two is a file as it is, the other one a record behind a right checksum.
    whole = content[:1] == b"\0"
    path = _file("foreign.tfrecord", content[1:] if whole else framed(content))
    with refusals():
        tfrecords.scan(path, [path], None)


def devkit(content: bytes) -> None:
    """A development kit of ILSVRC."""
    # One in two is the tar that it comes as, the other one its table of classes.
    if content[:1] == b"\0":
        path = _file("devkit.tar.gz", gzip.compress(content[1:], 0))
    else:
        path = os.path.join(FOLDER.name, "devkit")
        os.makedirs(os.path.join(path, "data"), exist_ok=True)
        _file("devkit/data/meta.mat", content)
    with refusals():
        kit = imagenet.read_devkit(path)
        assert len(kit.class_names) == len(kit.class_titles)


def archive(content: bytes) -> None:
    """A tar of images or of tars, or a zip: the list of its files, and the files of the zip."""
    path = _file("archive", content)
    with refusals():
        if content[:4] not in zips.MAGIC:
            for member in archives.nested_members(path):
                assert member.offset + member.size <= len(content) and ".." not in member.name
            return
        with open(path, "rb") as file:
            for member in zips.members(path):
                if member.offset == archives.FOLDER:
                    continue
                try:
                    found = zips.read_member(file, member.offset, member.size, 1 << 20)
                    assert len(found) <= 1 << 20
                except OSError as error:
                    assert str(error)


def weights(content: bytes) -> None:
    """Weight files: NumPy's, PyTorch's pickles, Caffe's blobs."""
    path = _file("weights", content)
    with refusals():
        found = weight_files.read(path)
        try:
            found.values(1.0)
        except WeightsError as error:
            assert str(error)


def image(content: bytes) -> None:
    """An image file to square pixels: header, decoder, resize."""
    with refusals():
        pixels = images.square_pixels(content, SIZE, "apply")
        assert pixels.shape == (SIZE, SIZE, 3) and pixels.dtype == np.uint8


TARGETS: dict[str, Callable[[bytes], None]] = {
    "definition": definition,
    "label_file": label_file,
    "dataset_json": dataset_json,
    "record": record,
    "encoded_record": encoded_record,
    "foreign_record": foreign_record,
    "devkit": devkit,
    "archive": archive,
    "weights": weights,
    "image": image,
}
