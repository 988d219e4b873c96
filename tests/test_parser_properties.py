"""What holds of every file of a format, with the standard library or NumPy as the other reader.

Hypothesis writes the files. The same ones every time, a few of each; many and new ones with
ALEXNET_EXAMPLES=5000.
"""

from __future__ import annotations

import configparser
import copy
import csv
import io
import json
import os
import pathlib
import pickle
import string
import tempfile
from typing import Any

import numpy as np
import pytest

hypothesis = pytest.importorskip("hypothesis")
from hypothesis import given, settings  # noqa: I001
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from alexnet_common import errors
from alexnet_common.errors import UserError
from alexnet_tf.tables.cuda_convnet import ini
from alexnet_tf.weight_io import weight_files
from alexnet_tf.weight_io.weights import WeightsError
from data_prep import dataset
from data_prep.sources import labels
from tests.helpers import torch_file

ASKED = int(os.environ.get("ALEXNET_EXAMPLES", "0"))
some = settings(
    max_examples=ASKED or 30,
    derandomize=not ASKED,
    database=None,
    deadline=None,
    # A stand-in for the module torch, the same for all examples.
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)

WORDS = string.ascii_letters + string.digits + "_-."
word = st.text(WORDS, min_size=1, max_size=8)
# No file name ends or begins with blanks here: label files are trimmed.
spaced = st.text(WORDS + " ,;'\"()éß漢", min_size=1, max_size=12).map(str.strip).filter(bool)


# --- definition files: Python's own INI reader, where the two dialects say the same


@st.composite
def definition_texts(draw: st.DrawFn) -> str:
    """Sections that may come again, keys that may come again, comments, lines that go on."""
    value = st.text(WORDS + " ,[]/*+", max_size=10)
    key = st.text(string.ascii_letters + "_", min_size=1, max_size=5).filter(
        # Python 2 reads a line of this word as a comment.
        lambda name: name.lower() != "rem"
    )
    lines = []
    for _ in range(draw(st.integers(0, 4))):
        lines.append(f"[{draw(st.sampled_from(['data', 'conv1', 'fc 8', 'x=y']))}]")
        for _ in range(draw(st.integers(0, 5))):
            if draw(st.integers(0, 4)) == 0:
                lines.append(draw(st.sampled_from(["", "# note", "; note=1", "   "])))
            separator = draw(st.sampled_from(["=", " = ", ": "]))
            lines.append(f"{draw(key)}{separator}{draw(value)}")
            if draw(st.integers(0, 4)) == 0:
                lines.append("  " + draw(word))
    return draw(st.sampled_from(["\n", "\r\n"])).join(lines) + "\n"


@some
@given(definition_texts())
def test_definition_files_read_as_by_configparser(text: str) -> None:
    other = configparser.RawConfigParser(
        strict=False, comment_prefixes=("#", ";"), empty_lines_in_values=False
    )
    other.read_string(text)
    found = ini.parse(text, "layers.cfg")
    assert list(found) == other.sections()
    for name, section in found.items():
        ours = {key: option.value.split() for key, option in section.options.items()}
        assert ours == {key: value.split() for key, value in other.items(name)}


@some
@given(st.text(st.sampled_from("[]=:;#%()s \n\r\tabrem"), max_size=60))
def test_any_text_is_a_definition_file_or_one_line(text: str) -> None:
    try:
        found = ini.parse(text, "layers.cfg")
    except ini.DefinitionError as error:
        assert errors.one_line(error).startswith("layers.cfg:")
    else:
        lines = text.split("\n")
        for section in found.values():
            assert f"[{section.name}]" in lines[section.line - 1]


# --- label files: the csv module


@some
@given(
    st.dictionaries(spaced.map(lambda name: f"{name}.jpg"), spaced, min_size=1, max_size=6),
    st.sampled_from([",", ";", "\t"]),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.booleans(),
    st.sampled_from(["", "\ufeff"]),
)
def test_label_files_say_what_csv_wrote(
    classes: dict[str, str], delimiter: str, end: str, header: bool, mark: str
) -> None:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL)
    if header:
        writer.writerow(["filename", "class"])
    writer.writerows(classes.items())
    content = (mark + text.getvalue()).encode()
    assert labels.parse("labels.csv", content, list(classes), None) == classes
    # Which column is which is told by the images.
    swapped = io.StringIO()
    writer = csv.writer(swapped, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerows((label, name) for name, label in classes.items())
    assert labels.parse("labels.csv", swapped.getvalue().encode(), list(classes), None) == classes


@some
@given(st.binary(max_size=60), st.lists(word, max_size=3))
def test_any_bytes_are_a_label_file_or_one_line(content: bytes, names: list[str]) -> None:
    try:
        found = labels.parse("labels.txt", content, names, None)
    except UserError as error:
        assert errors.one_line(error).startswith("labels.txt:")
    else:
        # Nothing is made up: all of it stands in the file.
        text = content.decode("utf-8-sig")
        for name, label in found.items():
            assert os.path.splitext(name)[0] in text and label in text


# --- dataset.json: the json module


@pytest.fixture(scope="module")
def document(repository: pathlib.Path) -> dict[str, Any]:
    folder = repository / "tests" / "data" / "version_0_1_0" / "dataset_jpeg"
    return json.loads((folder / dataset.DATASET_FILE).read_text())


plain_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


def places(value: Any, path: tuple = ()) -> list[tuple]:
    """Every place in a document: keys and numbers from its root."""
    inside = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if type(value) is list
        else ()
    )
    return [path, *(found for key, part in inside for found in places(part, (*path, key)))]


