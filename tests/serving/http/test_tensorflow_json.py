"""The JSON of TensorFlow Serving's page "RESTful API", its own examples among it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from alexnet_tf.serving.http import tensorflow_json
from alexnet_tf.serving.http.tensorflow_json import RequestError, Signature, TensorInfo

FLOATS = Signature({"x": TensorInfo("float32", (None,))}, {"y": TensorInfo("float32", (None,))})
TEXTS = Signature({"text": TensorInfo("string", (None,))}, {})
IMAGES = Signature(
    {"image_bytes": TensorInfo("string", (None,)), "caption": TensorInfo("string", (None,))}, {}
)
NAMED = Signature(
    {
        "tag": TensorInfo("string", (None,)),
        "signal": TensorInfo("int32", (None, 5)),
        "sensor": TensorInfo("int64", (None, 2, 2)),
    },
    {},
)
SIGNATURES = {"serving_default": FLOATS, "texts": TEXTS, "classify_objects": IMAGES, "named": NAMED}


def read(text: str) -> tensorflow_json.Request:
    return tensorflow_json.read(text.encode(), SIGNATURES)


def test_plain_values_in_rows():
    request = read('{"instances": [1.0, 2.0, 5.0]}')
    assert request.in_rows and request.signature == "serving_default"
    np.testing.assert_array_equal(request.inputs["x"], np.float32([1, 2, 5]))
    assert request.inputs["x"].dtype == np.float32


def test_texts_in_rows():
    request = read('{"signature_name": "texts", "instances": ["foo", "bar", "baz"]}')
    assert list(request.inputs["text"]) == [b"foo", b"bar", b"baz"]


ROWS = """{"signature_name": "named", "instances": [
   {"tag": "foo", "signal": [1, 2, 3, 4, 5], "sensor": [[1, 2], [3, 4]]},
   {"tag": "bar", "signal": [3, 4, 1, 2, 5], "sensor": [[4, 5], [6, 8]]}]}"""
COLUMNS = """{"signature_name": "named", "inputs": {
   "tag": ["foo", "bar"],
   "signal": [[1, 2, 3, 4, 5], [3, 4, 1, 2, 5]],
   "sensor": [[[1, 2], [3, 4]], [[4, 5], [6, 8]]]}}"""


@pytest.mark.parametrize(("text", "in_rows"), [(ROWS, True), (COLUMNS, False)])
def test_named_inputs_in_rows_and_columns(text, in_rows):
    request = read(text)
    assert request.in_rows is in_rows
    assert list(request.inputs["tag"]) == [b"foo", b"bar"]
    np.testing.assert_array_equal(request.inputs["signal"], [[1, 2, 3, 4, 5], [3, 4, 1, 2, 5]])
    np.testing.assert_array_equal(request.inputs["sensor"], [[[1, 2], [3, 4]], [[4, 5], [6, 8]]])
    assert request.inputs["signal"].dtype == np.int32


def test_bytes_as_base64():
    request = read(
        """{"signature_name": "classify_objects", "instances": [
        {"image_bytes": {"b64": "aW1hZ2UgYnl0ZXM="}, "caption": "seaside"},
        {"image_bytes": {"b64": "YXdlc29tZSBpbWFnZSBieXRlcw=="}, "caption": "mountains"}]}"""
    )
    assert list(request.inputs["image_bytes"]) == [b"image bytes", b"awesome image bytes"]
    assert list(request.inputs["caption"]) == [b"seaside", b"mountains"]
    alone = read('{"signature_name": "texts", "inputs": [{"b64": "aW1hZ2UgYnl0ZXM="}]}')
    assert list(alone.inputs["text"]) == [b"image bytes"] and not alone.in_rows


def test_answers():
    one = {"y": np.float32([3.5, 4.0, 5.5])}
    assert tensorflow_json.answer(one, True) == {"predictions": [3.5, 4.0, 5.5]}
    assert tensorflow_json.answer(one, False) == {"outputs": [3.5, 4.0, 5.5]}
    texts = np.array([[b"a", "ö".encode()], [b"", b"d"]], object)
    several = {"names": texts, "raw_bytes": np.array([b"\xff", b""], object), "n": np.int32([1, 2])}
    assert tensorflow_json.answer(several, True) == {
        "predictions": [
            {"n": 1, "names": ["a", "ö"], "raw_bytes": {"b64": "/w=="}},
            {"n": 2, "names": ["", "d"], "raw_bytes": {"b64": ""}},
        ]
    }
    columns = tensorflow_json.answer(several, False)["outputs"]
    assert columns["n"] == [1, 2] and columns["names"] == [["a", "ö"], ["", "d"]]
    with pytest.raises(RequestError, match="no common rows"):
        tensorflow_json.answer({"a": np.float32([1, 2]), "b": np.float32([1])}, True)
    json.dumps(columns)


def test_status_and_metadata_have_the_documented_form():
    assert tensorflow_json.status(123) == {
        "model_version_status": [
            {
                "version": "123",
                "state": "AVAILABLE",
                "status": {"error_code": "OK", "error_message": ""},
            }
        ]
    }
    document = tensorflow_json.metadata("half", 123, {"serving_default": FLOATS})
    assert document["model_spec"] == {"name": "half", "signature_name": "", "version": "123"}
    definition = document["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert definition["method_name"] == "tensorflow/serving/predict"
    assert definition["inputs"]["x"]["dtype"] == "DT_FLOAT"
    assert definition["inputs"]["x"]["tensor_shape"] == {
        "dim": [{"size": "-1", "name": ""}],
        "unknown_rank": False,
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "JSON Parse error"),
        ("[" * 100_000, "JSON Parse error"),
        ("[1]", "must be a JSON object"),
        ("{}", "one of 'instances'"),
        ('{"instances": [1], "inputs": [1]}', "one of 'instances'"),
        ('{"signature_name": "x", "instances": [1]}', "not found; there are"),
        ('{"signature_name": 7, "instances": [1]}', "not found"),
        ('{"instances": []}', "at least one row"),
        ('{"instances": 3}', "at least one row"),
        ('{"instances": ["a"]}', "expects float32"),
        ('{"instances": [true]}', "expects float32"),
        ('{"instances": [null]}', "expects float32"),
        ('{"instances": [[1], [2]]}', "shape [2, 1], expected ['any']"),
        ('{"instances": [[1], 2]}', "not a rectangular array"),
        ('{"instances": [1, [2]]}', "not a rectangular array"),
        ('{"instances": [{"x": 1}, 2]}', "all objects or all plain values"),
        ('{"instances": [{"y": 1}]}', "Missing named input: x"),
        ('{"instances": [{"x": 1, "y": 1}]}', "no input 'y'"),
        ('{"signature_name": "named", "instances": [1]}', "several inputs"),
        ('{"signature_name": "texts", "instances": [1]}', "expects texts"),
        ('{"signature_name": "texts", "instances": [{"b64": "%%"}]}', "not base64"),
        ('{"signature_name": "texts", "instances": [{"b64": 3}]}', "expects texts"),
        (ROWS.replace("[1, 2, 3, 4, 5]", "[1, 2, 3, 4, 5e9]"), "expects int32"),
        (ROWS.replace("[1, 2, 3, 4, 5]", "[1, 2, 3, 4, 5000000000]"), "beyond int32"),
        (ROWS.replace("[1, 2, 3, 4, 5]", "[1, 2, 3, 4, 99999999999999999999]"), "beyond int32"),
    ],
)
def test_what_is_no_request_is_named(text, words):
    with pytest.raises(RequestError) as caught:
        read(text)
    assert words in str(caught.value)
