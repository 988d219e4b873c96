"""A training batch in memory, where no dataset is at hand."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from data_prep import dataset


class Facts(dataset.Dataset):
    """Statistics of a dataset without a folder: ImageNet's, as the author published them."""

    @classmethod
    def make(cls, image_size: int, classes: int) -> Facts:
        """Facts for square images of `image_size` pixels."""
        # make-data/input_meta of cuda-convnet2.
        return cls(
            directory="memory",
            image_size=image_size,
            store="jpeg",
            jpeg_quality=None,
            label_order="sorted",
            label_offset=1,
            class_names=tuple(str(number) for number in range(classes)),
            class_titles=tuple(str(number) for number in range(classes)),
            splits={},
            channel_mean=np.array([127.305, 119.715, 104.913]),
            pca_standard_deviations=np.array([19.7208, 37.0939, 121.7801]),
            pca_vectors=np.array(
                [[0.418, -0.713, -0.564], [-0.817, -0.024, -0.576], [0.397, 0.701, -0.592]]
            ),
            mean_image_sha256="",
            document={},
        )

    def mean_image(self) -> np.ndarray:
        """The channel means everywhere, float32 [S, S, 3]."""
        shape = (self.image_size, self.image_size, 3)
        return np.broadcast_to(self.channel_mean, shape).astype(np.float32)


def batch(size: int, crop: int, classes: int, noise_stddev: float) -> dict[str, tf.Tensor]:
    """A batch as `input.pipeline.training_batches` yields it, of random pixels and labels."""
    random = np.random.default_rng(0)
    made = {
        "image": tf.constant(random.integers(0, 256, (size, crop, crop, 3), np.uint8)),
        "label": tf.constant(random.integers(0, classes, size), tf.int32),
        "weight": tf.ones([size]),
        "row": tf.range(size),
    }
    if noise_stddev:
        made["noise"] = tf.constant(random.normal(0, noise_stddev, (size, 3)), tf.float32)
    return made
