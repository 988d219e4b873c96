"""What is kept of a finished shard, and that nothing else counts as one."""

import base64
import hashlib
import json
import pathlib
import zlib

import numpy as np
import pytest

from data_prep.shards import sidecars
from data_prep.shards.statistics import PixelSums

NAME = "train-00000-of-00002"
RECORDS = sidecars.Records(
    name=NAME,
    count=2,
    bytes=132,
    sha256="ab" * 32,
    payload_lengths=(40, 60),
    class_counts={3: 1, 10: 1},
    skipped=(("c/x.jpg", "empty file"),),
    rotated=1,
    enlarged=2,
)


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> str:
    (tmp_path / ".conversion").mkdir()
    return str(tmp_path)


def write(folder: str, what: str, content: dict[str, object]) -> None:
    """As the format says: `check` is the SHA-256 of all else, keys in alphabetic order."""
    text = json.dumps(content, sort_keys=True)
    content = {**content, "check": hashlib.sha256(text.encode()).hexdigest()}
    (pathlib.Path(folder) / ".conversion" / f"{NAME}.{what}.json").write_text(json.dumps(content))


FIELDS = {
    "plan": "p", "name": NAME, "count": 2, "bytes": 132, "sha256": "ab" * 32,
    "payload_lengths": [40, 60], "class_counts": {"3": 1, "10": 1},
    "skipped": [["c/x.jpg", "empty file"]],
}  # fmt: skip


def test_a_finished_shard_is_read_as_it_was_written(folder: str) -> None:
    sidecars.write_records(folder, "p", RECORDS)
    assert sidecars.read_records(folder, "p", NAME) == RECORDS
    assert sidecars.read_records(folder, "another plan", NAME) is None
    assert sidecars.read_records(folder, "p", "train-00001-of-00002") is None


def test_the_format_is_that_of_earlier_conversions(folder: str) -> None:
    """Which did not count what was rotated or enlarged."""
    write(folder, "records", FIELDS)
    found = sidecars.read_records(folder, "p", NAME)
    assert found is not None and (found.rotated, found.enlarged) == (0, 0)
    assert (found.count, found.payload_lengths, found.class_counts) == (2, (40, 60), {3: 1, 10: 1})
    write(folder, "records", {**FIELDS, "rotated": 4, "enlarged": 5})
    found = sidecars.read_records(folder, "p", NAME)
    assert found is not None and (found.rotated, found.enlarged) == (4, 5)


@pytest.mark.parametrize("change", [("count", 3), ("sha256", "cd" * 32), ("plan", "q")])
def test_a_changed_value_counts_as_not_there(folder: str, change: tuple[str, object]) -> None:
    sidecars.write_records(folder, "p", RECORDS)
    path = pathlib.Path(folder) / ".conversion" / f"{NAME}.records.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), change[0]: change[1]}))
    assert sidecars.read_records(folder, "p", NAME) is None


@pytest.mark.parametrize("text", ["", "[1, 2]", '{"plan": "p"', '"p"'])
def test_what_is_no_sidecar_counts_as_not_there(folder: str, text: str) -> None:
    for what in ("records", "statistics"):
        (pathlib.Path(folder) / ".conversion" / f"{NAME}.{what}.json").write_text(text)
    assert sidecars.read_records(folder, "p", NAME) is None
    assert sidecars.read_statistics(folder, "p", NAME) is None


def test_a_missing_field_counts_as_not_there(folder: str) -> None:
    for name in FIELDS.keys() - {"plan"}:
        write(folder, "records", {key: value for key, value in FIELDS.items() if key != name})
        assert sidecars.read_records(folder, "p", NAME) is None, name


def test_sums_are_read_as_they_were_written(folder: str) -> None:
    # A shard's sums fit 32 bits, up to the last one.
    image = np.array([[[0, 1, 2**32 - 1]]], np.uint64)
    products = np.array([[2**40, -1, 2], [3, 4, 5], [6, 7, 8]], np.int64)
    sidecars.write_statistics(folder, "p", NAME, PixelSums(7, image, products))
    found = sidecars.read_statistics(folder, "p", NAME)
    assert found is not None and found.count == 7
    assert np.array_equal(found.image, image) and np.array_equal(found.products, products)
    assert found.image.dtype == np.uint64


def test_the_format_of_sums_is_that_of_earlier_conversions(folder: str) -> None:
    image = np.arange(12, dtype="<u4")
    fields = {
        "plan": "p", "count": 3, "shape": [2, 2, 3], "products": [[1, 2, 3], [4, 5, 6], [7, 8, 9]],
        "image": base64.b64encode(zlib.compress(image.tobytes())).decode(),
    }  # fmt: skip
    write(folder, "statistics", fields)
    found = sidecars.read_statistics(folder, "p", NAME)
    assert found is not None and np.array_equal(found.image, image.reshape(2, 2, 3))
    write(folder, "statistics", {**fields, "image": base64.b64encode(b"not zlib").decode()})
    assert sidecars.read_statistics(folder, "p", NAME) is None