@some
@given(
    st.lists(spaced, min_size=2, max_size=2, unique=True),
    st.lists(st.integers(0, 1 << 62), min_size=2, max_size=2),
)
def test_dataset_json_is_read_as_written(
    document: dict[str, Any], names: list[str], counts: list[int]
) -> None:
    changed = copy.deepcopy(document)
    extra = len(changed["class_names"]) - len(names)
    changed["class_names"] = names + [f"class {number} of more" for number in range(extra)]
    changed["class_titles"] = [name.upper() for name in changed["class_names"]]
    train = changed["splits"]["train"]
    train["class_counts"] = counts + [0] * extra
    train["count"] = train["shards"][0]["count"] = sum(counts)
    with tempfile.TemporaryDirectory() as folder:
        written = dataset.save(folder, changed)
        assert json.loads(pathlib.Path(folder, dataset.DATASET_FILE).read_text()) == changed
        found = dataset.describe(folder)
    for one in (written, found):
        assert list(one.class_names) == changed["class_names"]
        assert list(one.class_titles) == changed["class_titles"]
        assert list(one.splits["train"].class_counts) == train["class_counts"]
        assert one.splits["train"].count == sum(counts)
        assert one.channel_mean.tolist() == changed["statistics"]["channel_mean"]


@some
@given(st.data())
def test_a_changed_dataset_json_is_refused_or_adds_up(
    document: dict[str, Any], data: st.DataObject
) -> None:
    changed = copy.deepcopy(document)
    *way, last = data.draw(st.sampled_from(places(document)[1:]))
    inner = changed
    for key in way:
        inner = inner[key]
    inner[last] = data.draw(plain_json)
    try:
        found = dataset.parse(changed, "folder")
    except dataset.DatasetError as error:
        assert errors.one_line(error).startswith("folder/dataset.json: ")
    else:
        for split in found.splits.values():
            assert sum(split.class_counts) == split.count == sum(s.count for s in split.shards)
            assert len(split.class_counts) == found.num_classes
            assert all(pathlib.PurePath(shard.name).name == shard.name for shard in split.shards)


# --- weight files: NumPy's and pickle's own writers


shapes = arrays_of.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
kinds = st.sampled_from(["f4", "f8", "f2", "i8", "u1", ">f4", "?"])
values = st.dictionaries(
    st.text(string.ascii_lowercase + "0123456789", min_size=1, max_size=6).map(
        lambda layer: f"{layer}/kernel"
    ),
    kinds.flatmap(lambda kind: arrays_of.arrays(np.dtype(kind), shapes)),
    min_size=1,
    max_size=4,
)


def written(content: bytes) -> weight_files.WeightFile:
    with tempfile.NamedTemporaryFile(prefix="weights-") as file:
        file.write(content)
        file.flush()
        return weight_files.read(file.name)


def check_equal(found: Any, expected: dict[str, np.ndarray]) -> None:
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].shape == array.shape and found[name].dtype == array.dtype
        assert found[name].tobytes() == array.tobytes()


@some
@given(values)
def test_npz_files_hold_what_numpy_wrote(expected: dict[str, np.ndarray]) -> None:
    content = io.BytesIO()
    np.savez(content, **expected)
    found = written(content.getvalue())
    assert found.layout == weight_files.OWN
    check_equal(found.arrays, expected)
    check_equal(found.values(1.0), expected)


@some
@given(values, st.integers(2, pickle.HIGHEST_PROTOCOL))
def test_pickles_hold_what_pickle_wrote(expected: dict[str, np.ndarray], protocol: int) -> None:
    content = pickle.dumps(expected, protocol)
    # Of arrays without a dimension pickle itself keeps the numbers, not the order of their bytes.
    check_equal(written(content).arrays, pickle.loads(content))


@some
@given(st.data(), arrays_of.array_shapes(max_dims=3, max_side=4))
def test_tensors_are_views_as_numpy_strides_them(
    no_torch: None, data: st.DataObject, shape: tuple[int, ...]
) -> None:
    """What torch.save makes of a transposed or a cut tensor: a storage, an offset and strides."""
    storage = np.arange(200, dtype=np.float32)
    order = data.draw(st.permutations(range(len(shape))))
    offset = data.draw(st.integers(0, 40))
    view = storage[offset : offset + int(np.prod(shape))].reshape(shape).transpose(order)
    steps = tuple(step // view.itemsize for step in view.strides)
    tensor = torch_file.Tensor(storage, view.shape, steps, offset)
    with tempfile.TemporaryDirectory() as folder:
        for save in (torch_file.save_zip, torch_file.save_legacy):
            path = os.path.join(folder, save.__name__)
            save(path, {"conv1/kernel": tensor})
            np.testing.assert_array_equal(weight_files.read(path).arrays["conv1/kernel"], view)


@some
@given(
    st.sampled_from(["os", "builtins", "__builtin__", "subprocess", "numpy", "torch", "_codecs"]),
    st.sampled_from(["system", "eval", "exec", "getattr", "load", "fromfile", "lookup", "open"]),
    st.integers(0, 4),
)
def test_a_pickle_that_calls_is_refused_by_name(module: str, name: str, protocol: int) -> None:
    """By hand: opcode GLOBAL, an argument in a tuple, REDUCE, STOP."""
    content = b"\x80" + bytes([protocol]) + f"c{module}\n{name}\n(X\x01\0\0\0atR.".encode()
    with pytest.raises(WeightsError, match=f"asks for {module}.{name}"):
        written(content)


@some
@given(values, st.data())
def test_cut_off_weights_are_one_line(expected: dict[str, np.ndarray], data: st.DataObject) -> None:
    content = io.BytesIO()
    np.savez(content, **expected)
    whole = content.getvalue()
    # The directory of a zip file stands at its end.
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    with pytest.raises(WeightsError) as caught:
        written(cut)
    assert errors.one_line(caught.value)
