"""dataset.json: what is written reads back, what is wrong is one clear line."""

import copy
import hashlib
import json
import pathlib
from typing import Any

import numpy as np
import pytest

from alexnet_common import files
from data_prep import dataset
from data_prep.shards import records


def write(folder: pathlib.Path) -> dict[str, Any]:
    """A dataset folder of five tiny records, and its document, written by hand."""
    folder.mkdir(parents=True, exist_ok=True)
    splits: dict[str, Any] = {}
    for split, shards in {
        "train": [[b"one", b"three"], [b"five!"]],
        "validation": [[b"x"]],
    }.items():
        described, rows = [], []
        for number, payloads in enumerate(shards):
            name = f"{split}-{number:05d}-of-{len(shards):05d}"
            data = b"".join(records.frame(payload) for payload in payloads)
            (folder / name).write_bytes(data)
            described.append(
                {
                    "name": name,
                    "count": len(payloads),
                    "bytes": len(data),
                    "sha256": hashlib.sha256(data).hexdigest(),
                }
            )
            offset = 0
            for payload in payloads:
                rows.append([number, offset + 12, len(payload)])
                offset += 16 + len(payload)
        index = files.array_to_bytes(np.array(rows, np.int64))
        (folder / f"{split}-index.npy").write_bytes(index)
        count = len(rows)
        splits[split] = {
            "count": count,
            "class_counts": [count - 1, 1],
            "shards": described,
            "index": {
                "name": f"{split}-index.npy",
                "sha256": hashlib.sha256(index).hexdigest(),
            },
            "skipped": [{"key": "a/b.jpg", "reason": "empty file"}],
        }
    mean = files.array_to_bytes(np.full((4, 4, 3), 7.5, np.float32))
    (folder / "mean_image.npy").write_bytes(mean)
    return {
        "schema_version": 1,
        "image_size": 4,
        "store": "jpeg",
        "jpeg_quality": 95,
        "resampling": "area",
        "label_order": "sorted",
        "label_offset": 1,
        "class_names": ["cat", "dog"],
        "seed": 0,
        "versions": {},
        "splits": splits,
        "statistics": {
            "split": "train",
            "channel_mean": [1.0, 2.0, 3.5],
            "pca_standard_deviations": [1.0, 2.0, 3.0],
            "pca_vectors": [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
            "mean_image": {"name": "mean_image.npy", "sha256": hashlib.sha256(mean).hexdigest()},
        },
    }


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "data"
    (path.parent / "document.json").write_text(json.dumps(write(path)))
    dataset.save(str(path), json.loads((path.parent / "document.json").read_text()))
    return path


def test_what_is_saved_is_loaded(folder: pathlib.Path) -> None:
    loaded = dataset.load(folder)
    assert loaded.num_classes == 2
    assert loaded.class_names == loaded.class_titles == ("cat", "dog")
    assert (loaded.store, loaded.image_key, loaded.jpeg_quality) == ("jpeg", "image/encoded", 95)
    assert loaded.split("train").class_counts == (2, 1)
    assert loaded.split("train").skipped == (dataset.Skipped("a/b.jpg", "empty file"),)
    assert loaded.channel_mean.tolist() == [1.0, 2.0, 3.5]
    assert np.array_equal(loaded.mean_image(), np.full((4, 4, 3), 7.5))
    index = loaded.index("train")
    found = []
    for shard, offset, length in index:
        data = pathlib.Path(loaded.shard_path("train", shard)).read_bytes()
        found.append(data[offset : offset + length])
    assert found == [b"one", b"three", b"five!"]


def test_saving_twice_gives_the_same_bytes(folder: pathlib.Path) -> None:
    first = (folder / "dataset.json").read_bytes()
    document = json.loads(first)
    dataset.save(str(folder), dict(reversed(document.items())))
    assert (folder / "dataset.json").read_bytes() == first


def test_an_unknown_split_names_those_there_are(folder: pathlib.Path) -> None:
    with pytest.raises(dataset.DatasetError, match="no split 'test', only train, validation"):
        dataset.load(folder).split("test")


def break_field(document: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    result = copy.deepcopy(document)
    place: Any = result
    *parents, last = path.split("/")
    for key in parents:
        place = place[int(key) if key.isdigit() else key]
    if value is KeyError:
        del place[last]
    else:
        place[last] = value
    return result


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("schema_version", 2),
        ("schema_version", KeyError),
        ("image_size", 0),
        ("image_size", "256"),
        ("store", "png"),
        ("label_order", "random"),
        ("label_offset", KeyError),
        ("label_offset", True),
        ("class_names", []),
        ("class_names", ["cat", "cat"]),
        ("class_names", "catdog"),
        ("splits", {}),
        ("splits/train/count", 4),
        ("splits/train/class_counts", [3]),
        ("splits/train/class_counts", [4, -1]),
        ("splits/train/shards/0/count", 3),
        ("splits/train/shards/0/sha256", "0"),
        ("splits/train/shards/0/name", "../../etc/passwd"),
        ("splits/train/shards/0/name", "/etc/passwd"),
        ("splits/train/shards/0/name", "a" * 256),
        ("splits/train/shards/1/name", "train-00000-of-00002"),
        ("splits/train/index/name", ".."),
        ("splits/train/skipped", KeyError),
        ("statistics", KeyError),
        ("statistics/channel_mean", [1, 2]),
        ("statistics/channel_mean", [1, 2, float("nan")]),
        ("statistics/pca_vectors", [[1]]),
    ],
)
def test_a_wrong_field_is_one_line(folder: pathlib.Path, path: str, value: Any) -> None:
    document = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps(break_field(document, path, value)))
    with pytest.raises(dataset.DatasetError, match=r"dataset\.json") as raised:
        dataset.load(folder)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000, "\x00\xff"])
