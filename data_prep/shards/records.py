"""TFRecord framing and the content of one record, byte for byte.

A record is written here and not by a protocol buffer library, because the same image has to give
the same bytes with every version of it (and this takes a tenth of the time).

A TFRecord file is a sequence of: length (uint64), masked CRC-32C of the length (uint32), payload,
masked CRC-32C of the payload (uint32), all little endian. Reading and checking need no TensorFlow.
"""

import functools
import struct
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np

from alexnet_common import tensorflow_import
from alexnet_common.tfrecord import masked_crc, varint
from data_prep import dataset

HEADER_BYTES = 12
FOOTER_BYTES = 4
FRAME_BYTES = HEADER_BYTES + FOOTER_BYTES
# A length beyond this is damage, not a record: no square of 256 pixels comes near it.
MAX_PAYLOAD_BYTES = 1 << 30

# What `image/format` says of a store.
FORMATS = {"jpeg": b"JPEG", "uint8": b"RAW_UINT8", "centered": b"RAW_FLOAT16"}


class RecordError(Exception):
    """A damaged TFRecord file: which record, and what is wrong with it."""


def frame(payload: bytes) -> bytes:
    """The payload with its TFRecord framing."""
    length = struct.pack("<Q", len(payload))
    head = struct.pack("<QI", len(payload), masked_crc(length))
    return head + payload + struct.pack("<I", masked_crc(payload))


class Readable(Protocol):
    """What `read_payloads` needs of a file."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; fewer at the end only."""


def read_payloads(
    file: Readable, damaged: Callable[[int, int], None] | None = None
) -> Iterator[bytes]:
    """Yields the payloads of an open TFRecord file, checking both CRCs of every record.

    Args:
        file: the file, read from where it stands.
        damaged: called with (number, payload length) of a record whose payload is damaged, which
            is then left out.

    Raises:
        RecordError: at a damaged record (without `damaged`), a damaged length or a cut-off file;
            names the number of the record, from 0.
    """
    number = 0
    while True:
        head = file.read(HEADER_BYTES)
        if not head:
            return
        if len(head) < HEADER_BYTES:
            raise RecordError(f"record {number}: the file ends within it")
        length, crc = struct.unpack("<QI", head)
        if masked_crc(head[:8]) != crc or length > MAX_PAYLOAD_BYTES:
            raise RecordError(f"record {number}: damaged length")
        body = file.read(length + FOOTER_BYTES)
        if len(body) < length + FOOTER_BYTES:
            raise RecordError(f"record {number}: the file ends within it")
        payload = body[:length]
        if masked_crc(payload) != struct.unpack("<I", body[length:])[0]:
            if damaged is None:
                raise RecordError(f"record {number}: damaged content, its CRC differs")
            damaged(number, length)
        else:
            yield payload
        number += 1


def encode_example(
    *,
    image: bytes,
    store: str,
    size: int,
    label: int,
    class_name: str,
    class_title: str | None,
    path: str,
) -> bytes:
    """One image as a serialised `tf.train.Example`, with the keys of the well-known readers.

    Args:
        image: what the store keeps of the image (JPEG, uint8 pixels or float16 pixels).
        store: "jpeg", "uint8" or "centered".
        size: side of the square in pixels.
        label: class index + label offset.
        class_name: for ImageNet the WordNet id.
        class_title: the class in words, or None to leave it out.
        path: of the source file below the folder of its class; its last part is its name, and
            there is a key for all of it only where there is more than the name.
    """
    features: dict[str, bytes | int] = {
        dataset.LABEL_KEY: label,
        dataset.CLASS_KEY: _utf8(class_name),
        dataset.NAME_KEY: _utf8(path.rpartition("/")[2]),
        "image/height": size,
        "image/width": size,
        "image/channels": 3,
        "image/colorspace": b"RGB",
        "image/format": FORMATS[store],
    }
    if class_title is not None:
        features["image/class/text"] = _utf8(class_title)
    if "/" in path:
        features[dataset.PATH_KEY] = _utf8(path)
    entries = {key: _entry(key, value) for key, value in features.items()}
    image_key = dataset.IMAGE_KEYS[store]
    entries[image_key] = _uncached_entry(image_key, image)
    return _field(1, b"".join(entries[key] for key in sorted(entries)))


def _uncached_entry(key: str, value: bytes | int) -> bytes:
    """One entry of the map `Features.feature`, as protocol buffers are encoded."""
    if isinstance(value, bytes):
        feature = _field(1, _field(1, value))  # Feature.bytes_list.value
    else:
        feature = _field(3, _field(1, varint(value)))  # Feature.int64_list.value, packed
    return _field(1, _field(1, key.encode()) + _field(2, feature))


# Most entries are the same in all records, or in all of a class.
_entry = functools.lru_cache(maxsize=4096)(_uncached_entry)


def _field(number: int, content: bytes) -> bytes:
    """A field of a length and that many bytes."""
    return bytes([number << 3 | 2]) + varint(len(content)) + content


def decode_example(payload: bytes) -> dict[str, Any] | None:
    """The features of a record that are one text (as bytes) or integers (as a list).

    Returns:
        Key to value, or None if the payload is no `tf.train.Example`.
    """
    tf = tensorflow_import.import_on_cpu()
    from google.protobuf.message import DecodeError

    try:
        features = tf.train.Example.FromString(payload).features.feature
    except DecodeError:
        return None
    result: dict[str, Any] = {}
    for key, feature in features.items():
        if feature.WhichOneof("kind") == "int64_list":
            result[key] = list(feature.int64_list.value)
        elif len(feature.bytes_list.value) == 1:
            result[key] = feature.bytes_list.value[0]
    return result


def index_rows(shard_number: int, payload_lengths: list[int]) -> np.ndarray:
    """Rows of `<split>-index.npy` for one shard: int64 [n, 3] = (shard, offset, length)."""
    lengths = np.asarray(payload_lengths, np.int64)
    ends = np.cumsum(lengths + FRAME_BYTES)
    offsets = ends - lengths - FOOTER_BYTES
    return np.stack([np.full_like(lengths, shard_number), offsets, lengths], axis=1)


def _utf8(text: str) -> bytes:
    # File names of a Linux disk may be no text at all; their bytes are kept as they are.
    return text.encode("utf-8", "surrogateescape")
