"""Batches of decoded images by their numbers, read anew each time or kept in memory."""

from __future__ import annotations

import threading
import weakref

import numpy as np
import tensorflow as tf

from alexnet_common.errors import UserError
from alexnet_common.memory import free_memory
from alexnet_tf.input import records
from data_prep import dataset

# Images of one batch that are decoded at the same time.
_DECODED_AT_ONCE = 16
# Arrays that begin at such addresses become tensors without a copy.
_ALIGNMENT = 64


class Images:
    """The images of one split, whole, as the dataset's store holds them.

    Args:
        data: the dataset folder.
        split: "train" or "validation".
        keep: how many examples, from the first, are kept in memory once they were decoded; 0: none.

    Raises:
        UserError: they do not fit into this machine's memory.
    """

    def __init__(self, data: dataset.Dataset, split: str, keep: int = 0):
        self._data = data
        self._reader = records.RecordReader(data, split)
        self._size = data.image_size
        self._dtype = tf.float32 if data.store == "centered" else tf.uint8
        self._mean = data.mean_image() if data.store == "centered" else None
        self._kept = _Kept(keep, self._size, self._dtype.as_numpy_dtype) if keep else None
        self._arrays = _Arrays()

    def batch(self, examples: tf.Tensor, count: int) -> tuple[tf.Tensor, tf.Tensor]:
        """Reads and decodes `count` examples, inside a function of `tf.data`.

        Args:
            examples: int64 [count], numbers of examples.
            count: how many.

        Returns:
            uint8 [count, S, S, 3] (float32 for the store "centered") and labels int32 [count]
            from 0.
        """
        if self._kept is None:
            images, labels = self._read(examples, count)
        else:
            images, labels = tf.cond(
                tf.numpy_function(self._kept.has, [examples], tf.bool, stateful=False),
                lambda: self._from_memory(examples),
                lambda: self._into_memory(examples, count),
            )
        shape = [count, self._size, self._size, 3]
        return tf.ensure_shape(images, shape), tf.ensure_shape(labels, [count])

    def _read(self, examples: tf.Tensor, count: int) -> tuple[tf.Tensor, tf.Tensor]:
        if self._data.store == "jpeg":
            images, labels = self._decode(examples, count)
        else:
            kinds = [self._dtype, tf.int64]
            images, labels = tf.numpy_function(self._raw, [examples], kinds, stateful=False)
        return images, tf.cast(labels - self._data.label_offset, tf.int32)

    def _decode(self, examples: tf.Tensor, count: int) -> tuple[tf.Tensor, tf.Tensor]:
        read = self._reader.read_contents
        kinds = [tf.string, tf.int64]
        encoded, found = tf.numpy_function(read, [examples], kinds, stateful=False)
        encoded, found = tf.ensure_shape(encoded, [count]), tf.ensure_shape(found, [count, 3])
        # All at once: a turn of the loop below costs more than the copy of an image.
        encoded = tf.strings.substr(encoded, found[:, 0], found[:, 1])
        shape = [self._size, self._size, 3]

        def decode(content: tf.Tensor) -> tf.Tensor:
            # Decoded whole, although the fused decode-and-crop is about a tenth faster: that one
            # changes pixels at the crop's right edge, and does not notice a truncated file.
            image = tf.image.decode_jpeg(content, channels=3, dct_method="INTEGER_ACCURATE")
            return tf.ensure_shape(image, shape)

        images = tf.map_fn(
            decode,
            encoded,
            fn_output_signature=tf.TensorSpec(shape, tf.uint8),
            parallel_iterations=_DECODED_AT_ONCE,
        )
        return images, found[:, 2]

    def _raw(self, examples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        stored = np.uint8 if self._mean is None else np.float16
        images = self._arrays.take((len(examples), self._size, self._size, 3), stored)
        labels = self._reader.read_pixels(examples, images.view(np.uint8).reshape(len(images), -1))
        if self._mean is None:
            return images, labels
        # These records hold pixels minus the mean image. It is added again, so that every store
        # reaches the device as pixels and one rule of mean subtraction serves all of them.
        return images.astype(np.float32) + self._mean, labels

    def _from_memory(self, examples: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        assert self._kept is not None
        kinds = [self._dtype, tf.int32]
        images, labels = tf.numpy_function(self._kept.take, [examples], kinds, stateful=False)
        return images, labels

    def _into_memory(self, examples: tf.Tensor, count: int) -> tuple[tf.Tensor, tf.Tensor]:
        assert self._kept is not None
        images, labels = self._read(examples, count)
        kinds = [self._dtype, tf.int32]
        images, labels = tf.numpy_function(self._kept.put, [examples, images, labels], kinds)
        return images, labels


class _Kept:
    """Decoded images by number. Written twice, an entry gets the same values twice."""

    def __init__(self, count: int, size: int, dtype: type):
        wanted = count * size * size * 3 * np.dtype(dtype).itemsize
        if wanted > (present := free_memory()):
            raise UserError(
                f"config.input.cache: {count:,} decoded images need {wanted / 1e9:.1f} GB of "
                f"memory, of which {present / 1e9:.1f} GB are free; use config.input.cache=none"
            )
        self._images: np.ndarray = np.empty((count, size, size, 3), dtype)
        self._labels = np.empty(count, np.int32)
        self._present = np.zeros(count, bool)
        self._arrays = _Arrays()

    def has(self, examples: np.ndarray) -> np.bool_:
        return np.all(self._present[examples])

    def take(self, examples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        images = self._arrays.take((len(examples), *self._images.shape[1:]), self._images.dtype)
        # A range check of its own ("clip" has none) keeps NumPy from copying through a buffer.
        np.take(self._images, examples, axis=0, out=images, mode="clip")
        return images, self._labels[examples]

    def put(self, examples, images, labels) -> tuple[np.ndarray, np.ndarray]:
        self._images[examples] = images
        self._labels[examples] = labels
        self._present[examples] = True
        return images, labels


class _Arrays:
    """Arrays that become tensors without a copy, and are used again once those are gone.

    Fresh memory comes from the operating system page by page, zeroed: that takes longer than to
    read the images into it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Memory, and the array made of it, which the tensor that is made of that keeps alive.
        self._lent: list[tuple[np.ndarray, weakref.ref]] = []

    def take(self, shape: tuple[int, ...], dtype: type | np.dtype) -> np.ndarray:
        """An array with arbitrary content."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        with self._lock:
            free: list[tuple[np.ndarray, weakref.ref]] = []
            lent: list[tuple[np.ndarray, weakref.ref]] = []
            for memory, array in self._lent:
                (free if array() is None else lent).append((memory, array))
            fitting = [pair for pair in free if pair[0].nbytes == size]
            memory = fitting.pop()[0] if fitting else _aligned(size)
            view = memory.view(dtype).reshape(shape)
            self._lent = [*fitting, *lent, (memory, weakref.ref(view))]
            return view


def _aligned(size: int) -> np.ndarray:
    """Uninitialised bytes that TensorFlow takes over as they are."""
    whole = np.empty(size + _ALIGNMENT, np.uint8)
    start = -whole.ctypes.data % _ALIGNMENT
    return whole[start : start + size]
