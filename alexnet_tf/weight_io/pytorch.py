"""Files of torch.save, read without PyTorch: tensors by name.

Two formats: since version 1.6 a zip archive with the pickle `data.pkl` and one file per storage,
`data/KEY`; before that, pickles one after the other and behind them the storages. In both, the
pickle holds tensors as (storage, offset, sizes, strides in elements).
"""

from __future__ import annotations

import math
import pickle
import re
import zipfile
from collections.abc import Callable
from typing import IO, Any, NamedTuple

import numpy as np

from alexnet_tf.weight_io import pickles

# How a file of the old format begins: the pickle of a number.
LEGACY_START = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."

# NumPy has no bfloat16: the upper halves of float32 numbers, widened when they are read.
_BFLOAT16 = "bfloat16"
_STORAGES = {
    "DoubleStorage": "f8",
    "FloatStorage": "f4",
    "HalfStorage": "f2",
    "BFloat16Storage": _BFLOAT16,
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}
# An expanded tensor may be larger than its storage, but not without bounds.
_LARGEST_EXPANDED = 1 << 28
# Where training scripts keep a state dict beside other things.
_STATE_KEYS = ("state_dict", "model_state_dict", "model")


class _Storage(NamedTuple):
    """Elements of one type; `first` where it is a view of another."""

    key: str
    dtype: str
    first: int = 0


class _Tensor(NamedTuple):
    """A tensor whose storage has not been read yet."""

    storage: _Storage
    offset: int
    sizes: tuple[int, ...]
    strides: tuple[int, ...]


def _rebuild_tensor(storage: _Storage, offset: int, sizes: Any, strides: Any, *_: Any) -> _Tensor:
    return _Tensor(storage, offset, tuple(sizes), tuple(strides))


def _rebuild_parameter(tensor: _Tensor, *_: Any) -> _Tensor:
    return tensor


class _Unpickler(pickles.Unpickler):
    def __init__(self, file: IO[bytes]):
        allowed: dict[tuple[str, str], Any] = {
            ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
            ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
            ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
            ("torch", "Size"): tuple,
        }
        super().__init__(file, allowed | {("torch", name): name for name in _STORAGES})
        self.dtypes: dict[str, str] = {}

    def persistent_load(self, reference: Any) -> _Storage:
        """The storage that a tensor refers to."""
        if not (isinstance(reference, tuple) and len(reference) in (5, 6)):
            raise pickle.UnpicklingError(f"an unknown reference {str(reference)[:60]!r}")
        kind, storage_type, key, _, _, *view = reference
        if kind != "storage" or storage_type not in _STORAGES:
            raise pickle.UnpicklingError(f"an unknown reference to a {str(kind)[:60]!r}")
        first = int(view[0][1]) if view and view[0] else 0
        self.dtypes[str(key)] = _STORAGES[storage_type]
        return _Storage(str(key), _STORAGES[storage_type], first)


def find_pickle(names: list[str]) -> str:
    """Which file of a zip archive is torch.save's pickle; empty: none."""
    return next((name for name in names if re.fullmatch(r"([^/]+/)?data\.pkl", name)), "")


def read_zip(archive: zipfile.ZipFile) -> dict[str, np.ndarray]:
    """Tensors of the present format by name, dtypes as they are (bfloat16 as float32).

    Raises whatever reading damaged bytes raises, UnpicklingError for what a state dict does not
    have.
    """
    name = find_pickle(archive.namelist())
    root = name.removesuffix("data.pkl")
    order = "<"
    if f"{root}byteorder" in archive.namelist():
        order = {b"little": "<", b"big": ">"}[archive.read(f"{root}byteorder")]
    with archive.open(name) as file:
        content = _Unpickler(file).load()

    def read(storage: _Storage) -> bytes:
        return archive.read(f"{root}data/{storage.key}")

    return _arrays(content, read, order)


def read_legacy(file: IO[bytes]) -> dict[str, np.ndarray]:
    """Tensors of the format before version 1.6, as `read_zip` returns them."""
    _, protocol, system = (pickles.Unpickler(file).load() for _ in range(3))
    if protocol != 1001:
        raise pickle.UnpicklingError(f"protocol {protocol!r} of torch.save")
    unpickler = _Unpickler(file)
    content = unpickler.load()
    data = {}
    for key in pickles.Unpickler(file).load():
        count = int.from_bytes(file.read(8), "little")
        size = count * _dtype(unpickler.dtypes[key], "<").itemsize
        data[key] = file.read(size)
        if len(data[key]) < size:
            raise EOFError(f"{size:,} bytes of numbers are announced, {len(data[key]):,} are there")

    def read(storage: _Storage) -> bytes:
        return data[storage.key]

    return _arrays(content, read, "<" if system["little_endian"] else ">")


def _state(content: Any) -> dict[str, _Tensor]:
    """The tensors of a state dict, or of one among a training script's other things."""
    if not isinstance(content, dict):
        raise pickle.UnpicklingError(f"is a {type(content).__name__}, not a state dict")
    for part in (*(content.get(key) for key in _STATE_KEYS), content):
        tensors = part.items() if isinstance(part, dict) else ()
        named = {str(name): value for name, value in tensors if isinstance(value, _Tensor)}
        if named:
            # DataParallel names what it wraps "module".
            return {re.sub(r"(^|\.)module\.", r"\1", name): t for name, t in named.items()}
    raise pickle.UnpicklingError("has no tensors by name, as a state dict does")


def _dtype(name: str, order: str) -> np.dtype:
    return np.dtype(order + ("u2" if name == _BFLOAT16 else name))


def _arrays(content: Any, read: Callable[[_Storage], bytes], order: str) -> dict[str, np.ndarray]:
    flat: dict[str, np.ndarray] = {}
    result = {}
    for name, tensor in _state(content).items():
        storage = tensor.storage
        if storage.key not in flat:
            values = np.frombuffer(read(storage), _dtype(storage.dtype, order))
            if storage.dtype == _BFLOAT16:
                values = (values.astype(np.uint32) << 16).view(np.float32)
            flat[storage.key] = values
        result[name] = _strided(name, flat[storage.key], tensor)
    return result


def _strided(name: str, flat: np.ndarray, tensor: _Tensor) -> np.ndarray:
    """The tensor out of its storage; raises ValueError where it would read beyond it."""
    sizes, strides = tensor.sizes, tensor.strides
    first = tensor.storage.first + tensor.offset
    whole = all(isinstance(n, int) and n >= 0 for n in (first, *sizes, *strides))
    if not whole or len(sizes) != len(strides):
        raise ValueError(f"{name} has sizes {sizes} and strides {strides}")
    count = math.prod(sizes)
    last = first + sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True))
    if count and (last >= flat.size or count > max(flat.size, _LARGEST_EXPANDED)):
        raise ValueError(f"{name} needs {last + 1:,} values of a storage of {flat.size:,}")
    native = flat.astype(flat.dtype.newbyteorder("="), copy=False)
    if not count:
        return np.zeros(sizes, native.dtype)
    steps = [stride * native.itemsize for stride in strides]
    return np.lib.stride_tricks.as_strided(native[first:], sizes, steps).copy()
