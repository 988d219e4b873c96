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

import google_crc32c
import numpy as np

from alexnet_common.errors import UserError
from data_prep import dataset

_CRC = struct.Struct("<I")


class DamagedRecord(UserError):
    """A record whose checksum does not match its bytes."""


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
        _allow_open_files(len(self._paths) + 256)

    def read(self, numbers: np.ndarray) -> np.ndarray:
        """Serialized `tf.train.Example`s of the records `numbers`, as an object array of bytes.

        Raises:
            DamagedRecord: a checksum is wrong, or the file ends too early.
        """
        records = np.empty(len(numbers), dtype=object)
        for place, number in enumerate(numbers):
            records[place] = self._read_one(int(number))
        return records

    def _read_one(self, number: int) -> bytes:
        shard, offset, length = (int(value) for value in self._index[number])
        block = os.pread(self._file(shard), length + _CRC.size, offset)
        payload, checksum = block[:length], block[length:]
        if len(checksum) != _CRC.size or _masked_crc(payload) != _CRC.unpack(checksum)[0]:
            raise DamagedRecord(
                f"{self._paths[shard]}: the record at byte {offset} (example {number}) is damaged; "
                "run python -m data_prep.verify, delete that shard and convert again"
            )
        return payload

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


def _masked_crc(payload: bytes) -> int:
    """TFRecord's checksum: CRC-32C, rotated right by 15 bits, plus a constant."""
    crc = google_crc32c.value(payload)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _allow_open_files(count: int) -> None:
    """Raises the soft limit of open files, which is often 1,024, where the hard limit allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
