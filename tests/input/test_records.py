"""Records read by their place."""

import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.input import records
from data_prep import dataset
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
