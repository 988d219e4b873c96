"""Files of weights from any program: recognised by their content, read without running code."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from alexnet_common.errors import one_line
from alexnet_tf.weight_io import caffe, pickles, pytorch, torchvision
from alexnet_tf.weight_io.weights import Values, WeightsError

READABLE = "a .npz file of ours, a PyTorch state dict, or Caffe's blobs as .npy or .npz"

OWN, TORCHVISION, CAFFE, OTHER = "own", "torchvision", "caffe", "other"
_LAYOUT_WORDS = {
    OWN: "by our names",
    TORCHVISION: "torchvision's alexnet",
    CAFFE: "Caffe's bvlc_alexnet",
    OTHER: "of an unknown network",
}


@dataclass(frozen=True)
class WeightFile:
    """Arrays of a file, by its own names.

    Attributes:
        path: where it lies.
        container: what kind of file it is, in words.
        layout: "own", "torchvision", "caffe" or "other": whose names and order of dimensions.
        arrays: by name.
    """

    path: str
    container: str
    layout: str
    arrays: Values

    @property
    def description(self) -> str:
        """What the file is, in words."""
        whose = _LAYOUT_WORDS[self.layout]
        if self.layout == TORCHVISION and not torchvision.NAMES <= self.arrays.keys():
            whose = "named as torchvision's alexnet, but not all of it"
        return f"{self.container}, {whose}"

    def misfit(self, recipe: str, error: WeightsError) -> WeightsError:
        """The error that this file does not fit the network of `recipe`, for the reason `error`."""
        # In the file these shapes are others, which `weights show` lists.
        foreign = self.layout in (TORCHVISION, CAFFE) and " needs shape " in str(error)
        order = "; here shapes are (y, x, channel, filter) and (input, output)" * foreign
        return WeightsError(
            f"{self.path} ({self.description}) does not fit {recipe}: {error}{order}"
        )

    @property
    def outputs(self) -> int:
        """Classes of a network of another program; 0: not to be seen."""
        if self.layout == TORCHVISION:
            bias = self.arrays.get(torchvision.LAST_BIAS)
        else:
            bias = caffe.pairs(self.arrays).get(caffe.LAYERS[-1], {}).get(1)
        return 0 if bias is None or self.layout == OWN else int(bias.size)

    def values(self, input_scale: float) -> Values:
        """The weights by our names, in those of the towers or of merged columns.

        Args:
            input_scale: what the network that takes them multiplies mean-subtracted pixels with.

        Raises:
            WeightsError: arrays that are not numbers, or not of a network that can be converted.
        """
        for name, array in self.arrays.items():
            if array.dtype.kind not in "biuf":
                raise WeightsError(f"{name} has values of type {array.dtype}, not numbers")
        if self.layout == OTHER:
            raise WeightsError(
                f"{next(iter(self.arrays))!r} is not a name of ours, nor of torchvision's or "
                "Caffe's AlexNet"
            )
        if self.layout == TORCHVISION:
            return torchvision.convert(self.arrays, input_scale)
        return caffe.convert(self.arrays, input_scale) if self.layout == CAFFE else self.arrays


def read(path: str) -> WeightFile:
    """Reads a file of weights.

    Raises:
        WeightsError: not there, damaged, of another kind, or a pickle that asks for
            more than arrays; the message says what would be readable.
    """
    try:
        with open(path, "rb") as file:
            start = file.read(16)
            file.seek(0)
            container, arrays = _read(file, start)
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from error
    except OSError as error:
        raise WeightsError(f"{path}: {error.strerror or error}") from error
    except (zipfile.BadZipFile, EOFError) as error:
        raise WeightsError(f"{path}: is cut off or damaged: {one_line(error)}") from error
    except Exception as error:
        # Damaged bytes can make the readers of pickles and archives raise anything.
        raise WeightsError(f"{path}: cannot be read as weights: {one_line(error)}") from error
    return WeightFile(path, container, _layout(arrays), arrays)


def _read(file: IO[bytes], start: bytes) -> tuple[str, Values]:
    if not start:
        raise WeightsError("is empty")
    if start.startswith(b"PK"):
        with zipfile.ZipFile(file) as archive:
            if pytorch.find_pickle(archive.namelist()):
                return "PyTorch state dict", pytorch.read_zip(archive)
            return _read_npz(archive)
    if start.startswith(pytorch.LEGACY_START):
        return "PyTorch state dict (old format)", pytorch.read_legacy(file)
    if start.startswith(b"\x93NUMPY"):
        return ".npy file", _from_dict(_read_array(file))
    if start[:1] == b"\x80":
        return "pickle", _from_dict(pickles.Unpickler(file).load())
    raise WeightsError(f"is not a file of weights that can be read; readable are {READABLE}")


def _read_npz(archive: zipfile.ZipFile) -> tuple[str, Values]:
    names = archive.namelist()
    for name in names:
        if not name.endswith(".npy"):
            raise WeightsError(f"is a zip archive with {name!r}; readable are {READABLE}")
    is_checkpoint = "state.npy" in names and any(name.startswith("weights/") for name in names)
    if is_checkpoint:
        names = [name for name in names if name.startswith("weights/")]
    if not names:
        raise WeightsError(f"is a zip archive without arrays; readable are {READABLE}")
    # Whole, so that every array's CRC is checked.
    arrays = {
        name.removesuffix(".npy").removeprefix("weights/" if is_checkpoint else ""): _read_array(
            io.BytesIO(archive.read(name))
        )
        for name in names
    }
    return ("checkpoint" if is_checkpoint else ".npz file"), caffe.flatten(arrays)


def _read_array(file: IO[bytes]) -> Any:
    """An array in NumPy's format; of pickled objects only arrays and plain containers."""
    begin = file.tell()
    version = np.lib.format.read_magic(file)
    header = np.lib.format.read_array_header_1_0
    if version != (1, 0):
        header = np.lib.format.read_array_header_2_0
    _, _, dtype = header(file)
    if dtype.hasobject:
        return pickles.Unpickler(file).load()
    file.seek(begin)
    return np.lib.format.read_array(file, allow_pickle=False)


def _from_dict(content: Any) -> Values:
    if isinstance(content, np.ndarray) and content.dtype.hasobject and content.ndim == 0:
        content = content.item()
    if not isinstance(content, dict):
        raise WeightsError(f"is a {type(content).__name__}, not a dict of arrays by layer")
    arrays = caffe.flatten(content)
    if not arrays:
        raise WeightsError("is a dict without arrays")
    return arrays


def _layout(arrays: Values) -> str:
    if any(name.startswith("features.") for name in arrays):
        return TORCHVISION
    own = sum("/" in name and name.rpartition("/")[2].startswith(("kernel", "bias"))
              for name in arrays)  # fmt: skip
    if own < len(arrays) and set(caffe.LAYERS) & set(caffe.pairs(arrays)):
        return CAFFE
    return OWN if own else OTHER
