"""Records as other projects read and write them."""

import io
import pathlib
import struct

import numpy as np
import pytest

from alexnet_common import tfrecord
from data_prep.shards import records

EXAMPLE = {
    "image": b"\xff\xd8 jpeg",
    "store": "jpeg",
    "size": 256,
    "label": 42,
    "class_name": "n01440764",
    "class_title": "tench, Tinca tinca",
    "path": "n01440764_10026.JPEG",
}


def test_the_masked_crc_of_the_published_vector() -> None:
    # CRC-32C of 32 zero bytes is 8a9136aa (RFC 3720, appendix B.4); masked as TFRecord does.
    crc = 0x8A9136AA
    masked = ((crc >> 15) | (crc << 17 & 0xFFFFFFFF)) + 0xA282EAD8 & 0xFFFFFFFF
    assert tfrecord.masked_crc(bytes(32)) == masked


def test_tensorflow_reads_the_framing(tmp_path: pathlib.Path) -> None:
    import tensorflow as tf

    payloads = [b"", b"a", bytes(1000), b"end"]
    path = tmp_path / "x"
    path.write_bytes(b"".join(records.frame(payload) for payload in payloads))
    assert [item.numpy() for item in tf.data.TFRecordDataset(str(path))] == payloads


def test_reads_what_tensorflow_wrote(tmp_path: pathlib.Path) -> None:
    import tensorflow as tf

    payloads = [b"", b"a", bytes(1000), b"end"]
    with tf.io.TFRecordWriter(str(tmp_path / "x")) as writer:
        for payload in payloads:
            writer.write(payload)
    with open(tmp_path / "x", "rb") as file:
        assert list(records.read_payloads(file)) == payloads


def test_an_example_has_the_conventional_keys() -> None:
    import tensorflow as tf

    payload = records.encode_example(**EXAMPLE)  # type: ignore[arg-type]
    parsed = tf.io.parse_single_example(
        payload,
        {
            "image/encoded": tf.io.FixedLenFeature([], tf.string),
            "image/class/label": tf.io.FixedLenFeature([], tf.int64),
            "image/class/synset": tf.io.FixedLenFeature([], tf.string),
            "image/class/text": tf.io.FixedLenFeature([], tf.string),
            "image/filename": tf.io.FixedLenFeature([], tf.string),
            "image/height": tf.io.FixedLenFeature([], tf.int64),
            "image/width": tf.io.FixedLenFeature([], tf.int64),
            "image/channels": tf.io.FixedLenFeature([], tf.int64),
            "image/colorspace": tf.io.FixedLenFeature([], tf.string),
            "image/format": tf.io.FixedLenFeature([], tf.string),
        },
    )
    assert {key: value.numpy() for key, value in parsed.items()} == {
        "image/encoded": b"\xff\xd8 jpeg",
        "image/class/label": 42,
        "image/class/synset": b"n01440764",
        "image/class/text": b"tench, Tinca tinca",
        "image/filename": b"n01440764_10026.JPEG",
        "image/height": 256,
        "image/width": 256,
        "image/channels": 3,
        "image/colorspace": b"RGB",
        "image/format": b"JPEG",
    }


@pytest.mark.parametrize("length", [0, 1, 100, 127, 128, 16_383, 16_384, 200_000])
@pytest.mark.parametrize("label", [0, 1, 127, 128, 1000, 99_999])
def test_the_bytes_are_those_of_protocol_buffers(length: int, label: int) -> None:
    import tensorflow as tf

    fields = {**EXAMPLE, "image": bytes(length), "label": label}
    payload = records.encode_example(**fields)  # type: ignore[arg-type]
    example = tf.train.Example.FromString(payload)
    assert example.features.feature["image/class/label"].int64_list.value == [label]
    assert example.features.feature["image/encoded"].bytes_list.value == [bytes(length)]
    assert example.SerializeToString(deterministic=True) == payload


