"""A trained network as a Keras file, for LiteRT (TensorFlow Lite) and as ONNX.

LiteRT and ONNX files take what the signature `images` takes, square pixels, and return the
probabilities; the names of the classes are in `export.json`. The Keras file is a Keras model for
those who want to go on with it.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import tensorflow as tf

from alexnet_common.errors import UserError, one_line
from alexnet_tf.evaluation import predict
from alexnet_tf.runs.restore import TrainedRun
from alexnet_tf.serving import keras_file

FILES = {"keras": "model.keras", "litert": "model.tflite", "onnx": "model.onnx"}
# The first whose LRN, pooling and matrix products are all as here; runtimes of 2021 know it.
_OPSET = 15


def check(name: str) -> None:
    """Refuses a format whose converter is not installed.

    Raises:
        UserError: says what to install.
    """
    if name == "onnx" and importlib.util.find_spec("tf2onnx") is None:
        raise UserError(
            'ONNX needs the package tf2onnx: pip install "alexnet-tf[onnx]", or leave onnx out'
        )


def write(name: str, run: TrainedRun, views: int, folder: Path) -> Path:
    """Writes one file.

    Args:
        name: a key of `FILES`.
        run: the trained run.
        views: 1 or 10, whose probabilities LiteRT and ONNX average; a Keras file has one view.
        folder: where the file goes.

    Raises:
        UserError: the converter is missing or fails.
    """
    check(name)
    path = folder / FILES[name]
    if name == "keras":
        keras_file.save(run, path)
    elif name == "litert":
        path.write_bytes(_litert(run, views))
    else:
        _onnx(run, views, path)
    return path


def probabilities(run: TrainedRun, views: int) -> Any:
    """The function of pixels that the converters take: uint8 [B, S, S, 3] to float32 [B, n]."""
    size = run.facts.image_size
    pixels = tf.TensorSpec([None, size, size, 3], tf.uint8, "images")
    scorer = predict.Scorer.of(run, views)

    @tf.function(input_signature=[pixels], autograph=False)
    def of_pixels(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"probabilities": scorer.predict(images)}

    return of_pixels


def _litert(run: TrainedRun, views: int) -> bytes:
    function = probabilities(run, views)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()])
    try:
        return bytes(converter.convert())
    except Exception as error:
        raise UserError(f"LiteRT cannot express this network: {_first(error)}") from error


def _onnx(run: TrainedRun, views: int, path: Path) -> None:
    import tf2onnx

    function = probabilities(run, views)
    try:
        tf2onnx.convert.from_function(
            function,
            input_signature=function.input_signature,
            opset=_OPSET,
            output_path=str(path),
        )
    except Exception as error:
        raise UserError(f"ONNX cannot express this network: {_first(error)}") from error


def _first(error: Exception) -> str:
    return one_line(error)[:200]
