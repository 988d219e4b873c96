"""A small net with all that is AlexNet's, for a laptop."""

from __future__ import annotations

import math
from collections.abc import Sequence

from alexnet_tf.tables import rows
from alexnet_tf.tables.rows import TableError
from alexnet_tf.tables.stack import Stack
from alexnet_tf.tables.table import Table


def demo(
    num_classes: int,
    *,
    columns: int = 2,
    input_size: int = 96,
    filters: Sequence[int] = (32, 64, 96),
    hidden: int = 256,
    conv1_size: int = 7,
    conv1_stride: int = 2,
    lrn: bool = True,
    dropout_keep: float = 0.5,
    weight_decay: float = 5e-4,
    init_scale: float = 2.0,
    pixel_scale: float = 60.0,
) -> Table:
    """A small net with all that is AlexNet's, for images of about 100 pixels and few classes.

    Two columns with normalisation across maps, overlapping pooling, conv3 and the fully connected
    layers reading both columns, dropout.

    Args:
        num_classes: outputs of the last layer.
        columns, input_size, filters, hidden: widths are those of all columns together.
        conv1_size, conv1_stride: of the first layer's filters.
        lrn: whether conv1 and conv2 are normalised, with the paper's constants.
        dropout_keep: probability of keeping an output of fc4.
        weight_decay: of all weights.
        init_scale: initial weights have the standard deviation sqrt(init_scale / inputs of a
            unit), so that the signal neither dies nor grows; conv1's is divided by pixel_scale.
        pixel_scale: typical magnitude of mean-subtracted pixels.

    Raises:
        TableError: a width that the columns cannot share equally.
    """
    stack = Stack(columns, input_size)
    _check_widths(columns, [*(("filters", width) for width in filters), ("hidden", hidden)])
    for number, total in enumerate(filters, start=1):
        size = {1: conv1_size, 2: 5}.get(number, 3)
        reads = stack.readers(number == 3)
        fan_in = stack.fan_in(reads[0], size) * (pixel_scale**2 if number == 1 else 1)
        kernel = rows.Filters(
            size=size,
            stride=conv1_stride if number == 1 else 1,
            padding=0 if number == 1 else size // 2,
            init_stddev=math.sqrt(init_scale / fan_in),
            weight_decay=weight_decay,
        )
        stack.add(
            rows.Conv,
            f"conv{number}",
            reads,
            filters=total // columns,
            kernels=(kernel,) * len(reads[0]),
            neuron="relu",
        )
        if lrn and number <= 2:
            constants = {"size": 5, "alpha": 1e-4, "beta": 0.75, "k": 2.0}
            stack.add(rows.CrossMapNorm, f"lrn{number}", **constants)
        if number <= 2 or number == len(filters):
            stack.add(rows.Pool, f"pool{number}", kind="max", size=3, stride=2)
    top = len(filters) + 1
    _add_fully_connected(stack, top, hidden // columns, init_scale, weight_decay)
    stack.add(rows.Dropout, f"dropout{top}", keep=dropout_keep)
    reads = stack.readers(True)
    weights = rows.Weights(init_stddev=0.01, weight_decay=weight_decay)
    stack.append(
        rows.FullyConnected(
            name=f"fc{top + 1}",
            inputs=reads[0],
            column=0,
            outputs=num_classes,
            kernels=(weights,) * len(reads[0]),
        )
    )
    return Table("demo", tuple(stack.rows), input_size, num_classes)


def _check_widths(columns: int, widths: Sequence[tuple[str, int]]) -> None:
    """Raises TableError for the first of (option, outputs) that columns cannot share equally."""
    for option, width in widths:
        if width < 1 or width % columns:
            raise TableError(
                f"config.network.{option}: {width} outputs cannot be shared by {columns} columns; "
                f"every layer needs a multiple of {columns}"
            )


def _add_fully_connected(
    stack: Stack, number: int, outputs: int, init_scale: float, weight_decay: float
) -> None:
    """A hidden layer of so many outputs per column, which reads all columns."""
    reads = stack.readers(True)
    stddev = math.sqrt(init_scale / stack.fan_in(reads[0]))
    weights = rows.Weights(init_stddev=stddev, weight_decay=weight_decay)
    stack.add(
        rows.FullyConnected,
        f"fc{number}",
        reads,
        outputs=outputs,
        kernels=(weights,) * len(reads[0]),
        neuron="relu",
    )