def test_a_damaged_document_is_one_line(folder: pathlib.Path, text: str) -> None:
    (folder / "dataset.json").write_text(text)
    with pytest.raises(dataset.DatasetError, match=r"dataset\.json"):
        dataset.load(folder)


def test_missing_files_are_named(folder: pathlib.Path) -> None:
    with pytest.raises(dataset.DatasetError, match="no such folder"):
        dataset.load(folder / "nowhere")
    for name in ("train-00001-of-00002", "train-index.npy", "mean_image.npy", "dataset.json"):
        kept = (folder / name).read_bytes()
        (folder / name).unlink()
        with pytest.raises(dataset.DatasetError, match=name):
            dataset.load(folder)
        (folder / name).write_bytes(kept)
    dataset.load(folder)


def test_a_short_shard_is_noticed_at_once(folder: pathlib.Path) -> None:
    shard = folder / "train-00001-of-00002"
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(dataset.DatasetError, match=r"has 20 bytes, dataset\.json says 21"):
        dataset.load(folder)


def test_a_damaged_index_or_mean_image_is_noticed(folder: pathlib.Path) -> None:
    for name, read in (
        ("train-index.npy", lambda: dataset.load(folder).index("train")),
        ("mean_image.npy", lambda: dataset.load(folder).mean_image()),
    ):
        data = bytearray((folder / name).read_bytes())
        data[-1] ^= 1
        (folder / name).write_bytes(bytes(data))
        with pytest.raises(dataset.DatasetError, match=f"{name}: damaged"):
            read()


@pytest.mark.parametrize(
    "rows",
    [
        [[0, 12, 3], [0, 31, 5]],  # too few
        [[0, 12, 3], [0, 31, 5], [2, 12, 5]],  # no such shard
        [[0, 12, 3], [1, 12, 5], [1, 12, 5]],  # other counts
        [[0, 12, 3], [0, 31, 50], [1, 12, 5]],  # beyond the end
        [[0, 11, 3], [0, 31, 5], [1, 12, 5]],  # within the framing
        [[0, 12, -3], [0, 31, 5], [1, 12, 5]],
    ],
)
def test_an_index_that_does_not_fit_the_shards(folder: pathlib.Path, rows: list[list[int]]) -> None:
    document = json.loads((folder / "dataset.json").read_text())
    index = files.array_to_bytes(np.array(rows, np.int64))
    (folder / "train-index.npy").write_bytes(index)
    document["splits"]["train"]["index"]["sha256"] = hashlib.sha256(index).hexdigest()
    (folder / "dataset.json").write_text(json.dumps(document))
    with pytest.raises(dataset.DatasetError, match=r"train-index\.npy"):
        dataset.load(folder).index("train")


def test_pickles_are_not_read(folder: pathlib.Path) -> None:
    import io

    buffer = io.BytesIO()
    np.save(buffer, np.array([{"a": 1}], object), allow_pickle=True)
    document = json.loads((folder / "dataset.json").read_text())
    (folder / "mean_image.npy").write_bytes(buffer.getvalue())
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    document["statistics"]["mean_image"]["sha256"] = digest
    (folder / "dataset.json").write_text(json.dumps(document))
    with pytest.raises(dataset.DatasetError, match=r"not a \.npy file"):
        dataset.load(folder).mean_image()


def test_it_needs_no_tensorflow() -> None:
    import subprocess
    import sys

    code = "import sys; from data_prep import dataset; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
