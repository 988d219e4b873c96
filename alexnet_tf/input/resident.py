"""A small training set that lives on the device: batches then only name their images."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from alexnet_common.errors import UserError
from alexnet_common.memory import free_memory
from alexnet_tf.input import pipeline
from data_prep import dataset

# Part of the host's free memory that the set may take: it is decoded there, and joined.
LARGEST_SHARE = 0.5
_DECODED_TOGETHER = 256


class Resident:
    """All images and labels of a training set in one device's memory.

    Args:
        data: the dataset folder.
        examples: how many, from the first.
        device: where they lie, such as "/GPU:0"; "": where TensorFlow puts them.
        threads: that decode; 0 for one per core.

    Raises:
        UserError: they do not fit.
    """

    def __init__(self, data: dataset.Dataset, examples: int, *, device: str = "", threads: int = 0):
        size = decoded_bytes(data, examples)
        if not fits_memory(size):
            raise _too_large(examples, size, "this machine")
        span = pipeline.Span(examples, min(_DECODED_TOGETHER, examples))
        pixels, labels = [], []
        for batch in pipeline.evaluation_batches(data, "train", span, threads=threads):
            valid = int(tf.reduce_sum(batch["weight"]))
            pixels.append(batch["image"][:valid])
            labels.append(batch["label"][:valid])
        try:
            with tf.device(device or None):
                self._images = tf.concat(pixels, 0)
                self._labels = tf.concat(labels, 0)
        except tf.errors.ResourceExhaustedError as error:
            raise _too_large(examples, size, "the device") from error

    def complete(self, batch: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """`batch` with `image` and `label` of the images that its `example` names."""
        completed = {key: value for key, value in batch.items() if key != "example"}
        completed["image"] = tf.gather(self._images, batch["example"])
        completed["label"] = tf.gather(self._labels, batch["example"])
        return completed


def decoded_bytes(data: dataset.Dataset, examples: int) -> int:
    """Memory that so many decoded images take."""
    return examples * data.image_size**2 * 3 * (4 if data.store == "centered" else 1)


def fits_memory(size: int) -> bool:
    """Whether a set of `size` bytes can be decoded and joined on this machine."""
    return size <= LARGEST_SHARE * free_memory()


def _too_large(examples: int, size: int, where: str) -> UserError:
    return UserError(
        f"config.input.cache=device: {examples:,} images need {size / 1e9:.1f} GB, too much for "
        f"{where}; use config.input.cache=memory or none"
    )
