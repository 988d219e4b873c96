"""Pickles from elsewhere, read without running anything that they hold.

A pickle names functions for its reader to call. This reader calls those that rebuild NumPy arrays
and plain containers, and refuses all others by their names.
"""

from __future__ import annotations

import math
import pickle
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import IO, Any, ClassVar

import numpy as np

from alexnet_common.errors import one_line


def _encode(text: str, encoding: str) -> bytes:
    """How old pickles spell bytes."""
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"bytes in the encoding {encoding!r}")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """How old pickles spell bytes of length 0: a call of `bytes`, here without an argument."""
    return b""


def _from_buffer(buffer: Any, dtype: Any, shape: Any, order: str, axis_order: Any = None) -> Any:
    if axis_order is not None or not isinstance(dtype, np.dtype):
        raise pickle.UnpicklingError("an array with permuted axes or without a type")
    return np.frombuffer(buffer, dtype).reshape(shape, order=order)  # type: ignore[call-overload]


def _reconstruct(subtype: Any, shape: Any, kind: Any) -> np.ndarray:
    """How NumPy begins an array, which its state then fills: always an empty one."""
    if shape != (0,):
        raise pickle.UnpicklingError(f"an array that begins with the shape {str(shape)[:60]}")
    return np.zeros((0,), np.int8)


def _dtype(name: Any, *_: Any) -> np.dtype:
    """A type of numbers, short texts or objects: others can be of any size.

    Always a new one: its state may change the order of its bytes.
    """
    dtype: np.dtype = np.dtype(str(name))
    if dtype.kind not in "biufcOSU" or dtype.itemsize > _LONGEST_VALUE:
        raise pickle.UnpicklingError(f"values of the type {str(dtype)[:60]}")
    return np.dtype(dtype, False, True)


def _scalar(dtype: Any, data: Any) -> Any:
    if not isinstance(dtype, np.dtype) or dtype.hasobject:
        raise pickle.UnpicklingError("a number without a type")
    return np.frombuffer(data.encode("latin1") if isinstance(data, str) else data, dtype, 1)[0]


_LONGEST_VALUE = 1024
_PIECE = 1 << 20
# NumPy has moved them between modules. The class is only named, not called: it stands for itself.
_NUMPY = {
    "_reconstruct": _reconstruct,
    "scalar": _scalar,
    "_frombuffer": _from_buffer,
    "ndarray": "ndarray",
    "dtype": _dtype,
}
_PLAIN = {
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): _no_bytes,
    ("collections", "OrderedDict"): OrderedDict,
}


def _check_array(array: np.ndarray, state: Any) -> None:
    """NumPy itself believes what it is told: of objects fewer than the shape says end the process.

    Raises ValueError or TypeError.
    """
    shape, dtype, _, data = state[-4:]
    if array.size or not isinstance(dtype, np.dtype) or not isinstance(shape, tuple):
        raise ValueError("the state of an array is not one")
    expected = math.prod(shape) * (1 if dtype.hasobject else dtype.itemsize)
    kinds = (list,) if dtype.hasobject else (bytes, bytearray, str)
    if min(shape, default=0) < 0 or not isinstance(data, kinds) or len(data) != expected:
        raise ValueError(f"an array of shape {shape} has other data")


def _check_dtype(dtype: np.dtype, state: Any) -> None:
    """Of the state of a type only the order of bytes may be news; ValueError else."""
    version, _, *parts, size, _ = state[:7]
    flags = state[7] if len(state) > 7 else dtype.flags
    known = size in (-1, dtype.itemsize) and flags == dtype.flags and len(state) <= 8
    if version not in (1, 2, 3, 4) or parts != [None, None, None] or not known:
        raise ValueError(f"the type {dtype} has another state")


class Unpickler(pickle._Unpickler):
    """Rebuilds arrays and plain containers.

    It is the one that pickle has in Python: the one in C keeps what a pickle remembers in a table
    as long as the largest number that it names, so that 6 bytes ask for 64 GB.

    Args:
        file: the pickle.
        more: what else it may ask for, by (module, name).

    `load` raises pickle.UnpicklingError for anything else that the pickle asks for, naming it.
    """

    stack: list[Any]
    # What `load` finds: the next bytes of the file, and where values go.
    read: Callable[[int], bytes]
    append: Callable[[Any], None]

    def __init__(self, file: IO[bytes], more: Mapping[tuple[str, str], Any] | None = None):
        # latin1: arrays pickled by Python 2.
        super().__init__(file, encoding="latin1")
        self._allowed = {**_PLAIN, **(more or {})}
        self._of_pytorch = more is not None

    def load(self) -> Any:
        """What the pickle holds; EOFError: it is cut off."""
        try:
            return super().load()
        except (pickle.UnpicklingError, OSError):
            raise
        except EOFError as error:
            # Without a word where it ends between two opcodes.
            raise EOFError(str(error) or "the pickle ends before its last opcode") from error
        except Exception as error:
            # The words of an unknown opcode are its number, of an empty stack those of a list.
            what = f"{type(error).__name__}: {one_line(error)}"
            raise pickle.UnpicklingError(f"is damaged ({what})") from error

    def load_build(self) -> None:
        """Gives the object on the stack its state, where that fits."""
        state = self.stack.pop()
        built = self.stack[-1]
        if type(built) is np.ndarray:
            _check_array(built, state)
            built.__setstate__(state)
        elif isinstance(built, np.dtype):
            _check_dtype(built, state)
            built.__setstate__(state)  # type: ignore[attr-defined]
        elif not isinstance(built, OrderedDict):
            # A state dict's own state, the versions of its modules, is left out.
            raise pickle.UnpicklingError(f"a state of a {type(built).__name__}")

    def load_bytearray8(self) -> None:
        """Bytes that are in the file: pickle's own makes room for as many as it is told of."""
        left = int.from_bytes(self.read(8), "little")
        content = bytearray()
        while left:
            piece = self.read(min(left, _PIECE))
            if not piece:
                raise EOFError("bytes are missing")
            content += piece
            left -= len(piece)
        self.append(content)

    dispatch: ClassVar[dict[int, Any]] = {
        **pickle._Unpickler.dispatch,
        pickle.BUILD[0]: load_build,
        pickle.BYTEARRAY8[0]: load_bytearray8,
    }

    def find_class(self, module: str, name: str) -> Any:
        """What stands for `module.name`, if it is one of the harmless ones."""
        if (module, name) in self._allowed:
            return self._allowed[module, name]
        if module.split(".")[0] == "numpy" and name in _NUMPY:
            return _NUMPY[name]
        raise pickle.UnpicklingError(
            f"it asks for {module}.{name}, which weights do not need; nothing of it was run"
            # Whole models name the classes of whoever trained them.
            + "; save a state dict: torch.save(model.state_dict(), FILE)" * self._of_pytorch
        )
