"""TFRecord files of other converters: TFDS' keys, and those of the Model Garden and its relatives.

Every record is read and checked once, to learn its class and where in it the image lies; after that
images are read by offset. Their bytes are decoded again by this converter's own rule.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from alexnet_common import files, tensorflow_import
from alexnet_common.errors import UserError
from alexnet_common.tfrecord import masked_crc
from data_prep import dataset
from data_prep.sources import index_file, published_names
from data_prep.sources.image_table import FileTable, Place

_HEADER = struct.Struct("<QI")
_FOOTER = struct.Struct("<I")
_MAX_PAYLOAD_BYTES = 1 << 28
# Keys of the image; of the class as a name; as a number with the smallest it may be; of the name;
# of the folders before it, where our own datasets have some.
_IMAGE_KEYS = ("image/encoded", "image", "image_bytes")
_NAME_KEYS = (dataset.CLASS_KEY,)
_NUMBER_KEYS = (("image/class/label", 1), ("label", 0))
_FILE_KEYS = (dataset.NAME_KEY, "file_name", "filename")
_PATH_KEYS = (dataset.PATH_KEY,)


def is_tfrecord(head: bytes) -> bool:
    """Whether a file that begins like this holds TFRecords: the length has its checksum."""
    if len(head) < _HEADER.size:
        return False
    length, crc = _HEADER.unpack(head[: _HEADER.size])
    return bool(length <= _MAX_PAYLOAD_BYTES and crc == masked_crc(head[:8]))


def scan(path: str, shards: Sequence[str], cache_folder: str | None) -> tuple[FileTable, int]:
    """Lists the images of TFRecord files; the folder of each in the table is its label.

    Returns:
        The table, and the number of the first class: 0 or 1. Where the convention is 1 (0 stands
        for "background") a 0 among the labels says that they count from 0.

    Raises:
        UserError: a record is damaged, is no `tf.train.Example`, or holds no image or no class.
    """

    def make() -> tuple[FileTable, dict[str, Any]]:
        table = FileTable(paths=shards)
        first = 0
        for shard in shards:
            first = max(first, _add(table, shard))
        return table, {"first": first}

    table, extra = index_file.kept(cache_folder, index_file.name_of(path), shards, make)
    return table, 0 if "0" in table.folders else int(extra["first"])


def _add(table: FileTable, shard: str) -> int:
    """Adds the images of one file; the result is the number of its first class."""
    tf = tensorflow_import.import_on_cpu()
    from google.protobuf.message import DecodeError

    first = 0
    for number, (offset, payload) in enumerate(_payloads(shard)):
        where = f"{shard}: record {number}"
        try:
            features = tf.train.Example.FromString(payload).features.feature
        except DecodeError as error:
            raise UserError(f"{where}: is no tf.train.Example") from error
        image = _text(features, _IMAGE_KEYS)
        if not image:
            raise UserError(
                f"{where}: holds no encoded image, only {', '.join(sorted(features)) or 'nothing'};"
                f" expected one of the keys {', '.join(_IMAGE_KEYS)}"
            )
        label, lowest = _label(features, where)
        first = max(first, lowest)
        name = _text(features, _FILE_KEYS).decode("utf-8", "surrogateescape")
        if not name:
            name = f"{shard.rpartition('/')[2]}_{number:06d}.jpg"
        path = _text(features, _PATH_KEYS).decode("utf-8", "surrogateescape")
        folders = "".join(path.rpartition("/")[:2])
        # Wherever the same bytes lie first, they are the same bytes.
        begin = payload.index(image)
        table.add(
            label,
            folders + published_names.original(name),
            Place(shard, offset + begin, len(image)),
        )
    return first


def _label(features: Mapping[str, Any], where: str) -> tuple[str, int]:
    """The class of a record, a name or a number as text, and the convention's first number."""
    name = _text(features, _NAME_KEYS).decode("utf-8", "surrogateescape")
    if name:
        return name, 0
    for key, lowest in _NUMBER_KEYS:
        if key in features and len(features[key].int64_list.value) == 1:
            value = int(features[key].int64_list.value[0])
            if value < 0:
                raise UserError(f"{where}: has no class ({key} is {value})")
            return str(value), lowest
    raise UserError(f"{where}: holds no class; expected image/class/label or label")


def _text(features: Mapping[str, Any], keys: Sequence[str]) -> bytes:
    """The single bytes value of the first of these keys that is there, or b""."""
    for key in keys:
        if key in features and len(features[key].bytes_list.value) == 1:
            return bytes(features[key].bytes_list.value[0])
    return b""


def _payloads(shard: str) -> Iterator[tuple[int, bytes]]:
    """(offset, payload) of every record, both checksums compared."""
    number = offset = 0
    with files.open_regular(shard) as file:
        while head := file.read(_HEADER.size):
            where = f"{shard}: record {number}"
            if len(head) < _HEADER.size:
                raise UserError(f"{where}: the file ends within it")
            length, crc = _HEADER.unpack(head)
            if crc != masked_crc(head[:8]) or length > _MAX_PAYLOAD_BYTES:
                raise UserError(f"{where}: its length is damaged")
            body = file.read(length + _FOOTER.size)
            if len(body) < length + _FOOTER.size:
                raise UserError(f"{where}: the file ends within it")
            if masked_crc(body[:length]) != _FOOTER.unpack(body[length:])[0]:
                raise UserError(f"{where}: damaged, its checksum differs")
            yield offset + _HEADER.size, body[:length]
            offset += _HEADER.size + length + _FOOTER.size
            number += 1
