"""The public API: a trained network with its preprocessing.

    network = alexnet_tf.load("runs/photos")
    network.classify("photo.jpg")                       # [("tabby cat", 0.83), ...]
    network.features(["a.jpg", "b.jpg"], ["fc7"])["fc7"]  # float32 [2, 4096]
    network.model                                       # the Keras model

These names, arguments and results are stable.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from alexnet_common.errors import UsageError, UserError
from alexnet_tf.devices import required
from alexnet_tf.evaluation import predict as prediction
from alexnet_tf.inference import images as image_files
from alexnet_tf.inference import selection
from alexnet_tf.input import preprocess
from alexnet_tf.runs import published_run, restore

VIEWS = (1, 10)


class Network:
    """A trained network, with everything that belongs between a file and its answer.

    Images are one or a list of: a path, the bytes of an image file, a PIL image, or uint8
    [height, width, 3] of any size; an array uint8 [N, height, width, 3] is a list of N. They go
    through the converter's own decoder and resize, upright where the dataset's were turned
    (`--exif_orientation=apply`), then the mean of the training set is subtracted.

    Attributes:
        model: the Keras model, from float32 mean-subtracted pixels [B, input_size, input_size, 3]
            to float32 logits [B, classes].
        class_names: of each output ("n01440764", or the folder's name).
        class_titles: in words, where the dataset knows them; else the names.
        image_size: side in pixels of the squares that images become.
        input_size: side in pixels of what the network sees: the centre, or one of ten views.
        layers: names that `features` takes; those of single columns ("conv5a") go too.
        run: where it comes from: config, table, checkpoint.
    """

    def __init__(self, run: restore.TrainedRun):
        self.run = run
        self.model: keras.Model = run.model
        self.class_names: tuple[str, ...] = run.facts.class_names
        self.class_titles: tuple[str, ...] = run.facts.class_titles
        self.image_size: int = run.facts.image_size
        self.input_size: int = run.table.input_size
        self.layers: list[str] = selection.layers(run.table)
        self._compiled: dict[Any, Callable[[tf.Tensor], list[tf.Tensor]]] = {}

    def pixels(self, images: Any) -> np.ndarray:
        """The converter's squares of images: uint8 [N, image_size, image_size, 3], RGB.

        Raises:
            UserError: what is not an image; names the file.
        """
        squares = [
            image_files.square(image, self.image_size, self.run.facts.exif_orientation)
            for image in _listed(images)
        ]
        return np.stack(squares) if squares else np.zeros((0, *[self.image_size] * 2, 3), np.uint8)

    def files(
        self, paths: Sequence[str], batch_size: int, *, skip: bool = False
    ) -> Iterator[image_files.Batch]:
        """Batches of image files as `pixels` makes them; see `images.of_files`."""
        turn = self.run.facts.exif_orientation
        return image_files.of_files(
            paths, self.image_size, batch_size, exif_orientation=turn, skip=skip
        )

    def preprocess(self, images: Any) -> np.ndarray:
        """What `model` takes: the centre less the mean, float32 [N, input_size, input_size, 3].

        Raises:
            UserError: what is not an image; names the file.
        """
        centre = preprocess.views(tf.constant(self.pixels(images)), self.input_size, 1)
        prepared: np.ndarray = self.run.prepare(centre).numpy()
        return prepared

    def predict(self, images: Any, *, views: int = 10, batch_size: int = 32) -> np.ndarray:
        """Probabilities of the classes, float32 [N, classes], averaged over the views.

        Args:
            images: see the class.
            views: 10 (section 4.1: corners, centre, mirror images) or 1, the centre, at a tenth of
                the time.
            batch_size: images at a time.

        Raises:
            UserError: what is not an image; names the file.
            UsageError: other numbers of views.
        """
        (result,) = self._in_batches(self._predict_step(views), images, batch_size)
        return result

    def predict_batch(self, squares: np.ndarray, *, views: int = 10) -> np.ndarray:
        """As `predict`, of [B, image_size, image_size, 3] that `pixels` or a dataset made."""
        (result,) = self._predict_step(views)(tf.constant(squares))
        probabilities: np.ndarray = result.numpy()
        return probabilities

    def classify(self, image: Any, *, top: int = 5, views: int = 10) -> list[tuple[str, float]]:
        """The most probable classes of one image, as (title, probability), best first.

        Raises:
            UserError: it is not an image, or several.
        """
        if isinstance(image, list | tuple):
            raise UserError("classify takes one image, not a list; predict takes several")
        probabilities = self.predict([image], views=views)[0]
        # Equal probabilities in the order of the classes, as in our errors.
        best = np.argsort(-probabilities, kind="stable")[:top]
        return [(self.class_titles[label], float(probabilities[label])) for label in best]

    def features(
        self, images: Any, layers: Sequence[str], *, views: int = 1, batch_size: int = 32
    ) -> dict[str, np.ndarray]:
        """Outputs of layers, their neuron (ReLU) included.

        Args:
            images: see the class.
            layers: names from `layers`, such as ["conv5", "fc7"]; columns are joined in the order
                of their channels. "conv5a" is one column. Dropout is that of tests: `fc7` comes
                before it, `dropout7` behind it.
            views: 1, the centre, or 10, whose outputs are averaged.
            batch_size: images at a time.

        Returns:
            By layer: float32 [N, height, width, channels] or [N, values].

        Raises:
            UsageError: a name that no layer has (near misses are named), other numbers of views.
            UserError: what is not an image; names the file.
        """
        wanted = [layers] if isinstance(layers, str) else list(layers)
        step = self.feature_step(wanted, views)
        return dict(zip(wanted, self._in_batches(step, images, batch_size), strict=True))

    def feature_step(
        self, layers: Sequence[str], views: int = 1
    ) -> Callable[[tf.Tensor], list[tf.Tensor]]:
        """A compiled function from uint8 or float32 [B, image_size, image_size, 3] to the outputs.

        For those who bring batches of their own; arguments and errors as `features`.
        """
        chosen = selection.choose(self.run.table, list(layers))
        _check_views(views)
        key = (tuple(layer.rows for layer in chosen), views)
        if key not in self._compiled:
            self._compiled[key] = _make_step(self.run, chosen, views)
        return self._compiled[key]

    def _predict_step(self, views: int) -> Callable[[tf.Tensor], list[tf.Tensor]]:
        _check_views(views)
        key = ("probabilities", views)
        if key not in self._compiled:
            scorer = prediction.Scorer.of(self.run, views)

            @tf.function(reduce_retracing=True, autograph=False)
            def step(images: tf.Tensor) -> list[tf.Tensor]:
                return [scorer.predict(images)]

            self._compiled[key] = step
        return self._compiled[key]

    def _in_batches(
        self, step: Callable[[tf.Tensor], list[tf.Tensor]], images: Any, batch_size: int
    ) -> list[np.ndarray]:
        if batch_size < 1:
            raise UsageError(f"batch_size must be at least 1, not {batch_size}")
        listed = _listed(images)
        if not len(listed):
            # Convolutions refuse empty batches: asked of one image, for the shapes.
            blank = tf.zeros([1, self.image_size, self.image_size, 3], tf.uint8)
            return [value.numpy()[:0] for value in step(blank)]
        parts = [
            [value.numpy() for value in step(tf.constant(self.pixels(listed[i : i + batch_size])))]
            for i in range(0, len(listed), batch_size)
        ]
        return [np.concatenate(values) for values in zip(*parts, strict=True)]


def load(
    source: str | os.PathLike[str],
    checkpoint: str = "best",
    *,
    recipe: str = "",
    data_dir: str = "",
) -> Network:
    """Loads a trained network; see `alexnet_tf.load`."""
    required.check()
    path = os.fspath(source)
    if Path(path).is_file():
        return Network(published_run.restore_run(path, recipe, data_dir))
    if not Path(path).exists():
        raise UserError(f"{path} does not exist; expected a work folder or a file of weights")
    if recipe:
        raise UsageError(f"{path} is a work folder, which has its recipe: leave recipe out")
    return Network(restore.load(path, checkpoint, data_dir))


def _make_step(
    run: restore.TrainedRun, chosen: list[selection.Selection], views: int
) -> Callable[[tf.Tensor], list[tf.Tensor]]:
    names = list(dict.fromkeys(row for layer in chosen for row in layer.rows))
    outputs = [run.model.get_layer(name).output for name in names]
    part = keras.Model(run.model.input, outputs)

    @tf.function(reduce_retracing=True, autograph=False)
    def step(images: tf.Tensor) -> list[tf.Tensor]:
        seen = run.prepare(preprocess.views(images, run.table.input_size, views))
        values = part(seen, training=False)
        by_row = dict(zip(names, values if isinstance(values, list) else [values], strict=True))
        results = []
        for layer in chosen:
            joined = tf.concat([by_row[row] for row in layer.rows], axis=-1)
            by_view = tf.reshape(joined, [views, -1, *layer.shape])
            results.append(tf.reduce_mean(tf.cast(by_view, tf.float32), axis=0))
        return results

    compiled: Callable[[tf.Tensor], list[tf.Tensor]] = step
    return compiled


def _check_views(views: int) -> None:
    if views not in VIEWS:
        raise UsageError(f"views must be 1 or 10, not {views}")


def _listed(images: Any) -> Sequence[Any]:
    """One image as a list of one."""
    if isinstance(images, list | tuple) or (isinstance(images, np.ndarray) and images.ndim == 4):
        return images  # type: ignore[return-value]
    return [images]