@pytest.mark.parametrize("store", ["uint8", "centered"])
def test_raw_pixels_are_never_called_encoded(store: str) -> None:
    payload = records.encode_example(**{**EXAMPLE, "store": store})  # type: ignore[arg-type]
    example = records.decode_example(payload)
    assert example is not None
    assert "image/encoded" not in example
    assert example["image/raw"] == EXAMPLE["image"]
    assert example["image/format"] != b"JPEG"


def test_the_same_image_gives_the_same_bytes() -> None:
    reordered = dict(reversed(EXAMPLE.items()))
    assert records.encode_example(**EXAMPLE) == records.encode_example(**reordered)  # type: ignore[arg-type]


def test_names_that_are_no_text_survive() -> None:
    name = b"caf\xe9.jpg".decode("utf-8", "surrogateescape")
    payload = records.encode_example(**{**EXAMPLE, "path": name})  # type: ignore[arg-type]
    example = records.decode_example(payload)
    assert example is not None and example["image/filename"] == b"caf\xe9.jpg"


def test_folders_below_the_class_have_a_key_where_there_are_any() -> None:
    """So that records of images directly in their class folder are those of earlier versions."""
    nested = records.decode_example(
        records.encode_example(**{**EXAMPLE, "path": "2019/a/x.jpg"})  # type: ignore[arg-type]
    )
    assert nested is not None
    assert (nested["image/filename"], nested["image/path"]) == (b"x.jpg", b"2019/a/x.jpg")
    flat = records.decode_example(records.encode_example(**EXAMPLE))  # type: ignore[arg-type]
    assert flat is not None and nested.keys() - flat.keys() == {"image/path"}


def test_the_index_points_at_the_payloads() -> None:
    payloads = [b"abc", b"", b"0123456789"]
    data = b"".join(records.frame(payload) for payload in payloads)
    rows = records.index_rows(5, [len(payload) for payload in payloads])
    assert rows.dtype == np.int64
    assert [data[at : at + length] for _, at, length in rows] == payloads
    assert set(rows[:, 0]) == {5}


def test_every_flipped_byte_is_noticed() -> None:
    data = records.frame(b"first") + records.frame(b"second record")
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 0x10
        with pytest.raises(records.RecordError, match=r"record [01]:"):
            list(records.read_payloads(io.BytesIO(bytes(damaged))))


def test_every_truncation_within_a_record_is_noticed() -> None:
    data = records.frame(b"first") + records.frame(b"second record")
    whole_records = {0, len(records.frame(b"first")), len(data)}
    for length in set(range(len(data))) - whole_records:
        with pytest.raises(records.RecordError, match="ends within"):
            list(records.read_payloads(io.BytesIO(data[:length])))


def test_a_damaged_payload_can_be_left_out() -> None:
    data = bytearray(records.frame(b"first") + records.frame(b"second") + records.frame(b"third"))
    data[len(records.frame(b"first")) + 12] ^= 1
    told: list[tuple[int, int]] = []
    kept = records.read_payloads(io.BytesIO(bytes(data)), lambda *record: told.append(record))
    assert list(kept) == [b"first", b"third"]
    assert told == [(1, 6)]


def test_an_absurd_length_is_damage_not_a_huge_read() -> None:
    length = struct.pack("<Q", 1 << 60)
    data = length + struct.pack("<I", tfrecord.masked_crc(length)) + b"x" * 100
    with pytest.raises(records.RecordError, match="damaged length"):
        list(records.read_payloads(io.BytesIO(data)))


def test_what_is_no_example_is_none() -> None:
    assert records.decode_example(b"\xff\xff\xff") is None


@pytest.mark.parametrize(
    ("length", "words"),
    # What is beyond a gibibyte is no record, though its checksum is right.
    [(1 << 30, "ends within it"), ((1 << 30) + 1, "damaged length")],
)
def test_lengths_that_no_record_has(length: int, words: str) -> None:
    head = struct.pack("<Q", length)
    data = head + struct.pack("<I", tfrecord.masked_crc(head))
    with pytest.raises(records.RecordError, match=words):
        list(records.read_payloads(io.BytesIO(data)))
