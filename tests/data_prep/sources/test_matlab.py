"""The .mat reader, on a file that SciPy wrote and on damaged ones."""

import base64
import random
import struct
import zlib

import pytest

from data_prep.sources import matlab
from tests.helpers import imagenet_standin

# scipy.io.savemat 1.17 of a struct array shaped like `synsets` of the devkit, compressed: IDs 1..4,
# of which the last has three children, and a title with an accent.
BY_SCIPY = base64.b64decode(
    "TUFUTEFCIDUuMCBNQVQtZmlsZSBQbGF0Zm9ybTogcG9zaXgsIENyZWF0ZWQgb246IFNhdCBOb3YgMjEgMTg6MzU6"
    "NTYgMjAyNgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAABSU0PAAAA"
    "cQEAAHic42NgYBDgZGBgA9IcQMzEAAGsUD4LEDNCMTsQF1fmFaeWFAPlWRgEoeIdQOzpExwW5GxkYGgU7+kCMiDc"
    "D0LDQXl+UUoxskB6Tn4xikBeaW58ckZmTkpRah5YAIUDMyMvtSQ+IzUzPaMEqqWkKDEzLz4zNzE9tZiBDyhowYDw"
    "DxuafxiRMAhwQsUh4IM9SL8Dkn4WLPo5kfQLQPl5BhBgDBUnxhxuNHNA/JKMzKIUHYWcxOISuDkeBMwRQTNHBBa4"
    "CvlpCmgGUhY+EP0GSPr50PTDAEw/D5I+Su0lW3/AFAcK7XegNF0Y4vAHNnNY0cwB8dMyi8ARSIw7+ND0g/jw9AA1"
    "aDQdkGM/B8XpwAiHP7CZw8KAmQ6SE9MOr2QgLh3wMuBJB1CDRtMBOfYLUJwOLHH4A5s5bGjmgPgFicB6sYS4dMCP"
    "ph/Eh6cDqEHUyBfI9RR6OgDpY2ZATQcSSHxYu4MZR7iQ4x5K0hcAUAtj9Q=="
)


def test_reads_what_scipy_wrote() -> None:
    rows = matlab.read(BY_SCIPY)["synsets"]
    assert [row["WNID"] for row in rows] == ["n00000003", "n00000001", "n00000002", "n00000009"]
    assert [row["words"] for row in rows] == ["third, last", "first", "caf\u00e9", "parent"]
    assert [int(row["num_children"].item()) for row in rows] == [0, 0, 0, 3]
    assert rows[3]["children"].ravel().tolist() == [1, 2, 3]


def test_reads_the_stand_in() -> None:
    data = imagenet_standin.mat_file(
        "synsets", [{"ILSVRC2012_ID": 7, "WNID": "n1", "words": "a, b"}]
    )
    (row,) = matlab.read(data)["synsets"]
    assert (row["ILSVRC2012_ID"].item(), row["WNID"], row["words"]) == (7, "n1", "a, b")


@pytest.mark.parametrize("data", [b"", b"MATLAB 7.3 MAT-file", b"\x89HDF" * 100, bytes(200)])
def test_refuses_other_files(data: bytes) -> None:
    with pytest.raises(matlab.MatlabError):
        matlab.read(data)


def element(kind: int, content: bytes) -> bytes:
    return struct.pack("<II", kind, len(content)) + content + bytes(-len(content) % 8)


def matrix(array_class: int, shape: tuple[int, int], name: bytes, *rest: bytes) -> bytes:
    head = element(6, struct.pack("<II", array_class, 0)) + element(5, struct.pack("<ii", *shape))
    return element(14, head + element(1, name) + b"".join(rest))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(matrix(2, (2**31 - 1, 1), b"s", element(5, b"\x20\0\0\0"), element(1, b"")),
                     id="two billion rows without fields"),
        pytest.param(matrix(6, (2**31 - 1, 2**31 - 1), b"s", element(9, bytes(8))),
                     id="a shape of more numbers than there are"),
        pytest.param(matrix(4, (1, 1), b"s", element(9, struct.pack("<d", 65.0))),
                     id="a text of fractions"),
        pytest.param(matrix(4, (1, 1), b"s", element(13, b"\xff" * 8)), id="a text beyond Unicode"),
        pytest.param(matrix(6, (1, 1), b"s", element(9, bytes(7))), id="seven bytes of a double"),
    ],
)  # fmt: skip
def test_hostile_matrices_are_refused(content: bytes) -> None:
    with pytest.raises(matlab.MatlabError):
        matlab.read(BY_SCIPY[:128] + content)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (matrix(6, (1, 1), b"s", element(99, bytes(8))), "numbers of an unknown type 99"),
        (
            matrix(2, (2, 1), b"s", element(5, b"\x04\0\0\0"), element(1, b"abc\0"),
                   matrix(6, (1, 1), b"", element(9, bytes(8)))),
            "a struct array with another number of values than its shape says",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_matrix_is_said(content: bytes, reason: str) -> None:
    with pytest.raises(matlab.MatlabError, match=reason):
        matlab.read(BY_SCIPY[:128] + content)


def test_cells_within_cells_are_limited() -> None:
    """The real table has a struct array, and numbers and texts in it."""
    content = matrix(6, (1, 1), b"", element(9, bytes(8)))
    for _ in range(8):
        assert matlab.read(BY_SCIPY[:128] + content)
        content = matrix(1, (1, 1), b"", content)
    with pytest.raises(matlab.MatlabError, match="cells within cells, more than 8 deep"):
        matlab.read(BY_SCIPY[:128] + content)


def test_all_variables_together_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Packed or not: a thousand small ones are a bomb, too."""
    one = matrix(6, (10, 10), b"s", element(9, bytes(800)))
    packed = zlib.compress(one)
    packed = struct.pack("<II", 15, len(packed)) + packed
    for stored, bytes_of_one in ((one, len(one) - 8), (packed, len(one))):
        monkeypatch.setattr(matlab, "_MAX_BYTES", 3 * bytes_of_one)
        assert matlab.read(BY_SCIPY[:128] + 3 * stored)["s"].shape == (10, 10)
        with pytest.raises(matlab.MatlabError, match="more than"):
            matlab.read(BY_SCIPY[:128] + 4 * stored)


def test_damage_is_an_error_and_nothing_worse() -> None:
    generator = random.Random(0)
    refused = 0
    for _ in range(300):
        damaged = bytearray(BY_SCIPY)
        for _ in range(3):
            damaged[generator.randrange(len(damaged))] = generator.randrange(256)
        try:
            matlab.read(bytes(damaged[: generator.randrange(100, len(damaged))]))
        except matlab.MatlabError:
            refused += 1
    # Sizes and types stand all over the file, and most files are cut off.
    assert refused > 150
