"""A trained network as a Keras file that holds its layers, its weights and its mean.

After `import alexnet_tf.serving.keras_file`, which registers the layers:

    model = keras.models.load_model("model.keras")
    model.predict(pixels)      # float32 [B, 227, 227, 3], 0..255, RGB -> probabilities [B, classes]
    model.get_layer("network") # from mean-subtracted pixels to what the last layer yields
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from alexnet_tf.model import build, costs
from alexnet_tf.runs.restore import TrainedRun
from alexnet_tf.tables import plain

# keras.saving holds it in both versions of Keras.
_registered = keras.saving.register_keras_serializable(package="alexnet_tf")


@_registered
class SubtractMean(keras.layers.Layer):
    """Pixels less the training set's mean, which is a weight that is not trained.

    Args:
        shape: of the mean: [S, S, 3], or [1, 1, 3] for a mean colour.
    """

    def __init__(self, shape: list[int], **options: Any):
        super().__init__(trainable=False, **_without(options, "trainable"))
        self.mean_shape = list(shape)
        self.mean = self.add_weight(
            name="mean", shape=tuple(shape), initializer="zeros", trainable=False
        )

    def call(self, pixels: tf.Tensor) -> tf.Tensor:
        """Float32 of the same shape."""
        return tf.cast(pixels, tf.float32) - tf.convert_to_tensor(self.mean)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """That of the pixels."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """What the constructor takes."""
        return {**super().get_config(), "shape": self.mean_shape}


@_registered
class Network(keras.layers.Layer):
    """The network of a layer table.

    Args:
        table: as `tables.plain.to_plain` gives it.
    """

    def __init__(self, table: dict[str, Any], **options: Any):
        super().__init__(**options)
        self.table = plain.from_plain(table)
        self.inner = build.build(self.table)
        self.built = True

    @tf.autograph.experimental.do_not_convert
    def call(self, pixels: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """What the last layer yields, float32 [B, classes], and what other costs read."""
        return self.inner(pixels, training=training)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """[B, classes], and what other costs read."""
        return (input_shape[0], self.inner.output_shape[-1])

    def get_config(self) -> dict[str, Any]:
        """What the constructor takes."""
        return {**super().get_config(), "table": plain.to_plain(self.table)}


@_registered
class Probabilities(keras.layers.Layer):
    """Scores of the classes from what a network yields (`costs.probabilities`).

    Args:
        table: as `tables.plain.to_plain` gives it; its cost says what the outputs are.
    """

    def __init__(self, table: dict[str, Any], **options: Any):
        super().__init__(**options)
        self.table = plain.from_plain(table)

    def call(self, outputs: tf.Tensor) -> tf.Tensor:
        """Float32 [B, classes]."""
        return costs.probabilities(self.table, outputs)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """[B, classes]; one output tells two classes apart."""
        return (input_shape[0], self.table.num_classes)

    def get_config(self) -> dict[str, Any]:
        """What the constructor takes."""
        return {**super().get_config(), "table": plain.to_plain(self.table)}


def model_of(run: TrainedRun) -> keras.Model:
    """The run as one Keras model, from pixels [B, S, S, 3] of the network's input size."""
    values = plain.to_plain(run.table)
    # Its layers are not needed to tell what the outputs mean.
    outputs_only = plain.to_plain(dataclasses.replace(run.table, layers=run.table.layers[-1:]))
    image = keras.Input((run.crop, run.crop, 3), name="image", dtype="float32")
    mean = SubtractMean(list(run.prepare.mean.shape), name="subtract_mean")
    network = Network(values, name="network")
    scores = Probabilities(outputs_only, name="probabilities")
    model = keras.Model(image, scores(network(mean(image))), name="alexnet_tf")
    mean.mean.assign(np.asarray(run.prepare.mean, np.float32))
    trained = build.named_variables(run.model)
    for name, variable in build.named_variables(network.inner).items():
        variable.assign(tf.convert_to_tensor(trained[name]))
    return model


def save(run: TrainedRun, path: Path) -> None:
    """Writes the run as a Keras file."""
    model_of(run).save(str(path))


def _without(options: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in options.items() if key != name}
