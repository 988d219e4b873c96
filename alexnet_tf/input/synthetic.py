"""Random pixels instead of a dataset: for benchmarks, and for trying a cluster without data."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from alexnet_tf.input import pipeline
from alexnet_tf.recipes import ConfigDict
from alexnet_tf.tables import table
from data_prep import dataset

# What an epoch has unless config.limit_train_examples says otherwise: per class as many as
# ILSVRC2012 on average, so that 1000 classes have its 1,281,167 training images.
EXAMPLES_PER_CLASS = 1281.167


class SyntheticDataset(dataset.Dataset):
    """A dataset without files: grey mean image, the author's colour components."""

    def mean_image(self) -> np.ndarray:
        """Mid-grey, float32 [image_size, image_size, 3]."""
        return np.full((self.image_size, self.image_size, 3), 127.5, np.float32)


def make(config: ConfigDict) -> SyntheticDataset:
    """A stand-in with `config.num_classes` classes and the network's input size."""
    size = table.from_config(config.network, config.num_classes).input_size
    classes = config.num_classes
    count = config.limit_train_examples or round(classes * EXAMPLES_PER_CLASS)
    counts = tuple(count // classes + (number < count % classes) for number in range(classes))
    split = dataset.Split("train", count, counts, (), (), "", "")
    return SyntheticDataset(
        directory="random pixels (config.limit_train_examples: how many images)",
        image_size=size,
        store="uint8",
        jpeg_quality=None,
        label_order="sorted",
        label_offset=0,
        class_names=tuple(f"class_{number}" for number in range(classes)),
        class_titles=tuple(f"class_{number}" for number in range(classes)),
        splits={"train": split},
        channel_mean=np.full(3, 127.5),
        # cuda-convnet2's input_meta.
        pca_standard_deviations=np.array([19.7208, 37.0939, 121.7801]),
        pca_vectors=np.eye(3),
        mean_image_sha256="",
        document={},
    )


def batches(
    data: dataset.Dataset, span: pipeline.Span, augmentation: pipeline.Augmentation
) -> tf.data.Dataset:
    """One random batch again and again, shaped as `pipeline.training_batches` shapes them."""
    count, crop, stddev = (
        span.replica_batch_size,
        augmentation.crop,
        augmentation.color_noise_stddev,
    )
    random = np.random.default_rng(0)
    image = tf.constant(random.integers(0, 256, (count, crop, crop, 3), np.uint8))
    label = tf.constant(random.integers(0, data.num_classes, count, np.int32))
    noise = tf.constant(random.normal(0, stddev, (count, 3)).astype(np.float32))

    @tf.autograph.experimental.do_not_convert
    def batch(part: tf.Tensor) -> dict[str, tf.Tensor]:
        places = span.places(part)
        element = {
            "image": image,
            "label": label,
            "weight": tf.cast(places.valid, tf.float32),
            "row": places.row,
        }
        return element | ({"noise": noise} if stddev else {})

    return span.parts().map(batch).prefetch(2)
