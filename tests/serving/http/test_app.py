"""The routes of the server, asked in this process."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest

testclient = pytest.importorskip("starlette.testclient")
pytest.importorskip("prometheus_client")

from alexnet_tf.serving.http import app, inference
from tests.serving.test_headers_in_graph import bmp, encoded, jpeg_of_size, pixels

JPEG, PNG = encoded(pixels(), "JPEG"), encoded(pixels(50, 34), "PNG")
MODEL = "/v1/models/photos"


def b64(content: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(content).decode()}


@pytest.fixture(scope="module")
def model(workdir, tmp_path_factory):
    from alexnet_tf.runs import restore
    from alexnet_tf.serving import loaded, saved_model

    folder = tmp_path_factory.mktemp("serving") / "model"
    saved_model.export(restore.load(str(workdir)), str(folder), 10, version=4)
    return loaded.load(str(folder))


@pytest.fixture(scope="module")
def client(model):
    settings = inference.Settings(max_instances=5, max_body_bytes=1 << 20, max_pixels=1_000_000)
    with testclient.TestClient(app.Server(model, "photos", settings).app) as made:
        yield made


@pytest.fixture(scope="module")
def expected(model):
    """What the SavedModel itself says of the two pictures."""
    import tensorflow as tf

    signature = tf.saved_model.load(str(model.folder)).signatures["serving_default"]
    outputs = signature(image_bytes=tf.constant([JPEG, PNG]))
    return {name: value.numpy() for name, value in outputs.items()}


def test_rows(client, expected):
    answer = client.post(f"{MODEL}:predict", json={"instances": [b64(JPEG), b64(PNG)]})
    assert answer.status_code == 200
    rows = answer.json()["predictions"]
    found = [row["probabilities"] for row in rows]
    np.testing.assert_allclose(found, expected["probabilities"], rtol=1e-5, atol=1e-7)
    for row, names in zip(rows, expected["top_5_names"], strict=True):
        assert row["top_5_names"] == [name.decode() for name in names]
        assert row["valid"] is True and row["error"] == ""


def test_columns_and_versions_and_named_rows(client, expected):
    bodies = [
        {"inputs": {"image_bytes": [b64(JPEG), b64(PNG)]}},
        {"inputs": [b64(JPEG), b64(PNG)], "signature_name": "serving_default"},
    ]
    for body in bodies:
        answer = client.post(f"{MODEL}/versions/4:predict", json=body).json()["outputs"]
        found = answer["probabilities"]
        np.testing.assert_allclose(found, expected["probabilities"], rtol=1e-5, atol=1e-7)
        assert answer["valid"] == [True, True]
    named = {"instances": [{"image_bytes": b64(PNG)}]}
    (row,) = client.post(f"{MODEL}:predict", json=named).json()["predictions"]
    np.testing.assert_allclose(
        row["probabilities"], expected["probabilities"][1], rtol=1e-5, atol=1e-7
    )


def test_every_signature_answers_as_the_saved_model(client, model):
    import tensorflow as tf

    signatures = tf.saved_model.load(str(model.folder)).signatures
    for name in ("ten_view", "features"):
        body = {"signature_name": name, "instances": [b64(JPEG), b64(PNG)]}
        rows = client.post(f"{MODEL}:predict", json=body).json()["predictions"]
        outputs = signatures[name](image_bytes=tf.constant([JPEG, PNG]))
        for key, values in outputs.items():
            if values.dtype == tf.float32:
                found = [row[key] for row in rows]
                np.testing.assert_allclose(found, values.numpy(), rtol=1e-4, atol=1e-6)
    squares = np.random.default_rng(0).integers(0, 256, (1, 38, 38, 3), np.uint8)
    body = {"signature_name": "images", "instances": squares.tolist()}
    (row,) = client.post(f"{MODEL}:predict", json=body).json()["predictions"]
    outputs = signatures["images"](images=tf.constant(squares))
    np.testing.assert_allclose(row["probabilities"], outputs["probabilities"][0], rtol=1e-5)


def test_a_bad_image_is_the_matter_of_its_row(client, expected):
    body = {"instances": [b64(JPEG), b64(b"words"), b64(PNG), b64(JPEG[:-50])]}
    answer = client.post(f"{MODEL}:predict", json=body)
    assert answer.status_code == 200
    rows = answer.json()["predictions"]
    assert [row["valid"] for row in rows] == [True, False, True, False]
    assert "not an image" in rows[1]["error"] and "truncated JPEG" in rows[3]["error"]
    assert rows[1]["top_5_names"] == [""] * 5 and not any(rows[1]["probabilities"])
    found = [rows[0]["probabilities"], rows[2]["probabilities"]]
    np.testing.assert_allclose(found, expected["probabilities"], rtol=1e-5, atol=1e-7)


def test_files_as_they_are(client, expected):
    files = [("image", ("a.jpg", JPEG)), ("image", ("b", PNG)), ("image", ("c.bmp", bmp(8)))]
    answer = client.post("/predict", files=[*files, ("image", ("d", b"x"))]).json()
    assert [entry["file"] for entry in answer["results"]] == ["a.jpg", "b", "c.bmp", "d"]
    assert ["top_5" in entry for entry in answer["results"]] == [True, True, True, False]
    for row, entry in enumerate(answer["results"][:2]):
        labels = [best["label"] for best in entry["top_5"]]
        assert labels == expected["top_5_labels"][row].tolist()
        found = [best["probability"] for best in entry["top_5"]]
        np.testing.assert_allclose(found, expected["top_5_probabilities"][row], rtol=1e-5)
    alone = client.post("/predict", content=JPEG, headers={"Content-Type": "image/jpeg"}).json()
    assert alone["results"][0]["top_5"] == answer["results"][0]["top_5"]


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        (f"{MODEL}:predict", b"{", 400, "JSON Parse error"),
        (f"{MODEL}:predict", b'{"instances": ["x"]}', 400, "cannot be read: not an image"),
        (f"{MODEL}:predict", json.dumps({"instances": [b64(b"x")] * 6}), 413, "6 images"),
        (f"{MODEL}:predict", b" " * (1 << 20) + b"{}", 413, "larger than 1 MiB"),
        (f"{MODEL}:classify", b"{}", 400, "classify is not offered"),
        (f"{MODEL}/versions/3:predict", b"{}", 404, "version 3 of photos is not served; 4 is"),
        ("/v1/models/other:predict", b"{}", 404, "other; there is photos"),
        ("/predict", b"", 400, "no image: send one"),
        ("/predict", b"words", 400, "cannot be read: not an image"),
        ("/predict", jpeg_of_size(1001, 1000), 400, "1001x1000 pixels are more than the 1,000,000"),
        ("/elsewhere", b"", 404, "Not Found"),
        ("/", b"", 405, "Method Not Allowed"),
    ],
)
def test_errors_are_json_of_one_line(client, path, body, status, words):
    answer = client.post(path, content=body)
    assert answer.status_code == status
    error = answer.json()["error"]
    assert words in error and "\n" not in error


def test_a_body_that_does_not_say_its_size_is_limited_too(client):
    def chunks():
        for _ in range(20):
            yield b"x" * 100_000

    answer = client.post("/predict", content=chunks())
    assert answer.status_code == 413 and "1 MiB" in answer.json()["error"]


def test_other_tensors_are_refused_in_one_line(client):
    body = {"signature_name": "images", "instances": [[[[0, 0, 0]]]]}
    answer = client.post(f"{MODEL}:predict", json=body)
    assert answer.status_code == 400 and "shape [1, 1, 1, 3]" in answer.json()["error"]


def test_status_metadata_health(client):
    for path in (MODEL, f"{MODEL}/versions/4"):
        (version,) = client.get(path).json()["model_version_status"]
        assert (version["version"], version["state"]) == ("4", "AVAILABLE")
    document = client.get(f"{MODEL}/metadata").json()
    signatures = document["metadata"]["signature_def"]["signature_def"]
    assert set(signatures) == {"serving_default", "images", "ten_view", "features"}
    shape = signatures["images"]["inputs"]["images"]["tensor_shape"]["dim"]
    assert [size["size"] for size in shape] == ["-1", "38", "38", "3"]
    assert client.get("/healthz").json() == {"status": "alive"}
    assert client.get("/readyz").json()["version"] == 4
    assert client.get("/v1/models/other").status_code == 404


def test_a_server_that_stops_is_not_ready(model):
    server = app.Server(model, "photos")
    with testclient.TestClient(server.app) as client:
        assert client.get("/readyz").status_code == 200
        server.ready = False
        assert client.get("/readyz").status_code == 503
        assert client.get("/healthz").status_code == 200


def test_counts_for_prometheus(model):
    parser = pytest.importorskip("prometheus_client.parser")
    with testclient.TestClient(app.Server(model, "photos").app) as client:
        client.post(f"{MODEL}:predict", json={"instances": [b64(JPEG), b64(PNG), b64(b"x")]})
        client.post(f"{MODEL}:predict", content=b"{")
        client.get("/unknown")
        text = client.get("/metrics").text
        assert client.get("/monitoring/prometheus/metrics").status_code == 200
    samples = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in parser.text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["alexnet_requests_total", "200", "predict"] == 1
    assert samples["alexnet_requests_total", "400", "predict"] == 1
    assert samples["alexnet_requests_total", "404", "unknown"] == 1
    assert samples["alexnet_images_total", "answered"] == 2
    assert samples["alexnet_images_total", "refused"] == 1
    assert samples["alexnet_batch_images_sum",] == 2
    assert samples["alexnet_model_version", "photos"] == 4


def test_the_page_needs_nothing_from_elsewhere(model):
    import re

    with testclient.TestClient(app.Server(model, "<b>&").app) as client:
        answer = client.get("/")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "&lt;b&gt;&amp;" in answer.text and "<b>" not in answer.text
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", answer.text)


def test_an_answer_that_takes_too_long_is_given_up(model, monkeypatch):
    import threading

    go = threading.Event()
    real = model.of_pixels

    def slow(signature, squares):
        go.wait(60)
        return real(signature, squares)

    monkeypatch.setattr(model, "of_pixels", slow)
    server = app.Server(model, "photos", inference.Settings(answer_seconds=0.2))
    with testclient.TestClient(server.app) as client:
        answer = client.post("/predict", content=JPEG)
        go.set()
        assert answer.status_code == 504 and "too long" in answer.json()["error"]
        assert client.post("/predict", content=JPEG).status_code in (200, 504)


def test_any_saved_model_as_tensorflow_serving_documents_it(tmp_path):
    """Its page's own example: half_plus_three of 1, 2 and 5 is 3.5, 4 and 5.5."""
    import tensorflow as tf

    from alexnet_tf.serving.loaded import LoadedModel

    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
    def half_plus_three(x):
        return {"y": x * 0.5 + 3}

    tf.saved_model.save(module, str(tmp_path), signatures=half_plus_three)
    model = LoadedModel(tmp_path, 123, tf.saved_model.load(str(tmp_path)))
    with testclient.TestClient(app.Server(model, "half_plus_three").app) as client:
        # As `curl -d` sends it.
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        path, text = "/v1/models/half_plus_three", '{"instances": [1.0,2.0,5.0]}'
        answer = client.post(f"{path}:predict", content=text, headers=kind)
        assert answer.json() == {"predictions": [3.5, 4.0, 5.5]}
        assert client.get(path).json()["model_version_status"][0]["version"] == "123"
