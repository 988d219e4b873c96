"""Pickles from elsewhere, read without running anything that they hold.

A pickle names functions for its reader to call. This reader calls those that rebuild NumPy arrays
and plain containers, and refuses all others by their names.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Mapping
from typing import IO, Any

import numpy as np


def _encode(text: str, encoding: str) -> bytes:
    """How old pickles spell bytes."""
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"bytes in the encoding {encoding!r}")
    return text.encode("latin1")


def _from_buffer(buffer: Any, dtype: Any, shape: Any, order: str, axis_order: Any = None) -> Any:
    if axis_order is not None:
        raise pickle.UnpicklingError("an array with permuted axes")
    return np.frombuffer(buffer, dtype).reshape(shape, order=order)  # type: ignore[call-overload]


# NumPy has moved them between modules: taken from what it writes itself.
_NUMPY = {
    "_reconstruct": np.zeros(1).__reduce__()[0],
    "scalar": np.float64(0).__reduce__()[0],
    "_frombuffer": _from_buffer,
    "ndarray": np.ndarray,
    "dtype": np.dtype,
}
_PLAIN = {
    ("_codecs", "encode"): _encode,
    ("collections", "OrderedDict"): OrderedDict,
}


class Unpickler(pickle.Unpickler):
    """Rebuilds arrays and plain containers.

    Args:
        file: the pickle.
        more: what else it may ask for, by (module, name).

    `load` raises pickle.UnpicklingError for anything else that the pickle asks for, naming it.
    """

    def __init__(self, file: IO[bytes], more: Mapping[tuple[str, str], Any] | None = None):
        # latin1: arrays pickled by Python 2.
        super().__init__(file, encoding="latin1")
        self._allowed = {**_PLAIN, **(more or {})}

    def find_class(self, module: str, name: str) -> Any:
        """What stands for `module.name`, if it is one of the harmless ones."""
        if (module, name) in self._allowed:
            return self._allowed[module, name]
        if module.split(".")[0] == "numpy" and name in _NUMPY:
            return _NUMPY[name]
        raise pickle.UnpicklingError(
            f"it asks for {module}.{name}, which weights do not need; nothing of it was run"
            + (
                "; save a state dict: torch.save(model.state_dict(), FILE)"
                * (module[:5] == "torch")
            )
        )
