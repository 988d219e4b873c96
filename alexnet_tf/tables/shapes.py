"""Shape arithmetic of layer tables, without TensorFlow: outputs and variables of each row.

Images have shapes (side, side, channels), vectors (n,). The 2012 code rounds up where Keras rounds
down: a 224-pixel image gives 55 positions to an 11-pixel window at stride 4 (section 1.2 of its
layer definitions).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from alexnet_common.errors import UserError
from alexnet_tf.tables import rows

Shape = tuple[int, ...]


class ShapeError(UserError):
    """A row that cannot read what its inputs yield; the message names the row."""


@dataclass(frozen=True)
class Windows:
    """Positions of windows along one side: their number, and the zeros before and after the image.

    `after` is negative where the windows do not reach the end of the image.
    """

    count: int
    before: int
    after: int


def filter_windows(side: int, kernel: rows.Filters) -> Windows:
    """Positions of a filter of `kernel` on an image side of `side` pixels."""
    size, stride = kernel.size, kernel.stride
    if kernel.padding == "same":
        count = math.ceil(side / stride)
        total = max((count - 1) * stride + size - side, 0)
        return Windows(count, total // 2, total - total // 2)
    padding = int(kernel.padding)
    room = side + 2 * padding - size
    if room < 0:
        raise ShapeError(f"a window of {size} does not fit {side} pixels with padding {padding}")
    count = 1 + (-(-room // stride) if kernel.rounding == "ceil" else room // stride)
    return Windows(count, padding, (count - 1) * stride + size - padding - side)


def pool_windows(side: int, row: rows.Pool) -> Windows:
    """Positions of the pooling windows of `row` on a side of `side` pixels."""
    if row.outputs > 0:
        count = row.outputs
    else:
        room = side - row.start - row.size
        if room < 0 and (row.rounding == "floor" or -room >= row.stride):
            raise ShapeError(f"{row.name}: a window of {row.size} does not fit {side} pixels")
        count = 1 + (-(-room // row.stride) if row.rounding == "ceil" else room // row.stride)
    last = row.start + (count - 1) * row.stride
    if last >= side or row.start + row.size <= 0:
        raise ShapeError(f"{row.name}: a window lies wholly outside the {side} pixels of its input")
    return Windows(count, -row.start, last + row.size - side)


def _image(row: rows.Row, shape: Shape) -> tuple[int, int, int]:
    if len(shape) != 3:
        raise ShapeError(f"{row.name}: needs an image, but its input is a vector of {shape[0]}")
    return shape[0], shape[1], shape[2]


def _filtered_sides(row: rows.Conv | rows.Local, inputs: list[Shape]) -> int:
    counts = set()
    for kernel, shape in zip(row.kernels, inputs, strict=True):
        side, _, channels = _image(row, shape)
        if channels % kernel.groups and not kernel.connections:
            raise ShapeError(f"{row.name}: {channels} channels cannot form {kernel.groups} groups")
        if row.filters % kernel.groups:
            raise ShapeError(
                f"{row.name}: {row.filters} filters cannot form {kernel.groups} groups"
            )
        try:
            counts.add(filter_windows(side, kernel).count)
        except ShapeError as error:
            raise ShapeError(f"{row.name}: {error}") from None
    if len(counts) != 1:
        raise ShapeError(
            f"{row.name}: its inputs yield images of different sides: {sorted(counts)}"
        )
    return counts.pop()


def group_channels(kernel: rows.Filters, channels: int) -> int:
    """Number of channels that each filter of `kernel` sees."""
    return (len(kernel.connections) or channels) // kernel.groups


def output_shape(row: rows.Row, inputs: list[Shape]) -> Shape:
    """Shape (without the batch) that `row` yields for inputs of these; raises ShapeError."""
    kernels = getattr(row, "kernels", None)
    expected = len(tree_nodes(row)) if isinstance(row, rows.TreeFullyConnected) else len(inputs)
    if kernels is not None and len(kernels) != expected:
        raise ShapeError(f"{row.name}: {len(kernels)} kernels, where {expected} are needed")
    first = inputs[0]
    match row:
        case rows.Conv() | rows.Local():
            side = _filtered_sides(row, inputs)
            return side, side, row.filters
        case rows.FullyConnected() | rows.TreeFullyConnected():
            return (row.outputs,)
        case rows.Pool():
            side, _, channels = _image(row, first)
            count = pool_windows(side, row).count
            return count, count, channels
        case rows.Concat():
            if all(len(shape) == 3 and shape[:2] == first[:2] for shape in inputs):
                return *first[:2], sum(shape[2] for shape in inputs)
            return (sum(math.prod(shape) for shape in inputs),)
        case rows.Slice():
            if row.begin + row.size > first[-1]:
                raise ShapeError(f"{row.name}: channels end at {first[-1]}")
            return *first[:-1], row.size
        case rows.Sum() | rows.Maximum():
            if any(shape != first for shape in inputs):
                raise ShapeError(f"{row.name}: its inputs have different shapes: {inputs}")
            return first
        case rows.Reinterpret(channels=0):
            return (math.prod(first),)
        case rows.Reinterpret():
            side = math.isqrt(math.prod(first) // row.channels)
            if side * side * row.channels != math.prod(first):
                raise ShapeError(
                    f"{row.name}: {math.prod(first):,} values are not a square image of "
                    f"{row.channels} channels"
                )
            return side, side, row.channels
        case rows.Nailbed():
            side, _, channels = _image(row, first)
            count = -(-side // row.stride)
            return count, count, channels
        case rows.Resize():
            side, _, channels = _image(row, first)
            return int(side / row.scale), int(side / row.scale), channels
        case rows.RandomScale():
            return row.size, row.size, _image(row, first)[2]
        case rows.Softmax():
            return (math.prod(first),)
        case (
            rows.CrossMapNorm()
            | rows.SameMapNorm()
            | rows.ContrastNorm()
            | rows.Blur()
            | rows.Mirror()
        ):
            return _image(row, first)
        case rows.ColorTransform() | rows.Dropout() | rows.Neuron():
            return first
    raise ShapeError(f"{row.name}: unknown kind of row {type(row).__name__}")


def tree_nodes(row: rows.TreeFullyConnected) -> dict[int, tuple[int, ...]]:
    """Nodes of the tree by the number of leaves under them, ascending; a leaf has one."""
    leaves = [0] * len(row.parents)
    for leaf in range(row.outputs):
        node = leaf
        while node >= 0:
            leaves[node] += 1
            node = row.parents[node]
    return {
        count: tuple(node for node, under in enumerate(leaves) if under == count)
        for count in sorted(set(leaves))
    }


def kernel_names(row: rows.WeightRow) -> list[str]:
    """Names of the kernels of `row`: `kernel`, or `kernel0`, `kernel1`, ... for several inputs."""
    return ["kernel"] if len(row.kernels) == 1 else [f"kernel{i}" for i in range(len(row.kernels))]


def variable_shapes(row: rows.Row, inputs: list[Shape]) -> dict[str, Shape]:
    """Shapes of the variables of `row` by name; a shared kernel belongs to its owner only.

    Kernels: convolution (size, size, channels of a group, filters); untied (side, side, size * size
    * channels of a group, filters); fully connected (inputs, outputs); tree (nodes with so many
    leaves, inputs).
    Biases: (filters,), (outputs,), or one per position where they are not shared.
    """
    if not isinstance(row, rows.WeightRow):
        return {}
    output = output_shape(row, inputs)
    shapes: dict[str, Shape] = {}
    if isinstance(row, rows.TreeFullyConnected):
        groups = zip(kernel_names(row), tree_nodes(row).values(), strict=True)
        shapes = {name: (len(nodes), math.prod(inputs[0])) for name, nodes in groups}
        return shapes | {"bias": output}
    for name, kernel, shape in zip(kernel_names(row), row.kernels, inputs, strict=True):
        if kernel.source:
            continue
        if isinstance(row, rows.FullyConnected):
            shapes[name] = (math.prod(shape), row.outputs)
        elif isinstance(row, rows.Local):
            assert isinstance(kernel, rows.Filters)
            depth = kernel.size**2 * group_channels(kernel, shape[2])
            shapes[name] = (output[0], output[1], depth, row.filters)
        else:
            assert isinstance(row, rows.Conv) and isinstance(kernel, rows.Filters)
            shapes[name] = (kernel.size, kernel.size, group_channels(kernel, shape[2]), row.filters)
    if isinstance(row, rows.Local) or (isinstance(row, rows.Conv) and not row.shared_biases):
        shapes["bias"] = output
    else:
        shapes["bias"] = (output[-1],)
    return shapes
