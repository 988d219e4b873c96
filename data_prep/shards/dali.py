"""Index files for the TFRecord reader of NVIDIA DALI: a line `offset size` per record."""

from alexnet_common import files
from data_prep import dataset
from data_prep.shards import records

FOLDER = "idx"


def write_indexes(the_dataset: dataset.Dataset) -> None:
    """Writes `idx/<shard>.idx` for every shard, as DALI's own tfrecord2idx would.

    They lie in a folder of their own, so that `train-*` still names shards only. Offset and size
    are those of the record with its framing, in bytes.
    """
    folder = files.join(the_dataset.directory, FOLDER)
    files.make_dirs(folder)
    for name, split in the_dataset.splits.items():
        index = the_dataset.index(name)
        for number, shard in enumerate(split.shards):
            rows = index[index[:, 0] == number]
            lines = [
                f"{offset - records.HEADER_BYTES} {length + records.FRAME_BYTES}\n"
                for _, offset, length in rows
            ]
            path = files.join(folder, f"{shard.name}.idx")
            files.write_atomically(path, "".join(lines).encode())
