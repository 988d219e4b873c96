"""TensorFlow Serving's JSON: requests to arrays, arrays to answers, and what a model is.

Source: TensorFlow Serving's page "RESTful API". Rows: `{"instances": [...]}` is answered with
`{"predictions": [...]}`; columns: `{"inputs": ...}` with `{"outputs": ...}`. Bytes are written
`{"b64": "..."}`.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

DEFAULT_SIGNATURE = "serving_default"
METHOD = "tensorflow/serving/predict"
# Names of text outputs with this end are bytes, and are answered as base64.
_BYTES_SUFFIX = "_bytes"
_DTYPES = {
    "float16": "DT_HALF", "bfloat16": "DT_BFLOAT16", "float32": "DT_FLOAT", "float64": "DT_DOUBLE",
    "string": "DT_STRING", "bool": "DT_BOOL", "uint8": "DT_UINT8", "int8": "DT_INT8",
    "uint16": "DT_UINT16", "int16": "DT_INT16", "uint32": "DT_UINT32", "int32": "DT_INT32",
    "uint64": "DT_UINT64", "int64": "DT_INT64",
}  # fmt: skip


class RequestError(Exception):
    """A request that cannot be answered; the message goes to the client."""


@dataclasses.dataclass(frozen=True)
class TensorInfo:
    """Type and shape of an input or output; None: any size, or a shape that is not known."""

    dtype: str
    shape: tuple[int | None, ...] | None


@dataclasses.dataclass(frozen=True)
class Signature:
    """What a signature takes and returns, by name."""

    inputs: Mapping[str, TensorInfo]
    outputs: Mapping[str, TensorInfo]


@dataclasses.dataclass(frozen=True)
class Request:
    """A request that was read.

    Attributes:
        signature: its name.
        inputs: arrays by name; of texts `object` arrays of bytes.
        in_rows: whether it came as `instances`.
    """

    signature: str
    inputs: Mapping[str, np.ndarray]
    in_rows: bool


def signature_of(function: Any) -> Signature:
    """The signature of a function of a loaded SavedModel."""

    def infos(specs: Mapping[str, Any]) -> dict[str, TensorInfo]:
        return {name: _info(spec) for name, spec in sorted(specs.items())}

    return Signature(
        infos(function.structured_input_signature[1]), infos(function.structured_outputs)
    )


def read(body: bytes, signatures: Mapping[str, Signature]) -> Request:
    """Reads the body of a `:predict` request.

    Raises:
        RequestError: it is not such a request; says what is wrong.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"JSON Parse error: {error}") from error
    if not isinstance(document, dict):
        raise RequestError("the request must be a JSON object with 'instances' or 'inputs'")
    name = document.get("signature_name") or DEFAULT_SIGNATURE
    if not isinstance(name, str) or name not in signatures:
        there = ", ".join(sorted(signatures))
        raise RequestError(f"Serving signature name: {name!r} not found; there are {there}")
    if ("instances" in document) == ("inputs" in document):
        raise RequestError("the request needs one of 'instances' (rows) and 'inputs' (columns)")
    infos = signatures[name].inputs
    try:
        if "instances" in document:
            values = _columns_of_rows(document["instances"], infos)
        else:
            values = _columns(document["inputs"], infos)
        arrays = {
            input_name: _array(input_name, values[input_name], info)
            for input_name, info in infos.items()
        }
    except RecursionError as error:
        raise RequestError("lists are nested too deeply") from error
    in_rows = "instances" in document
    if in_rows and len({len(array) for array in arrays.values()}) != 1:
        raise RequestError("inputs of different numbers of rows")
    return Request(name, arrays, in_rows)


def answer(outputs: Mapping[str, np.ndarray], in_rows: bool) -> dict[str, Any]:
    """The answer to a request: rows as `predictions`, columns as `outputs`.

    Raises:
        RequestError: rows are wanted of outputs that have none.
    """
    columns = {name: _values(name, array) for name, array in sorted(outputs.items())}
    if not in_rows:
        return {"outputs": next(iter(columns.values())) if len(columns) == 1 else columns}
    if len({array.shape[:1] for array in outputs.values()}) != 1 or any(
        array.ndim == 0 for array in outputs.values()
    ):
        raise RequestError("the outputs have no common rows: ask with 'inputs' in place of rows")
    if len(columns) == 1:
        return {"predictions": next(iter(columns.values()))}
    rows = zip(*columns.values(), strict=True)
    return {"predictions": [dict(zip(columns, row, strict=True)) for row in rows]}


def status(version: int) -> dict[str, Any]:
    """The answer to `GET /v1/models/NAME`."""
    state = {"error_code": "OK", "error_message": ""}
    one = {"version": str(version), "state": "AVAILABLE", "status": state}
    return {"model_version_status": [one]}


def metadata(name: str, version: int, signatures: Mapping[str, Signature]) -> dict[str, Any]:
    """The answer to `GET /v1/models/NAME/metadata`."""
    definitions = {
        key: {
            "inputs": {n: _described(key, n, info) for n, info in signature.inputs.items()},
            "outputs": {n: _described(key, n, info) for n, info in signature.outputs.items()},
            "method_name": METHOD,
        }
        for key, signature in sorted(signatures.items())
    }
    return {
        "model_spec": {"name": name, "signature_name": "", "version": str(version)},
        "metadata": {"signature_def": {"signature_def": definitions}},
    }


