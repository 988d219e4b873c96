"""Files of weights: kinds told apart by content, PyTorch's two formats, pickles that want more."""

import collections
import io
import os
import pickle
import random
import subprocess
import tracemalloc
import zipfile

import numpy as np
import pytest

from alexnet_tf.weight_io import pickles, weight_files
from alexnet_tf.weight_io.weights import WeightsError
from tests.helpers.torch_file import Tensor, save_legacy, save_zip


def state():
    """A state dict, and what it holds in NumPy's words."""
    rng = np.random.default_rng(0)
    shared = rng.normal(size=24).astype("f4")
    half, whole = rng.normal(size=6).astype("f2"), np.arange(5)
    # 1, -2 and 0.15625 in bfloat16: sign, 8 bits of exponent, 7 of fraction.
    short = np.array([0x3F80, 0xC000, 0x3E20], "u2")
    tensors = {
        "whole": Tensor(shared, (4, 6), (6, 1)),
        "transposed": Tensor(shared, (6, 4), (1, 6)),
        "part": Tensor(shared, (2, 3), (12, 2), offset=7),
        "expanded": Tensor(shared, (3, 2), (0, 1)),
        "number": Tensor(shared, (), (), offset=23),
        "empty": Tensor(shared, (0, 3), (3, 1)),
        "half": Tensor(half, (2, 3), (3, 1)),
        "long": Tensor(whole, (5,), (1,)),
        "bfloat16": Tensor(short, (3,), (1,)),
    }
    matrix = shared.reshape(4, 6)
    expected = {
        "whole": matrix,
        "transposed": matrix.T,
        "part": np.array([[shared[7 + 12 * i + 2 * j] for j in range(3)] for i in range(2)]),
        "expanded": np.stack([shared[:2]] * 3),
        "number": shared[23],
        "empty": np.zeros((0, 3), "f4"),
        "half": half.reshape(2, 3),
        "long": whole,
        "bfloat16": np.array([1, -2, 0.15625], "f4"),
    }
    return collections.OrderedDict(tensors), expected


def assert_same(found, expected):
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert found[name].dtype == value.dtype and found[name].shape == value.shape, name
        assert found[name].tobytes() == np.ascontiguousarray(value).tobytes(), name


@pytest.mark.parametrize("save", [save_zip, save_legacy])
def test_both_formats_of_pytorch(no_torch, tmp_path, save):
    tensors, expected = state()
    # Its name does not say what it is.
    path = str(tmp_path / "weights.npz")
    save(path, tensors)
    found = weight_files.read(path)
    assert found.container.startswith("PyTorch state dict") and found.layout == "other"
    assert_same(found.arrays, expected)
    with pytest.raises(WeightsError, match="'whole' is not a name of ours"):
        found.values(1.0)
    # Among a training script's other things, as DataParallel names it.
    other = Tensor(np.ones(3, "f4"), (3,), (1,))
    wrapped = {f"module.{name}": tensor for name, tensor in tensors.items()}
    save(path, {"epoch": 3, "momentum": other, "state_dict": wrapped, "note": "best"})
    assert_same(weight_files.read(path).arrays, expected)


@pytest.mark.parametrize("save", [save_zip, save_legacy])
@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        ((5, 5), "needs 25 values of a storage of 24"),
        ((-1, 5), "sizes"),
        ((1 << 40, 1 << 40), "needs"),
    ],
)
def test_a_tensor_cannot_read_beyond_its_storage(no_torch, tmp_path, save, tensor, message):
    path = str(tmp_path / "bad.pth")
    save(path, {"a": Tensor(np.zeros(24, "f4"), tensor, (tensor[1], 1))})
    with pytest.raises(WeightsError, match=message):
        weight_files.read(path)


def test_an_expanded_tensor_cannot_fill_the_memory(no_torch, tmp_path):
    path = str(tmp_path / "bad.pth")
    save_zip(path, {"a": Tensor(np.zeros(1, "f4"), (1 << 20, 1 << 20), (0, 0))})
    with pytest.raises(WeightsError, match="of a storage of 1"):
        weight_files.read(path)


