"""What happens to pixels on the device: views, mean subtraction, colour noise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from alexnet_common.errors import UsageError
from alexnet_tf.input.resident import Resident
from alexnet_tf.recipes import ConfigDict
from alexnet_tf.weight_io.means import MEANS
from data_prep import dataset

# The lighting noise of fb.resnet.torch (datasets/imagenet.lua), the first component first; vectors
# are columns, in RGB. By their size the numbers are eigenvalues of ImageNet's pixels in [0, 1].
POPULAR_EIGENVALUES = np.array([0.2175, 0.0188, 0.0045])
POPULAR_VECTORS = np.array(
    [[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]]
)


def views(images: tf.Tensor, crop: int, count: int) -> tf.Tensor:
    """Cuts the test views of section 4.1 (end): the centre, or four corners, centre and mirrors.

    Args:
        images: [B, H, W, 3] of any dtype, H and W at least `crop`.
        crop: side of a view in pixels.
        count: 1 or 10.

    Returns:
        [count * B, crop, crop, 3], view after view: all images' first view comes first. The order
        is top left, top right, centre, bottom left, bottom right, then their mirror images.
    """
    height, width = images.shape[1] - crop, images.shape[2] - crop
    centre = (height // 2, width // 2)
    if count == 1:
        return images[:, centre[0] : centre[0] + crop, centre[1] : centre[1] + crop]
    if count != 10:
        raise UsageError(f"views must be 1 or 10, not {count}")
    offsets = [(0, 0), (0, width), centre, (height, 0), (height, width)]
    crops = [images[:, y : y + crop, x : x + crop] for y, x in offsets]
    return tf.concat(crops + [tf.reverse(part, [2]) for part in crops], axis=0)


def centre_view(count: int) -> int:
    """The place of the unmirrored centre among `count` views, from 0."""
    return 0 if count == 1 else 2


def cut(
    images: tf.Tensor, offset: tf.Tensor | None, flip: tf.Tensor | None, crop: int
) -> tf.Tensor:
    """Crops each image at its own place and mirrors some of them.

    Args:
        images: [B, S, S, 3] of any dtype.
        offset: int32 [B, 2], first row and column of each crop; None: the centre.
        flip: bool [B], which are mirrored left to right; None: none.
        crop: side of the crops in pixels.

    Returns:
        [B, crop, crop, 3].
    """
    border = int(images.shape[1]) - crop
    if offset is None and flip is None:
        start = border // 2
        return images[:, start : start + crop, start : start + crop] if border else images
    if offset is None:
        offset = tf.fill([tf.shape(images)[0], 2], border // 2)
    places = tf.range(crop)
    columns = offset[:, 1, None] + places
    if flip is not None:
        columns = tf.where(flip[:, None], offset[:, 1, None] + (crop - 1 - places), columns)
    rows = tf.gather(images, offset[:, 0, None] + places, axis=1, batch_dims=1)
    return tf.gather(rows, columns, axis=2, batch_dims=1)


def color_noise_directions(data: dataset.Dataset, kind: str) -> tuple[np.ndarray | None, float]:
    """The matrix that turns three normal draws into an RGB offset in grey levels.

    Args:
        data: holds the principal components of the training pixels.
        kind: "none", "paper", "code2012" or "popular".

    Returns:
        float32 [3, 3] (offset = draws @ matrix), or None, and by how much the draws' standard
        deviation scales the image down afterwards (0: not at all; 1 for "code2012").

    "paper" (section 4.1) multiplies each draw by the eigenvalue of the covariance of RGB. That
    trains only where pixels lie in [0, 1] (in grey levels the largest eigenvalue is about 15,000),
    so the eigenvalues are taken there and the offset is scaled back to grey levels. "code2012"
    multiplies by the eigenvalues' square roots, and divides the image by 1 + stddev. "popular" is
    "paper" with the components of fb.resnet.torch (`POPULAR_EIGENVALUES`) in place of the data's.
    """
    deviations, vectors = data.pca_standard_deviations, data.pca_vectors
    if kind == "none":
        return None, 0.0
    if kind == "code2012":
        return (vectors * deviations).T.astype(np.float32), 1.0
    eigenvalues = (deviations / 255.0) ** 2
    if kind == "popular":
        eigenvalues, vectors = POPULAR_EIGENVALUES, POPULAR_VECTORS
    return (vectors * 255.0 * eigenvalues).T.astype(np.float32), 0.0


def mean_pixels(data: dataset.Dataset, kind: str, crop: int) -> np.ndarray:
    """What is subtracted: float32 [crop, crop, 3] or [1, 1, 3], in grey levels.

    Args:
        data: holds the training split's mean image and channel means.
        kind: "image" (the centre crop of the mean image, the same for every crop position as in
            the 2012 code), "channel", "none", or another program's three numbers, whatever the
            data: "torchvision" or "caffe".
        crop: side of the network's input in pixels.
    """
    if kind == "image":
        start = (data.image_size - crop) // 2
        return data.mean_image()[start : start + crop, start : start + crop]
    if kind == "channel":
        return data.channel_mean.astype(np.float32).reshape(1, 1, 3)
    if kind == "none":
        return np.zeros((1, 1, 3), np.float32)
    return np.array(MEANS[kind], np.float32).reshape(1, 1, 3)


class Preprocess:
    """Pixels to network input, inside the compiled step.

    Args:
        data: the training dataset.
        settings: the config's section `preprocess`.
        crop: side of the network's input in pixels.

    Raises:
        UsageError: the crop is larger than the dataset's images.
    """

    def __init__(self, data: dataset.Dataset, settings: ConfigDict, crop: int):
        if crop > data.image_size:
            raise UsageError(
                f"the network reads {crop}x{crop} pixels, the images in {data.directory} have "
                f"{data.image_size}x{data.image_size}; convert them with --image_size={crop} or "
                "more, or choose a smaller config.network.input_size"
            )
        self.mean = mean_pixels(data, settings.mean, crop)
        self.directions, shrink = color_noise_directions(data, settings.color_noise)
        noisy = self.directions is not None
        self.noise_stddev = float(settings.color_noise_stddev) if noisy else 0.0
        self._shrink = shrink * self.noise_stddev
        self._crop = crop
        # Has the images where batches only name them.
        self.resident: Resident | None = None
        # One pass over the pixels on every kind of device, with the same roundings as a call has.
        self._in_one_pass = tf.function(self._cut_and_centre, jit_compile=True, autograph=False)

    def training(self, batch: Mapping[str, tf.Tensor], noise_factor: Any = 1.0) -> tf.Tensor:
        """Network input of a training batch, as `pipeline.training_batches` yields it.

        Args:
            batch: its `image`, or `example` where the images lie on the device, and `offset`,
                `flip` and `noise` where they were drawn.
            noise_factor: as of a call.

        Returns:
            float32 [B, crop, crop, 3].
        """
        color, divisor = self._noise(batch.get("noise"), noise_factor)
        drawn = batch.get("offset"), batch.get("flip")
        return self._in_one_pass(self._complete(batch)["image"], *drawn, color, divisor)

    def labels(self, batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Classes of a training batch, int [B]."""
        return self._complete(batch)["label"]

    def _complete(self, batch: Mapping[str, tf.Tensor]) -> Mapping[str, tf.Tensor]:
        """`batch` with its images and labels, which may lie on the device already."""
        return batch if self.resident is None else self.resident.complete(batch)

    def _cut_and_centre(
        self,
        images: tf.Tensor,
        offset: tf.Tensor | None,
        flip: tf.Tensor | None,
        color: tf.Tensor | None,
        divisor: tf.Tensor | None,
    ) -> tf.Tensor:
        return self._centred(cut(images, offset, flip, self._crop), color, divisor)

    def __call__(
        self,
        images: tf.Tensor,
        noise: tf.Tensor | None = None,
        noise_factor: tf.Tensor | float = 1.0,
    ) -> tf.Tensor:
        """Mean-subtracted float32 pixels [B, crop, crop, 3], with colour noise where given.

        Args:
            images: uint8 or float32 [B, crop, crop, 3], 0..255, RGB.
            noise: float32 [B, 3], normal draws; None for evaluation.
            noise_factor: times the draws' standard deviation; 0 switches the noise off.
        """
        return self._centred(images, *self._noise(noise, noise_factor))

    def _noise(
        self, draws: tf.Tensor | None, factor: Any
    ) -> tuple[tf.Tensor | None, tf.Tensor | None]:
        """What is added to each image's pixels, [B, 3], and what they are divided by then."""
        if draws is None or self.directions is None:
            return None, None
        color = tf.matmul(draws * factor, self.directions)
        return color, tf.convert_to_tensor(1.0 + self._shrink * factor) if self._shrink else None

    def _centred(
        self, images: tf.Tensor, color: tf.Tensor | None, divisor: tf.Tensor | None
    ) -> tf.Tensor:
        pixels = tf.cast(images, tf.float32) - self.mean
        if color is not None:
            pixels += color[:, None, None, :]
        return pixels if divisor is None else pixels / divisor