def _info(spec: Any) -> TensorInfo:
    shape = None if spec.shape.rank is None else tuple(spec.shape.as_list())
    return TensorInfo(spec.dtype.name, shape)


def _described(signature: str, name: str, info: TensorInfo) -> dict[str, Any]:
    sizes = [-1 if size is None else size for size in info.shape or ()]
    shape = {
        "dim": [{"size": str(size), "name": ""} for size in sizes],
        "unknown_rank": info.shape is None,
    }
    return {"dtype": _DTYPES[info.dtype], "tensor_shape": shape, "name": f"{signature}_{name}:0"}


def _is_bytes(value: Any) -> bool:
    return isinstance(value, dict) and set(value) == {"b64"}


def _columns_of_rows(rows: Any, infos: Mapping[str, TensorInfo]) -> dict[str, list[Any]]:
    if not isinstance(rows, list) or not rows:
        raise RequestError("'instances' must be a list of at least one row")
    named = [isinstance(row, dict) and not _is_bytes(row) for row in rows]
    if not any(named):
        return {_only(infos): rows}
    if not all(named):
        raise RequestError("'instances' must be all objects or all plain values")
    for row in rows:
        _check_names(row, infos)
    return {name: [row[name] for row in rows] for name in infos}


def _columns(inputs: Any, infos: Mapping[str, TensorInfo]) -> dict[str, Any]:
    if isinstance(inputs, dict) and not _is_bytes(inputs):
        _check_names(inputs, infos)
        return inputs
    return {_only(infos): inputs}


def _only(infos: Mapping[str, TensorInfo]) -> str:
    if len(infos) != 1:
        raise RequestError(f"the signature has several inputs, to be named: {', '.join(infos)}")
    return next(iter(infos))


def _check_names(values: Mapping[str, Any], infos: Mapping[str, TensorInfo]) -> None:
    for name in infos:
        if name not in values:
            raise RequestError(f"Missing named input: {name}")
    for name in values:
        if name not in infos:
            raise RequestError(f"no input {name!r}; there are {', '.join(infos)}")


def _array(name: str, values: Any, info: TensorInfo) -> np.ndarray:
    """Lists of JSON as an array of the input's type."""
    shape = _shape(values)
    leaves: list[Any] = []
    _flatten(name, values, shape, leaves)
    if info.dtype == "string":
        array = np.empty(len(leaves), object)
        array[:] = [_text(name, leaf) for leaf in leaves]
    else:
        array = _numbers(name, leaves, info.dtype)
    array = array.reshape(shape)
    fits = info.shape is None or (
        len(info.shape) == len(shape)
        and all(want in (None, have) for want, have in zip(info.shape, shape, strict=True))
    )
    if not fits:
        wanted = ["any" if size is None else size for size in info.shape or ()]
        raise RequestError(f"input {name!r} has the shape {list(shape)}, expected {wanted}")
    return array


def _shape(values: Any) -> tuple[int, ...]:
    shape = []
    while isinstance(values, list):
        shape.append(len(values))
        if not values:
            break
        values = values[0]
    return tuple(shape)


def _flatten(name: str, values: Any, shape: tuple[int, ...], leaves: list[Any]) -> None:
    if not shape:
        if isinstance(values, list):
            raise RequestError(f"input {name!r} is not a rectangular array")
        leaves.append(values)
        return
    if not isinstance(values, list) or len(values) != shape[0]:
        raise RequestError(f"input {name!r} is not a rectangular array")
    if len(shape) == 1 and not any(isinstance(value, list) for value in values):
        leaves.extend(values)
        return
    for value in values:
        _flatten(name, value, shape[1:], leaves)


def _text(name: str, leaf: Any) -> bytes:
    if isinstance(leaf, str):
        return leaf.encode("utf-8", "surrogatepass")
    if _is_bytes(leaf) and isinstance(leaf["b64"], str):
        try:
            return base64.b64decode(leaf["b64"], validate=True)
        except (binascii.Error, ValueError) as error:
            raise RequestError(f"input {name!r}: not base64 ({error})") from error
    raise RequestError(f'input {name!r} expects texts, or bytes as {{"b64": "..."}}')


def _numbers(name: str, leaves: list[Any], dtype: str) -> np.ndarray:
    kinds = set(map(type, leaves))
    wanted = {"bool": {bool}}.get(dtype, {int, float} if "float" in dtype else {int})
    if not kinds <= wanted:
        raise RequestError(f"input {name!r} expects {dtype}")
    kind = np.dtype(np.float32 if dtype == "bfloat16" else dtype)
    try:
        array = np.array(leaves, np.float64 if kind.kind == "f" else object if not kinds else None)
        if kind.kind in "iu" and array.size:
            limits = np.iinfo(kind)
            if array.min() < limits.min or array.max() > limits.max:
                raise OverflowError
        return array.astype(kind)
    except (OverflowError, ValueError, TypeError) as error:
        raise RequestError(f"input {name!r} has numbers beyond {dtype}") from error


def _values(name: str, array: np.ndarray) -> Any:
    """An array as JSON values."""
    if array.dtype.kind not in "OS":
        return array.tolist()
    if name.endswith(_BYTES_SUFFIX):
        leaves: list[Any] = [{"b64": base64.b64encode(leaf).decode()} for leaf in array.flat]
    else:
        leaves = [leaf.decode("utf-8", "replace") for leaf in array.flat]
    result = np.empty(array.size, object)
    result[:] = leaves
    return result.reshape(array.shape).tolist()