def test_arrays_of_the_newest_protocol_are_read_in_pieces(tmp_path):
    """BYTEARRAY8, of more than one piece."""
    array = np.arange(700_000, dtype="f4")
    for file, protocol in (("a.pkl", 5), ("b.pkl", 4)):
        (tmp_path / file).write_bytes(pickle.dumps({"conv1": array}, protocol=protocol))
    with open(tmp_path / "a.pkl", "rb") as five, open(tmp_path / "b.pkl", "rb") as four:
        found = [pickles.Unpickler(file).load()["conv1"] for file in (five, four)]
    assert np.array_equal(found[0], array) and np.array_equal(found[1], array)
    assert b"\x96" in (tmp_path / "a.pkl").read_bytes()[:300]


class Harm:
    """Pickled, it asks its reader to make a folder."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def test_pickles_that_want_to_run_code_are_refused(no_torch, tmp_path):
    harm = Harm(tmp_path / "harm")
    np.save(tmp_path / "a.npy", {"conv1": harm}, allow_pickle=True)
    np.savez(tmp_path / "b.npz", conv1=np.array([harm, 1], object))
    (tmp_path / "c.pkl").write_bytes(pickle.dumps({"conv1": harm}))
    save_zip(tmp_path / "d.pth", {"conv1": harm})
    save_legacy(tmp_path / "e.pth", {"conv1": harm})
    (tmp_path / "f.pkl").write_bytes(b"\x80\x02cos\nenviron\n.")
    # A class of NumPy's that runs what it is given is none of those that rebuild arrays.
    (tmp_path / "g.pkl").write_bytes(b"\x80\x02cnumpy.testing._private.utils\nrunstring\n.")
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(WeightsError, match=r"it asks for (posix|os|numpy)\..*nothing of it"):
            weight_files.read(str(path))
    assert not (tmp_path / "harm").exists()


def bytes_wanted(content, tmp_path):
    """What is allocated, at most, until a pickle is refused, and why it is."""
    (tmp_path / "bomb").write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(WeightsError) as caught:
            weight_files.read(str(tmp_path / "bomb"))
        return tracemalloc.get_traced_memory()[1], str(caught.value)
    finally:
        tracemalloc.stop()


def test_a_few_bytes_cannot_fill_the_memory(tmp_path):
    """By hand, of pickle's opcodes: each asks for 64 MB or more, and as easily for 64 GB."""
    start = b"\x80\x02}"
    # LONG_BINPUT: what is on the stack is to be remembered under this number.
    size, _ = bytes_wanted(start + b"r" + (1 << 23).to_bytes(4, "little") + b".", tmp_path)
    assert size < 1 << 22
    shape = b"J" + (1 << 26).to_bytes(4, "little") + b"\x85"
    # An array of that shape, by NumPy's own function and by its class.
    begin = b"cnumpy._core.multiarray\n_reconstruct\n(cnumpy\nndarray\n" + shape + b"U\x01btR."
    size, message = bytes_wanted(start + begin, tmp_path)
    assert size < 1 << 22 and "an array that begins with the shape" in message
    # BYTEARRAY8: so many bytes follow.
    follow = b"\x96" + (1 << 26).to_bytes(8, "little") + b"four."
    size, message = bytes_wanted(start + follow, tmp_path)
    assert size < 1 << 22 and "bytes are missing" in message
    size, _ = bytes_wanted(start + b"cnumpy\nndarray\n" + shape + b"\x85R.", tmp_path)
    assert size < 1 << 22
    # A type whose values have that many bytes.
    size, message = bytes_wanted(start + b"cnumpy\ndtype\n(U\x09S67108864tR.", tmp_path)
    assert size < 1 << 22 and "S67108864" in message


def npy_of_objects(content):
    """A .npy file of one object, by NumPy's own header, with another pickle behind it."""
    file = io.BytesIO()
    header = {"descr": "|O", "fortran_order": False, "shape": ()}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + content


class Rebuilt:
    """Pickled as NumPy's arrays and types are, with a state of one's own."""

    def __init__(self, like, state):
        self.reduced = (*like.__reduce__()[:2], state)

    def __reduce__(self):
        return self.reduced


OBJECTS, SINGLE = np.dtype("O"), np.dtype("f4")


