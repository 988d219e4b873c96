"""Reads the struct arrays of a MATLAB 5 .mat file, enough for `meta.mat` of the ILSVRC devkits.

Source: MathWorks, "MAT-File Format", level 5. Data is only ever read as numbers and texts.
"""

import struct
import zlib
from typing import Any

import numpy as np

_NUMBER_TYPES = {
    1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8",
}  # fmt: skip
_TEXT_TYPES = {16: "utf-8", 17: "utf-16", 18: "utf-32"}
_MATRIX, _COMPRESSED = 14, 15
_CELL, _STRUCT, _CHAR = 1, 2, 4
_NUMERIC_CLASSES = range(6, 16)
# All variables together, unpacked: the devkit's file is 300 kB; a bomb is stopped here, and at
# cells within cells within cells: the devkit's are two deep.
_MAX_BYTES = 1 << 25
_MAX_DEPTH = 8


class MatlabError(ValueError):
    """Not a MATLAB 5 file, damaged, or with content that is not read here."""


def read(data: bytes) -> dict[str, Any]:
    """Reads the variables of a .mat file.

    Returns:
        Name to value: numbers as arrays, texts as `str`, a struct array as a list of dicts in
        column order, a cell array as a list. Variables of other classes are left out.

    Raises:
        MatlabError: the file is not what it should be.
    """
    if len(data) < 128 or data[126:128] not in (b"IM", b"MI"):
        raise MatlabError("not a MATLAB 5 file")
    order = "<" if data[126:128] == b"IM" else ">"
    variables = {}
    left = _MAX_BYTES
    try:
        for kind, content in _elements(data[128:], order):
            if kind == _COMPRESSED:
                inflater = zlib.decompressobj()
                content = inflater.decompress(content, left + 1)
            left -= len(content)
            if left < 0:
                raise MatlabError(f"more than {_MAX_BYTES:,} bytes")
            inner = _elements(content, order) if kind == _COMPRESSED else [(kind, content)]
            for inner_kind, inner_content in inner:
                if inner_kind == _MATRIX:
                    name, value = _matrix(inner_content, order, 1)
                    variables[name] = value
    except MatlabError:
        raise
    except (struct.error, zlib.error, IndexError, TypeError, ValueError, OverflowError) as error:
        raise MatlabError(f"damaged ({error})") from error
    return variables


def _elements(data: bytes, order: str) -> list[tuple[int, bytes]]:
    """Splits bytes into (type, content); small elements keep content within their tag."""
    elements = []
    position = 0
    while position + 8 <= len(data):
        first, second = struct.unpack_from(order + "II", data, position)
        small = first >> 16
        if small:
            kind, size, begin, step = first & 0xFFFF, small, position + 4, 8
        else:
            kind, size, begin = first, second, position + 8
            # Compressed variables follow one another without padding.
            step = 8 + (size if kind == _COMPRESSED else -(-size // 8) * 8)
        if begin + size > len(data) or (small and size > 4):
            raise MatlabError("an element reaches beyond its container")
        elements.append((kind, data[begin : begin + size]))
        position += step
    return elements


def _matrix(data: bytes, order: str, depth: int) -> tuple[str, Any]:
    """One matrix element: (name, value)."""
    if depth > _MAX_DEPTH:
        raise MatlabError(f"cells within cells, more than {_MAX_DEPTH} deep")
    elements = _elements(data, order)
    if not elements:
        return "", np.zeros((0, 0))
    array_class = struct.unpack_from(order + "I", elements[0][1])[0] & 0xFF
    shape = _numbers(elements[1], order).astype(np.int64)
    name = elements[2][1].decode("ascii", "replace")
    count = int(np.prod(shape))
    rest = elements[3:]
    if array_class == _CHAR:
        return name, _text(rest[0], order)
    if array_class == _CELL:
        return name, [_matrix(content, order, depth + 1)[1] for _, content in rest]
    if array_class == _STRUCT:
        return name, _structs(rest, count, order, depth)
    if array_class in _NUMERIC_CLASSES:
        values = _numbers(rest[0], order)
        if values.size != count:
            raise MatlabError("a matrix with another number of values than its shape says")
        return name, values.reshape(shape, order="F")
    return name, None


def _structs(
    rest: list[tuple[int, bytes]], count: int, order: str, depth: int
) -> list[dict[str, Any]]:
    """A struct array: the fields of the first element, those of the second, ..."""
    length = int(_numbers(rest[0], order)[0])
    packed = rest[1][1]
    if not packed or not 0 < length <= 64 or len(packed) % length:
        raise MatlabError("damaged field names")
    names = [
        packed[begin : begin + length].split(b"\0")[0].decode("ascii", "replace")
        for begin in range(0, len(packed), length)
    ]
    values = [_matrix(content, order, depth + 1)[1] for _, content in rest[2:]]
    if len(values) != count * len(names):
        raise MatlabError("a struct array with another number of values than its shape says")
    return [
        dict(zip(names, values[row * len(names) :][: len(names)], strict=True))
        for row in range(count)
    ]


def _numbers(element: tuple[int, bytes], order: str) -> np.ndarray:
    kind, content = element
    if kind not in _NUMBER_TYPES:
        raise MatlabError(f"numbers of an unknown type {kind}")
    return np.frombuffer(content, order + _NUMBER_TYPES[kind])


def _text(element: tuple[int, bytes], order: str) -> str:
    kind, content = element
    if kind in _TEXT_TYPES:
        suffix = "" if kind == 16 else ("-le" if order == "<" else "-be")
        return content.decode(_TEXT_TYPES[kind] + suffix)
    return "".join(map(chr, _numbers(element, order)))
