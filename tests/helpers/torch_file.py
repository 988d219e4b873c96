"""Files as torch.save writes them, made without PyTorch."""

import collections
import io
import pickle
import sys
import types
import zipfile

import numpy as np

MAGIC = 0x1950A86A20F9469CFC6C
TYPES = {
    np.dtype("f4"): "FloatStorage",
    np.dtype("f2"): "HalfStorage",
    np.dtype("i8"): "LongStorage",
    np.dtype("u2"): "BFloat16Storage",
}


class Tensor:
    """What torch.save makes of a tensor: `values[offset:]` in steps of `strides`."""

    def __init__(self, values, sizes, strides, offset=0):
        self.storage, self.arguments = Storage(values), (offset, sizes, strides)

    def __reduce__(self):
        rebuild = sys.modules["torch._utils"]._rebuild_tensor_v2
        return rebuild, (self.storage, *self.arguments, False, collections.OrderedDict())


class Storage:
    def __init__(self, values):
        self.values = values


class Pickler(pickle.Pickler):
    def __init__(self, file, legacy):
        super().__init__(file, 2)
        self.legacy, self.storages = legacy, {}

    def persistent_id(self, value):
        if not isinstance(value, Storage):
            return None
        key = str(id(value.values))
        self.storages[key] = value.values
        kind = getattr(sys.modules["torch"], TYPES[value.values.dtype])
        reference = ("storage", kind, key, "cpu", len(value.values))
        return (*reference, None) if self.legacy else reference


def save_zip(path, content):
    data = io.BytesIO()
    pickler = Pickler(data, legacy=False)
    pickler.dump(content)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("name/data.pkl", data.getvalue())
        archive.writestr("name/byteorder", "little")
        for key, values in pickler.storages.items():
            archive.writestr(f"name/data/{key}", values.tobytes())


def save_legacy(path, content):
    with open(path, "wb") as file:
        sizes = {"short": 2, "int": 4, "long": 4}
        system = {"protocol_version": 1001, "little_endian": True, "type_sizes": sizes}
        for value in (MAGIC, 1001, system):
            pickle.dump(value, file, protocol=2)
        pickler = Pickler(file, legacy=True)
        pickler.dump(content)
        pickle.dump(list(pickler.storages), file, protocol=2)
        for values in pickler.storages.values():
            file.write(len(values).to_bytes(8, "little") + values.tobytes())


def stand_in(monkeypatch):
    """Puts a stand-in for the module torch in its place: writing needs one, reading does not."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for name in TYPES.values():
        setattr(torch, name, type(name, (), {"__module__": "torch", "__qualname__": name}))

    def _rebuild_tensor_v2(*_):
        raise AssertionError("not to be called")

    _rebuild_tensor_v2.__module__ = "torch._utils"
    _rebuild_tensor_v2.__qualname__ = "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = _rebuild_tensor_v2
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)


def tensor(values):
    """A NumPy array as a tensor with a storage of its own."""
    strides = [step // values.itemsize for step in np.ascontiguousarray(values).strides]
    return Tensor(np.ascontiguousarray(values).reshape(-1), values.shape, tuple(strides))