@pytest.mark.parametrize(
    "state",
    [
        # Fewer objects than the shape says: NumPy would read beyond the list.
        (1, (), OBJECTS, False, []),
        (1, (3,), OBJECTS, False, [1]),
        (1, (-1,), OBJECTS, False, []),
        (1, (2,), OBJECTS, False, b"12345678" * 2),
        (1, (2,), SINGLE, False, b"1234"),
        (1, (1,), "f4", False, b"1234"),
        (1, (1,), Rebuilt(SINGLE, (3, "<", None, None, None, 1 << 30, 4, 0)), False, b"1234"),
        # The mark of references, on numbers.
        (1, (1,), Rebuilt(SINGLE, (3, "<", None, None, None, -1, -1, 63)), False, b"1234"),
        (
            1,
            (1,),
            Rebuilt(SINGLE, (3, "<", None, ("a",), {"a": (SINGLE, 0)}, 4, 4)),
            False,
            b"1234",
        ),
    ],
)
def test_states_that_numpy_would_believe_are_refused(tmp_path, state):
    content = pickle.dumps({"conv1/kernel": Rebuilt(np.zeros(1), state)}, 4)
    for number, data in enumerate((content, npy_of_objects(content))):
        path = tmp_path / str(number)
        path.write_bytes(data)
        with pytest.raises(WeightsError, match="is damaged|values of the type"):
            weight_files.read(str(path))


def test_the_order_of_bytes_of_a_file_is_its_own(tmp_path):
    """A pickle may change the type that it names; the program's own types are others."""
    swapped = Rebuilt(SINGLE, (3, ">", None, None, None, -1, -1, 0))
    array = Rebuilt(np.zeros(1), (1, (1,), swapped, False, b"\x3f\x80\0\0"))
    (tmp_path / "swapped").write_bytes(pickle.dumps({"conv1/kernel": array}, 4))
    found = weight_files.read(str(tmp_path / "swapped")).arrays["conv1/kernel"]
    # NumPy keeps the number, not the order.
    assert found.tolist() == [1.0]
    assert np.dtype("f4").str == "<f4"


@pytest.mark.parametrize("model", [b"torch.nn.modules.container\nSequential", b"__main__\nNet"])
def test_a_whole_model_is_told_from_its_state_dict(no_torch, tmp_path, model):
    path = tmp_path / "model.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/data.pkl", b"\x80\x02c" + model + b"\n.")
    with pytest.raises(WeightsError, match=r"save a state dict: torch.save\(model.state_dict"):
        weight_files.read(str(path))


@pytest.mark.parametrize(
    ("names", "words"),
    [
        # The state dicts of torch.nn.Linear and of the beginnings of torchvision's vgg11.
        (["weight", "bias"], "of an unknown network"),
        (["features.0.weight", "features.0.bias"], "torchvision's alexnet, but not all of it"),
        (["conv1/kernel", "conv1/bias"], "by our names"),
    ],
)
def test_nothing_is_called_what_it_is_not(tmp_path, names, words):
    np.savez(tmp_path / "x.npz", **{name: np.zeros(3) for name in names})
    assert weight_files.read(str(tmp_path / "x.npz")).description.endswith(words)


def test_shapes_that_are_not_the_files_own_are_said_to_be_turned():
    """`weights show` lists fc6 of torchvision as 4096 x 9216, and ours is 9216 x 4096."""
    wrong = WeightsError("fc6/kernel needs shape [9216, 4096], and the file has shape [4096, 9216]")
    foreign = weight_files.WeightFile("x.pth", "PyTorch state dict", weight_files.TORCHVISION, {})
    assert "; here shapes are (y, x, channel, filter)" in str(foreign.misfit("demo", wrong))
    ours = weight_files.WeightFile("x.npz", ".npz file", weight_files.OWN, {})
    assert (
        str(ours.misfit("demo", wrong))
        == f"x.npz (.npz file, by our names) does not fit demo: {wrong}"
    )
    assert "here shapes" not in str(foreign.misfit("demo", WeightsError("no 'classifier.6.bias'")))


def test_what_is_no_file_of_weights(tmp_path):
    cases = {
        "empty": (b"", "is empty"),
        "text": (b"hello", "readable are a .npz file"),
        "hdf5": (b"\x89HDF\r\n\x1a\n", "readable are"),
        "list": (pickle.dumps([1]), "is a list, not a dict"),
        "none": (pickle.dumps({"a": 1}), "without arrays"),
        "zip": (b"PK\x05\x06" + bytes(18), "without arrays"),
    }
    for name, (data, message) in cases.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(WeightsError, match=f"{name}: .*{message}"):
            weight_files.read(str(tmp_path / name))
    with pytest.raises(WeightsError, match="nothing: No such file"):
        weight_files.read(str(tmp_path / "nothing"))


