"""Batches of image files to square pixels, in a graph: one bad file affects only its own row.

A decoder's error would end the whole call. So the rows go through a `tf.data` pipeline inside the
graph, which leaves out those that fail, and come back to their places; the others are blank, with
the reason beside them.
"""

from __future__ import annotations

import tensorflow as tf

from alexnet_tf.serving import exif_graph, header_graph, resize_graph

DAMAGED = "damaged or truncated image, or one of a kind that this TensorFlow does not decode"
# Images decoded at once. Bounds the memory: one of the largest size takes half a gigabyte.
_PARALLEL = 4


def squares(
    contents: tf.Tensor, size: int, *, upright: bool = False
) -> tuple[tf.Tensor, tf.Tensor]:
    """Decodes and resizes a batch of image files as the converter does.

    Args:
        contents: string [B], each the content of a JPEG, PNG, BMP or GIF file (its first frame),
            or of a WebP where this TensorFlow decodes it. What a file is, its content says.
        size: side of the squares in pixels.
        upright: whether pixels are turned as EXIF's orientation says.

    Returns:
        uint8 [B, size, size, 3], RGB, zeros where a file is refused or cannot be decoded; and why
        (string [B], empty where all is well).
    """

    @tf.autograph.experimental.do_not_convert
    def square(index: tf.Tensor, content: tf.Tensor) -> tuple[tf.Tensor, ...]:
        kind, reason, content, turn = header_graph.inspect(content, upright=upright)

        def decoded() -> tf.Tensor:
            pixels = decode(kind, content)
            return resize_graph.central_square(
                exif_graph.upright(pixels, turn) if upright else pixels, size
            )

        blank = tf.zeros([size, size, 3], tf.uint8)
        return index, tf.cond(tf.equal(reason, ""), decoded, lambda: blank), reason

    # The decoders run on CPUs only, and a GPU's matrix products are not exact (TensorFloat-32).
    with tf.device("/CPU:0"):
        count = tf.shape(contents, out_type=tf.int64)[0]
        rows = tf.data.Dataset.from_tensor_slices((tf.range(count), contents))
        rows = rows.map(square, num_parallel_calls=_PARALLEL, deterministic=True)
        rows = rows.ignore_errors()
        # One row more, since a batch of none does not exist.
        last = (count, tf.zeros([size, size, 3], tf.uint8), tf.constant(""))
        rows = rows.concatenate(tf.data.Dataset.from_tensors(last))
        options = tf.data.Options()
        # Nothing is left to it, and its thread would be started for every call.
        options.autotune.enabled = False
        rows = rows.batch(count + 1).with_options(options)
        indices, pixels, reasons = rows.get_single_element()
        places = tf.fill([count + 1], tf.constant(-1, tf.int64))
        arrived = tf.range(tf.shape(indices, out_type=tf.int64)[0])
        places = tf.tensor_scatter_nd_update(places, indices[:, None], arrived)[:count]
        # Rows that did not arrive take the blank one.
        lost = places < 0
        places = tf.where(lost, arrived[-1], places)
        return tf.gather(pixels, places), tf.where(lost, DAMAGED, tf.gather(reasons, places))


def decode(kind: tf.Tensor, content: tf.Tensor) -> tf.Tensor:
    """Decodes one image file whose header was looked at: uint8 [height, width, 3], RGB.

    Grey, CMYK and YCCK become RGB, transparency is dropped.
    """
    pixels = tf.case(
        [
            (
                tf.equal(kind, header_graph.JPEG),
                lambda: tf.io.decode_jpeg(content, channels=3, dct_method="INTEGER_ACCURATE"),
            ),
            (tf.equal(kind, header_graph.PNG), lambda: tf.io.decode_png(content, channels=3)),
            (tf.equal(kind, header_graph.BMP), lambda: tf.io.decode_bmp(content)[:, :, :3]),
        ],
        # One operation for GIF and WebP: older versions of TensorFlow, which have none for WebP
        # alone, can still load the graph.
        default=lambda: tf.io.decode_image(content, channels=3, expand_animations=False),
    )
    return tf.ensure_shape(pixels, [None, None, 3])
