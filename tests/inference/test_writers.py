"""Outputs of features: read back by NumPy and Zarr, whole or not there, rows in order."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from alexnet_common.errors import UsageError, UserError
from alexnet_tf.inference import writers

SHAPES = {"conv": (2, 2, 3), "fc": (5,)}
ROWS = 11
RANDOM = np.random.default_rng(0)
VALUES = {n: RANDOM.normal(size=(ROWS, *s)).astype(np.float32) for n, s in SHAPES.items()}
NAMES = [f"bild {n}, ü.jpg" for n in range(ROWS)]
LABELS = [n % 3 for n in range(ROWS)]


def write(path, shapes=SHAPES, labels=LABELS, rows=(4, 4, 3)):
    names: list[str] = []
    found: list[int] = []
    with writers.open_writer(str(path), shapes, names, found, {"views": 1}) as writer:
        first = 0
        for count in rows:
            part = slice(first, first + count)
            writer.append({name: VALUES[name][part] for name in shapes})
            names += NAMES[part]
            found += labels[part]
            first += count


def test_npz_holds_layers_names_labels_and_facts(tmp_path):
    write(tmp_path / "deep" / "out.npz")
    with np.load(tmp_path / "deep" / "out.npz", allow_pickle=False) as found:
        assert set(found.files) == {"conv", "fc", "names", "labels", "facts"}
        for name, expected in VALUES.items():
            np.testing.assert_array_equal(found[name], expected)
        assert found["names"].tolist() == NAMES and found["labels"].tolist() == LABELS
        assert json.loads(str(found["facts"])) == {"views": 1}
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["out.npz"]


def test_npy_has_its_names_beside_it_and_can_be_mapped(tmp_path):
    write(tmp_path / "fc.npy", {"fc": SHAPES["fc"]})
    found = np.load(tmp_path / "fc.npy", mmap_mode="r")
    np.testing.assert_array_equal(found, VALUES["fc"])
    rows = list(csv.DictReader((tmp_path / "fc.csv").open()))
    assert [row["name"] for row in rows] == NAMES
    assert [int(row["label"]) for row in rows] == LABELS


def test_labels_are_left_out_where_nobody_knows_them(tmp_path):
    write(tmp_path / "fc.npy", {"fc": SHAPES["fc"]}, labels=[])
    assert (tmp_path / "fc.csv").read_text().splitlines()[0] == "name"
    write(tmp_path / "out.npz", labels=[])
    assert "labels" not in np.load(tmp_path / "out.npz").files


@pytest.mark.parametrize("chunk", [1, 4, 100])
def test_zarr_holds_the_same(tmp_path, monkeypatch, chunk):
    zarr = pytest.importorskip("zarr")
    monkeypatch.setattr(writers, "_rows", lambda shape: chunk)
    write(tmp_path / "out.zarr")
    write(tmp_path / "out.zarr")  # A former one is replaced.
    group = zarr.open_group(str(tmp_path / "out.zarr"), mode="r")
    assert set(group.array_keys()) == {"conv", "fc", "names", "labels"}
    for name, expected in VALUES.items():
        assert group[name].chunks[0] == chunk
        np.testing.assert_array_equal(group[name][:], expected)
    assert group["names"][:].tolist() == NAMES and group["labels"][:].tolist() == LABELS
    assert dict(group.attrs) == {"views": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["out.zarr"]


@pytest.mark.parametrize("name", ["out.npz", "out.npy", "out.zarr"])
def test_a_failure_leaves_what_was_there(tmp_path, name):
    if name.endswith("zarr"):
        pytest.importorskip("zarr")
    shapes = {"fc": SHAPES["fc"]}
    write(tmp_path / name, shapes)
    before = {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")}
    with pytest.raises(KeyboardInterrupt):
        with writers.open_writer(str(tmp_path / name), shapes, [], [], {}) as writer:
            writer.append({"fc": VALUES["fc"][:1]})
            raise KeyboardInterrupt
    assert {p: p.is_file() and p.read_bytes() for p in tmp_path.rglob("*")} == before


def test_the_same_features_are_the_same_bytes(tmp_path):
    write(tmp_path / "a.npz")
    write(tmp_path / "b.npz", rows=(1, 10))
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@pytest.mark.parametrize(
    ("name", "layers", "error", "message"),
    [
        ("out.txt", ["fc"], UsageError, "must end with .npy, .npz or .zarr"),
        ("out.npy", ["fc", "conv"], UsageError, "holds one layer, not 2; use .npz"),
        ("out.npz", ["names"], UsageError, "layer 'names'"),
        ("folder.npz", ["fc"], UserError, "is a folder"),
        ("folder.zarr", ["fc"], UserError, "with other things"),
        ("file.zarr", ["fc"], UserError, "is a file, not a Zarr folder"),
        ("file/out.npz", ["fc"], UserError, "a part of its path is a file, not a folder"),
        ("file/out.zarr", ["fc"], UserError, "a part of its path is a file, not a folder"),
    ],
)
def test_outputs_that_cannot_be(tmp_path, name, layers, error, message):
    if name.endswith("zarr"):
        pytest.importorskip("zarr")
    (tmp_path / "folder.npz").mkdir()
    (tmp_path / "folder.zarr").mkdir()
    (tmp_path / "folder.zarr" / "mine.txt").write_text("mine")
    (tmp_path / "file.zarr").write_text("mine")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(error, match="^[^\n]*$") as raised:
        writers.check(str(tmp_path / name), layers)
    assert message in str(raised.value)
