"""A small training set that lives on the device: batches then only name their images."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from alexnet_common.errors import UserError
from alexnet_common.messages import log
from alexnet_tf.input import pipeline
from data_prep import dataset

# Part of a device's memory that the set may take: the network and its batch need the rest.
LARGEST_SHARE = 0.5
_DECODED_TOGETHER = 256


class Resident:
    """All images and labels of a training set in one device's memory.

    Args:
        data: the dataset folder.
        examples: how many, from the first.
        device: where they lie, such as "/GPU:0"; "": where TensorFlow puts them.
        memory: bytes that the device has free; None: not known.
        threads: that decode; 0 for one per core.

    Raises:
        UserError: they do not fit.
    """

    def __init__(
        self,
        data: dataset.Dataset,
        examples: int,
        *,
        device: str = "",
        memory: int | None = None,
        threads: int = 0,
    ):
        size = examples * data.image_size**2 * 3 * (4 if data.store == "centered" else 1)
        if memory is not None and size > LARGEST_SHARE * memory:
            raise UserError(
                f"config.input.cache=device: {examples:,} images need {size / 1e9:.1f} GB, more "
                f"than half of the {memory / 1e9:.1f} GB that are free on the device; use "
                "config.input.cache=memory"
            )
        span = pipeline.Span(examples, min(_DECODED_TOGETHER, examples))
        images, labels = [], []
        for batch in pipeline.evaluation_batches(data, "train", span, threads=threads):
            valid = int(tf.reduce_sum(batch["weight"]))
            images.append(batch["image"][:valid])
            labels.append(batch["label"][:valid])
        with tf.device(device or None):
            self._images = tf.concat(images, 0)
            self._labels = tf.concat(labels, 0)
        log(f"{examples:,} decoded images lie on the device: {size / 1e6:,.0f} MB")

    def complete(self, batch: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """`batch` with `image` and `label` of the images that its `example` names."""
        found = {key: value for key, value in batch.items() if key != "example"}
        found["image"] = tf.gather(self._images, batch["example"])
        found["label"] = tf.gather(self._labels, batch["example"])
        return found
