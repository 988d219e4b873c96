"""What the network is shown of an image in training: crops, mirror images, colour noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from alexnet_tf.analysis import plots
from alexnet_tf.analysis.top5 import as_bytes
from alexnet_tf.inference import images as image_files
from alexnet_tf.input import pipeline
from alexnet_tf.input.preprocess import Preprocess
from alexnet_tf.recipes import ConfigDict
from data_prep import dataset


@dataclass(frozen=True, eq=False)
class Shown:
    """Images as they are stored, and as they are shown.

    Attributes:
        whole: [M, S, S, 3].
        variants: float32 [M, epochs, crop, crop, 3], grey levels: what reaches the network plus
            the mean that it has lost.
    """

    whole: np.ndarray
    variants: np.ndarray


def collect(
    config: ConfigDict,
    data: dataset.Dataset,
    prepare: Preprocess,
    crop: int,
    count: int,
    epochs: int,
) -> Shown:
    """The first images of the training split in the first epochs of a run, as it draws them.

    Args:
        config: the run's: its seed, crops, mirror images and noise.
        data: the training dataset.
        prepare: the run's preprocessing.
        crop: side of the network's input in pixels.
        count: images.
        epochs: how often each is shown.
    """
    count = min(count, data.split("train").count)
    augmentation = pipeline.Augmentation(
        crop,
        config.input.random_crop,
        config.input.random_flip,
        config.input.crop_chunk,
        prepare.noise_stddev,
    )
    span = pipeline.Span(count, count, 0, epochs)
    variants = np.zeros((count, epochs, crop, crop, 3), np.float32)
    batches = pipeline.training_batches(data, span, augmentation, seed=config.seed)
    for epoch, batch in enumerate(batches):
        places = tf.range(count, dtype=tf.int64)
        numbers = pipeline.shuffled(places, tf.constant(epoch, tf.int64), config.seed, count)
        seen = prepare.training(batch)
        variants[numbers.numpy(), epoch] = (seen + prepare.mean).numpy()
    whole = next(iter(image_files.of_split(data, "train", count, np.arange(count)))).images
    return Shown(whole, variants)


def draw(shown: Shown, config: ConfigDict) -> Figure:
    """A row for each image: as it is stored, then as it is shown in one epoch after the other."""
    count, epochs = shown.variants.shape[:2]
    stored, crop = shown.whole.shape[1], shown.variants.shape[2]
    moves = "random crops" if config.input.random_crop and crop < stored else "the centre"
    flips = ", mirror images" if config.input.random_flip else ""
    noise = config.preprocess.color_noise
    color = f", colour noise ({noise})" if noise != "none" else ", no colour noise"
    with plots.style():
        figure = plots.figure(1.08 * (epochs + 1) + 0.2, 1.12 * count + 0.6)
        figure.set_layout_engine("constrained", h_pad=0.02, w_pad=0.02, hspace=0.0, wspace=0.0)
        figure.suptitle(
            f"What the network is shown: {moves}{flips}{color}", x=0.01, ha="left", fontsize=9
        )
        axes = figure.subplots(
            count, epochs + 2, squeeze=False, width_ratios=[1, 0.12, *[1] * epochs]
        )
        for row in range(count):
            pictures = [shown.whole[row], None, *shown.variants[row]]
            titles = [f"stored, {stored}×{stored}", "", *(f"epoch {e + 1}" for e in range(epochs))]
            for axis, picture, title in zip(axes[row], pictures, titles, strict=True):
                axis.set_axis_off()
                if picture is not None:
                    axis.imshow(as_bytes(picture))
                if row == 0:
                    axis.set_title(title, fontsize=7, fontweight="normal", loc="center", pad=2)
    return figure
