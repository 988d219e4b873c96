"""The dataset folder opened by other people's libraries, where they are installed.

TFDS and DALI run in processes of their own: what they import would change the tests that follow.
"""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from data_prep import dataset
from data_prep.shards import records
from tests.data_prep.conftest import Convert
from tests.helpers.imagenet_standin import StandIn

SIZE = 32


def made(
    small: StandIn, folder: pathlib.Path, convert: Convert, **flags: object
) -> dataset.Dataset:
    output = folder / "data"
    raw = {"train": small.train_tar, "validation": small.validation_tar}
    assert convert(**raw, output_dir=output, image_size=SIZE, train_shards=2, **flags) == 0
    return dataset.load(output)


def in_order(data: dataset.Dataset, split: str) -> list[tuple[str, int]]:
    """File name and label of every record, as the record says."""
    result = []
    for shard in data.split(split).shards:
        with open(pathlib.Path(data.directory) / shard.name, "rb") as file:
            for payload in records.read_payloads(file):
                example = records.decode_example(payload) or {}
                name = example["image/filename"].decode()
                result.append((name, example["image/class/label"][0]))
    return result


def run(program: str, *arguments: str) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return told


@pytest.mark.usefixtures("in_process")
def test_without_the_flag_nothing_is_added(
    small: StandIn, tmp_path: pathlib.Path, convert: Convert
) -> None:
    data = made(small, tmp_path, convert)
    before = {path.name for path in pathlib.Path(data.directory).iterdir()}
    assert not before & {"dataset_info.json", "features.json", "idx"}
    json_before = (pathlib.Path(data.directory) / "dataset.json").read_bytes()
    # Of a finished dataset the same command writes what is missing, and nothing else.
    data = made(small, tmp_path, convert, tfds_info=True)
    added = {path.name for path in pathlib.Path(data.directory).iterdir()} - before
    assert added == {"dataset_info.json", "features.json", "image-class-label.labels.txt"}
    assert (pathlib.Path(data.directory) / "dataset.json").read_bytes() == json_before
    info = json.loads((pathlib.Path(data.directory) / "dataset_info.json").read_text())
    assert [split["shardLengths"] for split in info["splits"]] == [["5", "4"], ["4"]]
    names = (pathlib.Path(data.directory) / "image-class-label.labels.txt").read_text().split()
    assert names == ["background", *data.class_names]


TFDS = """
import json, sys
import numpy as np
import tensorflow_datasets as tfds
builder = tfds.builder_from_directory(sys.argv[1])
key = sys.argv[2]
told = {"counts": {name: split.num_examples for name, split in builder.info.splits.items()}}
label = builder.info.features["image"]["class"]["label"]
told["first"] = [label.num_classes, label.int2str(1)]
for name in builder.info.splits:
    images = list(tfds.as_numpy(builder.as_dataset(name)))
    told[name] = [[e["image"]["filename"].decode(), int(e["image"]["class"]["label"])]
                  for e in images]
    told[name + " sums"] = [float(e["image"][key].astype(np.float64).sum()) for e in images]
    told[name + " shapes"] = [list(e["image"][key].shape) for e in images]
print(json.dumps(told))
"""


@pytest.mark.slow
@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize(("store", "key"), [("jpeg", "encoded"), ("uint8", "raw")])
def test_tensorflow_datasets_opens_it(
    small: StandIn, tmp_path: pathlib.Path, convert: Convert, store: str, key: str
) -> None:
    pytest.importorskip("tensorflow_datasets")
    data = made(small, tmp_path, convert, tfds_info=True, store=store)
    told = run(TFDS, data.directory, key)
    assert told["counts"] == {"train": 9, "validation": 4}
    assert told["first"] == [4, data.class_names[0]]
    for split in ("train", "validation"):
        assert sorted(map(tuple, told[split])) == sorted(in_order(data, split))  # type: ignore[call-overload]
        assert told[f"{split} shapes"] == [[SIZE, SIZE, 3]] * data.split(split).count
    if store == "uint8":
        # The mean image is that of the training pixels: their sum, another way.
        total = sum(told["train sums"])  # type: ignore[arg-type, call-overload]
        assert total == pytest.approx(9 * data.mean_image().astype(np.float64).sum(), rel=1e-6)


DALI = """
import json, sys
import numpy as np
from nvidia.dali import fn, pipeline_def, tfrecord, types
shards, indexes, count = sys.argv[1].split(","), sys.argv[2].split(","), int(sys.argv[3])
@pipeline_def(batch_size=count, num_threads=1, device_id=None)
def pipeline():
    inputs = fn.readers.tfrecord(path=shards, index_path=indexes, features={
        "image/encoded": tfrecord.FixedLenFeature((), tfrecord.string, ""),
        "image/class/label": tfrecord.FixedLenFeature([1], tfrecord.int64, -1)})
    images = fn.decoders.image(inputs["image/encoded"], device="cpu", output_type=types.RGB)
    return images, inputs["image/class/label"]
pipe = pipeline()
pipe.build()
images, labels = pipe.run()
print(json.dumps({"labels": [int(labels.at(i)[0]) for i in range(count)],
                  "shapes": [list(images.at(i).shape) for i in range(count)],
                  "means": [float(images.at(i).mean()) for i in range(count)]}))
"""


@pytest.mark.slow
@pytest.mark.usefixtures("in_process")
def test_dali_opens_it(small: StandIn, tmp_path: pathlib.Path, convert: Convert) -> None:
    pytest.importorskip("nvidia.dali")
    data = made(small, tmp_path, convert, dali_index=True)
    shards = [f"{data.directory}/{shard.name}" for shard in data.split("train").shards]
    indexes = [f"{data.directory}/idx/{shard.name}.idx" for shard in data.split("train").shards]
    told = run(DALI, ",".join(shards), ",".join(indexes), "9")
    assert told["labels"] == [label for _, label in in_order(data, "train")]
    assert told["shapes"] == [[SIZE, SIZE, 3]] * 9
    mean = float(np.mean(told["means"]))  # type: ignore[arg-type]
    # JPEG at quality 95 moves a picture's mean by less than a level.
    assert mean == pytest.approx(float(data.mean_image().mean()), abs=1)
