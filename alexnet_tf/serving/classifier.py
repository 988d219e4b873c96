"""A trained network as functions of image files and of pixels, in a plain `tf.Module`.

The graphs hold everything between the bytes of a file and the names of the best classes: decoding,
the converter's resize, views, mean subtraction, the network, softmax (or what `costs.probabilities`
has for the network's cost), the mean over views. No Keras object is saved with them, so that any
TensorFlow can load them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from alexnet_tf.evaluation import predict
from alexnet_tf.input import preprocess
from alexnet_tf.model import build
from alexnet_tf.model.placement import tensorflow_variable
from alexnet_tf.runs.restore import TrainedRun
from alexnet_tf.serving import decode_graph
from alexnet_tf.tables import rows
from alexnet_tf.tables.table import Table

Outputs = dict[str, tf.Tensor]
# What a row yields whose file is refused, by type.
BLANKS: dict[tf.DType, Any] = {tf.float32: 0.0, tf.int32: -1, tf.string: ""}


class Classifier(tf.Module):
    """A trained network as functions, and its signatures.

    Attributes:
        served: signatures by name, for `tf.saved_model.save`.
        squares: image files (string [B]) to `images`, uint8 [B, S, S, 3], and `error`, string [B].
        classify_pixels, ten_views_of_pixels, features_of_pixels: what the signatures
            `serving_default`, `ten_view` and `features` do with squares that were made before.

    Args:
        run: the trained run.
        views: 1 (centre) or 10, whose probabilities are averaged.
        upright: whether photographs are turned as EXIF says.
    """

    def __init__(self, run: TrainedRun, views: int, *, upright: bool = False):
        super().__init__(name="alexnet_tf")
        size = run.facts.image_size
        # Owned here, so that they are saved; the model itself is not.
        self.weights = {
            name: tensorflow_variable(variable)
            for name, variable in build.named_variables(run.model).items()
        }
        pixels = tf.TensorSpec([None, size, size, 3], tf.uint8, "images")
        files = tf.TensorSpec([None], tf.string, "image_bytes")

        def of_pixels(function: Callable[[tf.Tensor], Outputs]) -> Any:
            return tf.function(function, input_signature=[pixels], autograph=False)

        def of_files(function: Callable[[tf.Tensor], Outputs]) -> Any:
            def from_files(image_bytes: tf.Tensor) -> Outputs:
                decoded = self.squares(image_bytes)
                return _without_invalid(function(decoded["images"]), decoded["error"])

            return tf.function(from_files, input_signature=[files], autograph=False)

        def squares(image_bytes: tf.Tensor) -> Outputs:
            images, error = decode_graph.squares(image_bytes, size, upright=upright)
            return {"images": images, "error": error}

        self.squares = tf.function(squares, input_signature=[files], autograph=False)
        self.classify_pixels = of_pixels(lambda images: _classify(run, images, views))
        self.ten_views_of_pixels = of_pixels(lambda images: _ten_views(run, images))
        self.features_of_pixels = of_pixels(_features(run))
        self.served = {
            "serving_default": of_files(self.classify_pixels),
            "ten_view": of_files(self.ten_views_of_pixels),
            "features": of_files(self.features_of_pixels),
            "images": self.classify_pixels,
        }


def feature_rows(table: Table) -> list[str]:
    """Rows of the last hidden layer, one per column: what the last layer with weights reads.

    Dropout, which does nothing but scale in tests, is left out: `fc7`, not `dropout7`.
    """
    by_name = {row.name: row for row in table.layers}
    row = by_name[table.output_name]
    while not isinstance(row, rows.WeightRow) and row.inputs[0] in by_name:
        row = by_name[row.inputs[0]]

    def before_dropout(name: str) -> str:
        while name in by_name and isinstance(by_name[name], rows.Dropout):
            name = by_name[name].inputs[0]
        return name

    names = [before_dropout(name) for name in row.inputs]
    return list(dict.fromkeys(name for name in names if name in by_name))


def _classify(run: TrainedRun, images: tf.Tensor, views: int) -> Outputs:
    scorer = predict.Scorer.of(run, views)
    return _best_classes(run, scorer.predict(images))


def _ten_views(run: TrainedRun, images: tf.Tensor) -> Outputs:
    scorer = predict.Scorer.of(run, 10)
    by_view = scorer.predict_views(images)
    best = _best_classes(run, tf.reduce_mean(by_view, axis=0))
    return best | {"view_probabilities": tf.transpose(by_view, [1, 0, 2])}


def _best_classes(run: TrainedRun, probabilities: tf.Tensor) -> Outputs:
    # Equal probabilities come in the order of the classes, as in our errors.
    values, labels = tf.math.top_k(probabilities, k=min(5, run.facts.num_classes))
    return {
        "probabilities": probabilities,
        "top_5_labels": labels,
        "top_5_names": tf.gather(tf.constant(run.facts.class_names), labels),
        "top_5_titles": tf.gather(tf.constant(run.facts.class_titles), labels),
        "top_5_probabilities": values,
    }


def _features(run: TrainedRun) -> Callable[[tf.Tensor], Outputs]:
    names = feature_rows(run.table)
    part = keras.Model(run.model.input, [run.model.get_layer(name).output for name in names])

    def features(images: tf.Tensor) -> Outputs:
        values = part(run.prepare(preprocess.views(images, run.crop, 1)), training=False)
        values = values if isinstance(values, list | tuple) else [values]
        flat = [tf.reshape(v, [tf.shape(v)[0], v.shape[1:].num_elements()]) for v in values]
        return {"features": tf.cast(tf.concat(flat, axis=1), tf.float32)}

    return features


def _without_invalid(outputs: Outputs, error: tf.Tensor) -> Outputs:
    """Empty rows in place of those whose file is refused, and `valid` and `error` beside them."""
    valid = tf.equal(error, "")
    result = {"valid": valid, "error": error}
    for name, values in outputs.items():
        rows_of = tf.reshape(valid, [-1] + [1] * (len(values.shape) - 1))
        blank = tf.constant(BLANKS[values.dtype], values.dtype)
        result[name] = tf.where(rows_of, values, blank)
    return result
