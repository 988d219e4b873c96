"""AlexNet as a Keras user would write it: the yardstick of the benchmark `step`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf


class LocalResponseNormalization(keras.layers.Layer):
    """Section 3.3, which Keras does not have."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """The input, normalised across channels; same shape."""
        return tf.nn.local_response_normalization(
            inputs, depth_radius=2, bias=2.0, alpha=1e-4, beta=0.75
        )


def model(options: Mapping[str, Any], input_size: int, num_classes: int) -> keras.Model:
    """The paper's network with `Conv2D(groups=2)` where a column reads itself only.

    Args:
        options: of the network "alexnet": `filters` and `hidden`.
        input_size: 227 for the paper's 224 with conv1's border of zeros.
        num_classes: logits.
    """

    def conv(filters: int, size: int, **arguments: Any) -> keras.layers.Layer:
        return keras.layers.Conv2D(filters, size, activation="relu", **common, **arguments)

    def pool() -> keras.layers.Layer:
        return keras.layers.MaxPooling2D(pool_size=3, strides=2)

    common: dict[str, Any] = {
        "kernel_initializer": keras.initializers.RandomNormal(stddev=0.01, seed=0),
        # Keras' L2 has no factor 1/2: this is the paper's weight decay of 0.0005.
        "kernel_regularizer": keras.regularizers.L2(0.00025),
    }
    filters, hidden = options["filters"], options["hidden"]
    return keras.Sequential(
        [
            keras.Input((input_size, input_size, 3)),
            conv(filters[0], 11, strides=4),
            LocalResponseNormalization(),
            pool(),
            conv(filters[1], 5, padding="same", groups=2),
            LocalResponseNormalization(),
            pool(),
            conv(filters[2], 3, padding="same"),
            conv(filters[3], 3, padding="same", groups=2),
            conv(filters[4], 3, padding="same", groups=2),
            pool(),
            keras.layers.Flatten(),
            keras.layers.Dense(hidden[0], activation="relu", **common),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(hidden[1], activation="relu", **common),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(num_classes, **common),
        ]
    )


def train_step(network: keras.Model) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """A compiled update by SGD with momentum, as Keras' guide to custom loops has it.

    Returns:
        A function of mean-subtracted pixels float32 [B, S, S, 3] and labels int32 [B] that
        returns the loss.
    """
    loss_function = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer = keras.optimizers.SGD(learning_rate=0.01, momentum=0.9)
    optimizer.build(network.trainable_variables)

    @tf.function
    def step(images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            logits = network(images, training=True)
            loss = loss_function(labels, logits) + tf.add_n(network.losses)
        gradients = tape.gradient(loss, network.trainable_variables)
        optimizer.apply_gradients(zip(gradients, network.trainable_variables, strict=True))
        return loss

    return step
