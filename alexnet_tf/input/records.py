"""Reads any record of a dataset by its number.

TFRecord files are usually streamed, and shuffled by a buffer that is neither a true shuffle nor
cheap to save. The converter keeps an index of where each record lies, so here a record is read by
its place: the order of an epoch can be any permutation, and a run continues at any position at no
cost.
"""

from __future__ import annotations

import contextlib
import os
import resource
import struct
from typing import Any, NamedTuple

import google_crc32c
import numpy as np

from alexnet_common.errors import UserError
from alexnet_common.tfrecord import masked, masked_crc, varint
from data_prep import dataset

_CRC = struct.Struct("<I")


class DamagedRecord(UserError):
    """A record whose checksum does not match its bytes."""


class _Layout(NamedTuple):
    """Where the converter puts the pixels of a record: the same in all records of a split.

    Attributes:
        pixel_bytes: of one image.
        marker: what stands before the pixels.
        behind: bytes of the record behind the pixels.
    """

    pixel_bytes: int
    marker: bytes
    behind: int


class RecordReader:
    """Random access to the records of one split; safe to use from many threads.

    Args:
        data: the dataset folder, as `dataset.load` returns it.
        split: "train" or "validation".

    Raises:
        DatasetError: no such split, or an index that does not fit the shards.
    """

    def __init__(self, data: dataset.Dataset, split: str):
        self.count = data.split(split).count
        self._index = data.index(split)
        self._paths = [
            data.shard_path(split, number) for number in range(len(data.split(split).shards))
        ]
        self._files: dict[int, int] = {}
        self._data = data
        self._layout: _Layout | None = None
        # Those of all splits: a run reads one while the other stays open.
        shards = sum(len(other.shards) for other in data.splits.values())
        _allow_open_files(shards + 256)

    def read(self, numbers: np.ndarray) -> np.ndarray:
        """Serialized `tf.train.Example`s of the records `numbers`, as an object array of bytes.

        Raises:
            DamagedRecord: a checksum is wrong, or the file ends too early.
        """
        records = np.empty(len(numbers), dtype=object)
        for place, number in enumerate(numbers):
            records[place] = self._read_one(int(number))
        return records

    def read_contents(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Reads records of encoded images, each with one system call, and finds the image in it.

        Args:
            numbers: int64 [b], of the records.

        Returns:
            Object array [b] of bytes, each a record with its checksum, and int64 [b, 3]: where in
            it the image's content begins, how many bytes it has, and the label as the record
            holds it.

        Raises:
            DamagedRecord: a checksum is wrong, the file ends too early, or the record has no
                image or label.
        """
        blocks = np.empty(len(numbers), object)
        found = np.empty((len(numbers), 3), np.int64)
        for place, (shard, offset, length) in enumerate(self._index[numbers].tolist()):
            block = os.pread(self._file(shard), length + _CRC.size, offset)
            # Its checksum is computed in place: a slice of bytes would be a copy.
            crc = masked(google_crc32c.value(np.frombuffer(block, np.uint8)[:length]))
            if len(block) != length + _CRC.size or crc != _CRC.unpack_from(block, length)[0]:
                raise self._damaged(int(numbers[place]))
            content = self._content(block[: min(length, _HEAD)], length)
            if content is None:
                content = self._parsed_content(int(numbers[place]), block[:length])
            blocks[place], found[place] = block, content
        return blocks, found

    def _content(self, head: bytes, size: int) -> tuple[int, int, int] | None:
        """Place and length of the image and the label; None: not where the converter puts them.

        Args:
            head: the first bytes of the record.
            size: bytes of the whole record.
        """
        key = self._data.image_key.encode()
        place = head.find(b"\x0a" + varint(len(key)) + key + b"\x12")
        label = _label(head[: max(place, 0)])
        if label is None:
            return None
        place += 3 + len(key)
        ends = []
        # The feature's value, in it a list of bytes, in it the image.
        for tag in (b"", b"\x0a", b"\x0a"):
            if not head.startswith(tag, place):
                return None
            length, place = _varint_at(head, place + len(tag))
            ends.append(place + length)
        if len(set(ends)) > 1 or ends[0] > size:
            return None
        return place, length, label

    def _parsed_content(self, number: int, payload: bytes) -> tuple[int, int, int]:
        """The same of a record whose fields stand in another order than the converter's."""
        content, label = self._fields(number, payload)
        return payload.find(content), len(content), label

    def read_pixels(self, numbers: np.ndarray, pixels: np.ndarray) -> np.ndarray:
        """Reads records of raw pixels, each with one system call and straight to its place.

        The checksum of every record is checked, as in `read`: at the processor's speed that costs
        a twentieth of the copy. So whole images are read, not only the rows of a crop.

        Args:
            numbers: int64 [b], of the records.
            pixels: uint8 [b, bytes of an image], where they go.

        Returns:
            int64 [b], the labels as the records hold them.

        Raises:
            DamagedRecord: a checksum is wrong, the file ends too early, or the record does
                not have the bytes of an image.
        """
        layout = self._layout
        if layout is None:
            layout = self._layout = self._find_layout(pixels.shape[1])
        labels = np.empty(len(numbers), np.int64)
        for place, number in enumerate(numbers):
            labels[place] = self._read_one_image(int(number), pixels[place], layout)
        return labels

    def _find_layout(self, pixel_bytes: int) -> _Layout:
        """The layout of the split's first record."""
        content = b"\x0a" + varint(pixel_bytes)
        for field in (b"\x0a", b"\x12"):
            length = pixel_bytes + len(content)
            content = field + varint(length) + content
        marker = self._data.image_key.encode() + content
        payload = self._read_one(0)
        place = payload.find(marker)
        # Behind everything: a record of another writer, which `_parse` reads.
        behind = len(payload) - place - len(marker) - pixel_bytes if place >= 0 else 0
        return _Layout(pixel_bytes, marker, max(behind, 0))

    def _read_one_image(self, number: int, pixels: np.ndarray, layout: _Layout) -> int:
        shard, offset, length = (int(value) for value in self._index[number])
        before = length - layout.behind - layout.pixel_bytes
        if before < len(layout.marker):
            return self._parse(number, pixels)
        head = np.empty(before, np.uint8)
        tail = np.empty(layout.behind + _CRC.size, np.uint8)
        parts: list[Any] = [head, pixels, tail]
        size = os.preadv(self._file(shard), parts, offset)
        crc = 0
        for part in (head, pixels, tail[: layout.behind]):
            crc = google_crc32c.extend(crc, part)
        checksum = _CRC.unpack(tail[layout.behind :].tobytes())[0]
        if size != length + _CRC.size or masked(crc) != checksum:
            raise self._damaged(number)
        text = head.tobytes()
        label = _label(text)
        if label is None or not text.endswith(layout.marker):
            return self._parse(number, pixels)
        return label

    def _parse(self, number: int, pixels: np.ndarray) -> int:
        """A record whose fields stand in another order than the converter's."""
        content, label = self._fields(number, self._read_one(number))
        if len(content) != len(pixels):
            raise self._damaged(number)
        pixels[:] = np.frombuffer(content, np.uint8)
        return label

    def _fields(self, number: int, payload: bytes) -> tuple[bytes, int]:
        """Image and label of a record."""
        import tensorflow as tf
        from google.protobuf.message import DecodeError

        try:
            features = tf.train.Example.FromString(payload).features.feature
        except DecodeError as error:
            # Somebody else's bytes behind a checksum that is right.
            raise self._damaged(number) from error
        content = features[self._data.image_key].bytes_list.value
        labels = features[dataset.LABEL_KEY].int64_list.value
        if len(content) != 1 or len(labels) != 1:
            raise self._damaged(number)
        return content[0], int(labels[0])

    def _read_one(self, number: int) -> bytes:
        shard, offset, length = (int(value) for value in self._index[number])
        block = os.pread(self._file(shard), length + _CRC.size, offset)
        payload, checksum = block[:length], block[length:]
        intact = len(checksum) == _CRC.size and (masked_crc(payload) == _CRC.unpack(checksum)[0])
        if not intact:
            raise self._damaged(number)
        return payload

    def _damaged(self, number: int) -> DamagedRecord:
        shard, offset, _ = (int(value) for value in self._index[number])
        return DamagedRecord(
            f"{self._paths[shard]}: the record at byte {offset} (example {number}) is damaged; "
            "run python -m data_prep.verify, delete that shard and convert again"
        )

    def _file(self, shard: int) -> int:
        descriptor = self._files.get(shard)
        if descriptor is None:
            opened = os.open(self._paths[shard], os.O_RDONLY)
            # Two threads may have opened the same shard: the first one wins.
            descriptor = self._files.setdefault(shard, opened)
            if descriptor != opened:
                os.close(opened)
        return descriptor

    def close(self) -> None:
        """Closes the shard files."""
        while self._files:
            os.close(self._files.popitem()[1])


# Of an image's record, what stands before the image, with room.
_HEAD = 1024


def _varint_at(text: bytes, place: int) -> tuple[int, int]:
    """A number as protocol buffers write it, and the place behind it."""
    value = shift = 0
    while place < len(text):
        byte = text[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            break
    return value, place


_LABEL = dataset.LABEL_KEY.encode() + b"\x12"


def _label(head: bytes) -> int | None:
    """The label in the first bytes of a record: Feature.int64_list, one packed value."""
    place = head.find(_LABEL) + len(_LABEL)
    packed = place >= len(_LABEL) and head[place + 1 : place + 4 : 2] == b"\x1a\x0a"
    if not packed or len(head) <= place + 4:
        return None
    value = shift = 0
    for byte in head[place + 5 : place + 5 + head[place + 4]]:
        value |= (byte & 0x7F) << shift
        shift += 7
    # Larger than an int64 there is none: protobuf's own reader says what the field holds.
    return value if value < 1 << 63 else None


def _allow_open_files(count: int) -> None:
    """Raises the soft limit of open files, which is often 1,024, where the hard limit allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