def test_arrays_that_are_no_numbers(tmp_path):
    path = str(tmp_path / "text.npz")
    np.savez(path, **{"conv1/kernel": np.array(["a"]), "conv1/bias": np.zeros(1)})
    with pytest.raises(WeightsError, match="conv1/kernel has values of type <U1, not numbers"):
        weight_files.read(path).values(1.0)


@pytest.mark.parametrize("kind", ["zip", "legacy", "npz", "npy"])
def test_cut_or_altered_files_are_one_error_or_other_numbers(no_torch, tmp_path, kind):
    tensors, expected = state()
    path = tmp_path / "file"
    arrays = {"conv1_0": expected["whole"], "conv1_1": expected["half"]}
    buffer = io.BytesIO()
    if kind == "npz":
        np.savez(buffer, **arrays)
        path.write_bytes(buffer.getvalue())
    elif kind == "npy":
        np.save(buffer, arrays, allow_pickle=True)
        path.write_bytes(buffer.getvalue())
    else:
        {"zip": save_zip, "legacy": save_legacy}[kind](path, tensors)
    whole = path.read_bytes()
    draw = random.Random(0)
    for length in draw.sample(range(1, len(whole)), 100):
        path.write_bytes(whole[:length])
        # Whatever is missing is said: readers of pickles have errors without words.
        with pytest.raises(WeightsError, match=r"^[^\n]*file: [^\n]*[^\s:(]$"):
            weight_files.read(str(path))
    for _ in range(200):
        damaged = bytearray(whole)
        damaged[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        path.write_bytes(damaged)
        try:
            found = weight_files.read(str(path)).arrays
        except WeightsError:
            continue
        # Zip archives have a CRC of each part: what is read of them is right, but an altered
        # directory may leave out parts, which the network then misses.
        if kind == "npz":
            assert_same(found, {name: arrays[name] for name in found})


TORCH = """
import collections, sys
import numpy as np, torch

folder = sys.argv[1]
torch.manual_seed(0)
base = torch.randn(6, 4)
state = collections.OrderedDict(
    float32=torch.randn(3, 4, 5), float16=torch.randn(7).half(),
    bfloat16=torch.randn(9, 2).bfloat16(),
    float64=torch.randn(2, 2).double(), int64=torch.arange(5), bool=torch.tensor([True, False]),
    transposed=torch.randn(4, 6).t(),
    base=base, row=base[2], column=base[:, 1], steps=base[1::2, ::2],
    expanded=torch.randn(1, 3).expand(5, 3), number=torch.tensor(3.5), empty=torch.zeros(0, 4),
    parameter=torch.nn.Parameter(torch.randn(3)),
    channels_last=torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last),
)
for name, content in {
    "plain": state,
    "training": {"epoch": 3, "arch": "alexnet", "loss": torch.tensor(1.5),
                 "state_dict": {"module." + name: value for name, value in state.items()},
                 "optimizer": {"state": {0: {"momentum_buffer": torch.randn(100).half()}}}},
}.items():
    torch.save(content, f"{folder}/{name}_zip.pth")
    torch.save(content, f"{folder}/{name}_legacy.pth", _use_new_zipfile_serialization=False)
model = torch.nn.Sequential(torch.nn.Linear(2, 3))
torch.save(model, f"{folder}/model.pth")
truth = {k: v.float() if v.dtype == torch.bfloat16 else v for k, v in state.items()}
np.savez(f"{folder}/truth.npz", **{name: value.detach().numpy() for name, value in truth.items()})
"""


def test_every_bit_of_what_pytorch_saves(torch_python, tmp_path):
    subprocess.run([torch_python, "-c", TORCH, str(tmp_path)], check=True)
    with np.load(tmp_path / "truth.npz") as truth:
        expected = dict(truth)
    for content in ("plain", "training"):
        for form in ("zip", "legacy"):
            found = weight_files.read(str(tmp_path / f"{content}_{form}.pth"))
            assert_same(found.arrays, expected)
    with pytest.raises(WeightsError, match="torch.nn.modules.container.Sequential.*state_dict"):
        weight_files.read(str(tmp_path / "model.pth"))
