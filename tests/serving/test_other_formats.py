"""Keras, LiteRT and ONNX files: the probabilities of the network they were made of."""

from __future__ import annotations

import numpy as np
import pytest

from alexnet_tf.evaluation import predict
from alexnet_tf.runs import restore
from alexnet_tf.serving import keras_file, other_formats


@pytest.fixture(scope="module")
def run(workdir):
    return restore.load(str(workdir))


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(3).integers(0, 256, (3, 38, 38, 3), np.uint8)


def expected(run, pixels, views):
    found = predict.Scorer.of(run, views).predict(pixels)
    return found.numpy()


def test_keras_file(run, pixels, tmp_path):
    import keras

    path = other_formats.write("keras", run, 10, tmp_path)
    model = keras.models.load_model(str(path))
    centre = pixels[:, 3:35, 3:35].astype(np.float32)
    found = model.predict(centre, verbose=0)
    np.testing.assert_allclose(found, expected(run, pixels, 1), rtol=1e-5, atol=1e-7)
    # Weights and mean come from the file, not from the initialisers.
    mean = np.asarray(model.get_layer("subtract_mean").get_weights()[0])
    np.testing.assert_array_equal(mean, run.prepare.mean)


def test_a_keras_file_can_be_trained_on(run, pixels):
    model = keras_file.model_of(run)
    count = sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)
    assert count == sum(int(np.prod(v.shape)) for v in run.model.trainable_variables)
    before = [np.array(weights) for weights in model.get_weights()]
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(pixels[:, 3:35, 3:35].astype(np.float32), np.array([0, 1, 2]), verbose=0)
    changed = [not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)]
    # All but the mean.
    assert changed.count(False) == 1


@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated.*")
def test_litert_file(run, pixels, tmp_path):
    import tensorflow as tf

    path = other_formats.write("litert", run, 10, tmp_path)
    interpreter = tf.lite.Interpreter(str(path))
    (given,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(given["index"], pixels.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(given["index"], pixels)
    interpreter.invoke()
    found = interpreter.get_tensor(result["index"])
    np.testing.assert_allclose(found, expected(run, pixels, 10), rtol=1e-4, atol=1e-6)


def test_onnx_file(run, pixels, tmp_path):
    pytest.importorskip("tf2onnx")
    runtime = pytest.importorskip("onnxruntime")
    path = other_formats.write("onnx", run, 10, tmp_path)
    (found,) = runtime.InferenceSession(str(path)).run(["probabilities"], {"images": pixels})
    np.testing.assert_allclose(found, expected(run, pixels, 10), rtol=1e-4, atol=1e-6)


def test_onnx_without_its_converter_is_one_line(monkeypatch):
    import importlib.util

    from alexnet_common.errors import UserError

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="needs the package tf2onnx"):
        other_formats.check("onnx")
