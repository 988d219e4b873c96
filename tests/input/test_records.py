"""Records read by their place."""

import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.input import records
from data_prep import dataset
from data_prep.shards import records as converter_records
from tests.helpers import small_dataset


@pytest.fixture
def folder(tmp_path):
    return small_dataset.make(tmp_path / "data", train=7, validation=3, shards=2)


def test_any_order_gives_what_tensorflow_streams(folder):
    data = dataset.load(folder)
    paths = [data.shard_path("train", number) for number in range(2)]
    streamed = [record.numpy() for record in tf.data.TFRecordDataset(paths)]
    reader = records.RecordReader(data, "train")
    order = np.array([6, 0, 3, 3, 5])
    assert reader.read(order).tolist() == [streamed[number] for number in order]
    reader.close()


def test_a_changed_byte_is_found_and_named(folder):
    data = dataset.load(folder)
    shard, offset, length = data.index("train")[2]
    path = data.shard_path("train", shard)
    content = bytearray(open(path, "rb").read())
    content[offset + length // 2] ^= 1
    open(path, "wb").write(content)
    reader = records.RecordReader(data, "train")
    assert len(reader.read(np.array([0, 1, 3]))) == 3
    with pytest.raises(records.DamagedRecord, match="train-00000-of-00002.*example 2.*verify"):
        reader.read(np.array([2]))


def test_a_shard_cut_off_after_loading_is_found(folder):
    data = dataset.load(folder)
    reader = records.RecordReader(data, "train")
    path = data.shard_path("train", 1)
    content = open(path, "rb").read()
    open(path, "wb").write(content[:-10])
    with pytest.raises(records.DamagedRecord, match="train-00001-of-00002"):
        reader.read(np.array([6]))


@pytest.fixture(params=["converter", "protobuf"])
def raw_folder(request, tmp_path):
    """Records in the converter's order of fields, and in another that is as valid."""
    if request.param == "protobuf":
        return small_dataset.make(tmp_path / "data", train=7, store="uint8", classes=300)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(small_dataset, "_record", _converters_record)
        return small_dataset.make(tmp_path / "data", train=7, store="uint8", classes=300)


def _converters_record(tf, image, label, store, mean_image):
    return converter_records.encode_example(
        image=image.tobytes(),
        store=store,
        size=len(image),
        label=label,
        class_name="name" * label,
        class_title=None,
        path="",
    )


def test_pixels_are_read_to_their_place(raw_folder):
    """As TensorFlow parses the whole records; labels from 1, also those of two bytes."""
    data = dataset.load(raw_folder)
    reader = records.RecordReader(data, "train")
    order = np.array([6, 0, 3, 3, 5])
    kinds = {
        "image/raw": tf.io.FixedLenFeature([], tf.string),
        "image/class/label": tf.io.FixedLenFeature([], tf.int64),
    }
    parsed = tf.io.parse_example(tf.constant(reader.read(order), tf.string), kinds)
    pixels = np.zeros((5, 16 * 16 * 3), np.uint8)
    labels = reader.read_pixels(order, pixels)
    assert np.array_equal(labels, parsed["image/class/label"])
    assert [row.tobytes() for row in pixels] == parsed["image/raw"].numpy().tolist()


@pytest.mark.parametrize("raw_folder", ["converter"], indirect=True)
def test_raw_records_are_read_without_parsing_them(raw_folder, monkeypatch):
    reader = records.RecordReader(dataset.load(raw_folder), "train")
    monkeypatch.delattr(reader.__class__, "_parse")
    labels = reader.read_pixels(np.arange(7), np.zeros((7, 16 * 16 * 3), np.uint8))
    assert sorted(labels) != [0] * 7


def test_files_may_stay_open_for_all_splits(folder, monkeypatch):
    """Two shards of each split, and some for all else that a process has open."""
    asked = []
    monkeypatch.setattr(records, "_allow_open_files", asked.append)
    records.RecordReader(dataset.load(folder), "train")
    assert asked[0] >= 4 + 100


@pytest.mark.parametrize("place", [3, -3, None])
def test_a_changed_byte_anywhere_in_a_raw_record_is_found(raw_folder, place):
    """Before the pixels, behind them, and among them."""
    data = dataset.load(raw_folder)
    shard, offset, length = data.index("train")[2]
    path = data.shard_path("train", shard)
    content = bytearray(open(path, "rb").read())
    content[offset + (length // 2 if place is None else place % length)] ^= 1
    open(path, "wb").write(content)
    reader = records.RecordReader(data, "train")
    pixels = np.zeros((1, 16 * 16 * 3), np.uint8)
    reader.read_pixels(np.array([0]), pixels)
    with pytest.raises(records.DamagedRecord, match="train-00000-of-00002.*example 2.*verify"):
        reader.read_pixels(np.array([2]), pixels)


@pytest.fixture(params=["converter", "protobuf", "image_first"])
def jpeg_folder(request, tmp_path, monkeypatch):
    """Records in the converter's order of fields, and in others that are as valid."""

    def record(tf, image, label, store, mean_image):
        encoded = tf.io.encode_jpeg(image, quality=95).numpy()
        if request.param == "converter":
            return converter_records.encode_example(
                image=encoded,
                store=store,
                size=len(image),
                label=label,
                class_name="name" * label,
                class_title=None,
                path="",
            )
        # Two messages in a row are one with the fields of both.
        parts = []
        for key, value in (
            ("image/encoded", {"bytes_list": tf.train.BytesList(value=[encoded])}),
            ("image/class/label", {"int64_list": tf.train.Int64List(value=[label])}),
        ):
            features = tf.train.Features(feature={key: tf.train.Feature(**value)})
            parts.append(tf.train.Example(features=features).SerializeToString())
        return b"".join(parts)

    if request.param != "protobuf":
        monkeypatch.setattr(small_dataset, "_record", record)
    return small_dataset.make(tmp_path / "data", train=7, classes=300)


def test_encoded_images_are_found_in_their_records(jpeg_folder):
    """As TensorFlow parses the whole records."""
    data = dataset.load(jpeg_folder)
    reader = records.RecordReader(data, "train")
    order = np.array([6, 0, 3, 3, 5])
    kinds = {
        "image/encoded": tf.io.FixedLenFeature([], tf.string),
        "image/class/label": tf.io.FixedLenFeature([], tf.int64),
    }
    parsed = tf.io.parse_example(tf.constant(reader.read(order), tf.string), kinds)
    blocks, found = reader.read_contents(order)
    assert [block[:-4] for block in blocks] == reader.read(order).tolist()
    assert np.array_equal(found[:, 2], parsed["image/class/label"])
    places = zip(blocks, found, strict=True)
    contents = [block[start : start + length] for block, (start, length, _) in places]
    assert contents == parsed["image/encoded"].numpy().tolist()


@pytest.mark.parametrize("place", [0, -1, -4, None])
def test_a_changed_byte_anywhere_in_an_encoded_record_is_found(folder, place):
    """At its beginning, in its checksum, and in its middle."""
    data = dataset.load(folder)
    shard, offset, length = data.index("train")[2]
    path = data.shard_path("train", shard)
    content = bytearray(open(path, "rb").read())
    content[offset + (length // 2 if place is None else place % (length + 4))] ^= 1
    open(path, "wb").write(content)
    reader = records.RecordReader(data, "train")
    reader.read_contents(np.array([0]))
    with pytest.raises(records.DamagedRecord, match="train-00000-of-00002.*example 2.*verify"):
        reader.read_contents(np.array([0, 2]))


def test_a_record_without_a_label_is_damaged(tmp_path, monkeypatch):
    def record(tf, image, label, store, mean_image):
        value = tf.train.BytesList(value=[tf.io.encode_jpeg(image).numpy()])
        features = tf.train.Features(feature={"image/encoded": tf.train.Feature(bytes_list=value)})
        return tf.train.Example(features=features).SerializeToString()

    monkeypatch.setattr(small_dataset, "_record", record)
    reader = records.RecordReader(dataset.load(small_dataset.make(tmp_path / "data")), "train")
    with pytest.raises(records.DamagedRecord, match="example 1\\)"):
        reader.read_contents(np.array([1]))


def test_a_raw_record_of_another_size_is_damaged(raw_folder):
    reader = records.RecordReader(dataset.load(raw_folder), "train")
    with pytest.raises(records.DamagedRecord, match="example 0"):
        reader.read_pixels(np.array([0]), np.zeros((1, 15 * 15 * 3), np.uint8))


def test_a_raw_shard_cut_off_after_loading_is_found(raw_folder):
    data = dataset.load(raw_folder)
    reader = records.RecordReader(data, "train")
    path = data.shard_path("train", 1)
    content = open(path, "rb").read()
    open(path, "wb").write(content[:-10])
    with pytest.raises(records.DamagedRecord, match="train-00001-of-00002"):
        reader.read_pixels(np.array([6]), np.zeros((1, 16 * 16 * 3), np.uint8))


@pytest.mark.parametrize("label", [0, 1, 127, 128, 300, 1000, 16_383, 16_384, 21_843])
def test_labels_are_read_as_protocol_buffers_write_them(label):
    # Seven bits to a byte: labels from 128 take two, from 16,384 three.
    value = tf.train.Feature(int64_list=tf.train.Int64List(value=[label]))
    features = tf.train.Features(feature={dataset.LABEL_KEY: value})
    record = tf.train.Example(features=features).SerializeToString()
    assert records._label(record) == label
    assert records._label(record.replace(b"label", b"other")) is None


@pytest.mark.parametrize("value", [0, 1, 127, 128, 300, 16_383, 16_384, 2**31])
def test_lengths_are_read_as_protocol_buffers_write_them(value):
    text = b"?" + records.varint(value)
    assert records._varint_at(text + b"\xff", 1) == (value, len(text))


def test_a_length_that_is_cut_off_ends_with_the_text():
    assert records._varint_at(b"\x85\xff", 0) == (5 + (127 << 7), 2)


def test_a_label_in_the_older_encoding_is_left_to_the_parser():
    # proto2 wrote each number of a list behind a tag of its own, 0x08; both are valid.
    key = dataset.LABEL_KEY.encode()
    for of_the_list, expected in ((b"\x0a\x01\x07", 7), (b"\x08\x07", None)):
        feature = b"\x1a" + records.varint(len(of_the_list)) + of_the_list
        entry = b"\x0a" + records.varint(len(key)) + key + b"\x12"
        head = entry + records.varint(len(feature)) + feature
        assert records._label(head + b"more") == expected


@pytest.mark.parametrize("jpeg_folder", ["converter"], indirect=True)
def test_encoded_records_are_read_without_parsing_them(jpeg_folder, monkeypatch):
    reader = records.RecordReader(dataset.load(jpeg_folder), "train")
    monkeypatch.delattr(reader.__class__, "_parsed_content")
    _, found = reader.read_contents(np.arange(7))
    assert sorted(found[:, 2]) != [0] * 7


@pytest.mark.parametrize("raw_folder", ["converter"], indirect=True)
def test_an_image_may_be_the_last_of_a_record(raw_folder, monkeypatch):
    """Nothing behind it, and nothing but the label before it; it is not parsed for that."""
    data = dataset.load(raw_folder)
    reader = records.RecordReader(data, "train")
    parts = []
    for key, value in (
        ("image/class/label", {"int64_list": tf.train.Int64List(value=[300])}),
        (data.image_key, {"bytes_list": tf.train.BytesList(value=[b"pixels"])}),
    ):
        features = tf.train.Features(feature={key: tf.train.Feature(**value)})
        parts.append(tf.train.Example(features=features).SerializeToString())
    # One message: the entries of both, behind one tag and length.
    entries = b"".join(part[2:] for part in parts)
    record = b"\x0a" + records.varint(len(entries)) + entries
    assert tf.train.Example.FromString(record).features.feature.keys() == {
        "image/class/label", data.image_key,
    }  # fmt: skip
    expected = (len(record) - 6, 6, 300)
    assert reader._content(record, len(record)) == expected
    # A length that reaches beyond the record is not believed.
    assert reader._content(record[:-1], len(record) - 1) is None


def test_a_record_of_two_images_is_left_to_the_parser(tmp_path):
    data = dataset.load(small_dataset.make(tmp_path / "data", store="uint8"))
    reader = records.RecordReader(data, "train")
    for values, expected in (([b"pixels"], 6), ([b"pixels", b"others"], None)):
        # The label first, as the converter writes it.
        entries = b"".join(
            tf.train.Features(feature={key: value}).SerializeToString()
            for key, value in (
                ("image/class/label", tf.train.Feature(int64_list=tf.train.Int64List(value=[3]))),
                (data.image_key, tf.train.Feature(bytes_list=tf.train.BytesList(value=values))),
            )
        )
        record = b"\x0a" + records.varint(len(entries)) + entries
        found = reader._content(record, len(record))
        assert (found and found[1]) == expected


def test_a_split_of_one_image_is_read(tmp_path):
    folder = small_dataset.make(tmp_path / "data", train=1, shards=1, store="uint8")
    pixels = np.zeros((1, 16 * 16 * 3), np.uint8)
    labels = records.RecordReader(dataset.load(folder), "train").read_pixels(np.array([0]), pixels)
    expected, _ = small_dataset.pixels("train", 1, 16, 3)
    assert labels.tolist() == [1] and np.array_equal(pixels[0], expected[0].ravel())
