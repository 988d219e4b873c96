"""Counts of a layer table from its own shape arithmetic; no model is built, TensorFlow unused."""

from __future__ import annotations

import math
from dataclasses import dataclass

from alexnet_common.counting import counted
from alexnet_tf.tables import rows, shapes
from alexnet_tf.tables.table import Table


@dataclass(frozen=True)
class LayerSummary:
    """One row in numbers.

    Attributes:
        name, kind, inputs, column: as in the table.
        title: the kind with its settings in a few words.
        shape: of the output, without the batch.
        kernels: shapes of the kernels that the row owns.
        parameters: weights and biases that the row owns.
        neurons: outputs, where the row has weights; else 0.
        receptive_field: side in input pixels that one output sees, borders ignored; 0 for
            vectors, which see all of it.
        jump: distance in input pixels of neighbouring outputs; 0 for vectors.
    """

    name: str
    kind: str
    title: str
    inputs: tuple[str, ...]
    column: int | None
    shape: shapes.Shape
    kernels: tuple[shapes.Shape, ...]
    parameters: int
    neurons: int
    receptive_field: int
    jump: int


def title(row: rows.Row) -> str:
    """The kind of `row` with its settings in a few words, such as "conv 11x11/4, relu"."""
    words = type(row).__name__
    match row:
        case rows.Conv() | rows.Local():
            shapes_used = dict.fromkeys(_window(kernel) for kernel in row.kernels)
            words = f"{words.lower()} {' + '.join(shapes_used)}"
        case rows.FullyConnected():
            words = "fully connected"
        case rows.Pool():
            words = f"{row.kind} pool {row.size}x{row.size}/{row.stride}"
        case rows.CrossMapNorm():
            words = f"norm across {row.size} maps, alpha {row.alpha:g}, k {row.k:g}"
        case rows.SameMapNorm() | rows.ContrastNorm():
            kind = "norm" if isinstance(row, rows.SameMapNorm) else "contrast norm"
            words = f"{kind} in map {row.size}x{row.size}, alpha {row.alpha:g}"
        case rows.Dropout():
            words = f"dropout, keep {row.keep:g}{' (inverted)' if row.form == 'inverted' else ''}"
        case rows.Neuron():
            return row.neuron
        case _:
            words = words.lower()
    return f"{words}, {row.neuron}" if row.neuron else words


def _window(kernel: rows.Filters) -> str:
    groups = f" in {kernel.groups} groups" if kernel.groups > 1 else ""
    return f"{kernel.size}x{kernel.size}/{kernel.stride}{groups}"


def _field(row: rows.Row, fields: list[tuple[int, int]], size: int, stride: int):
    field, jump = max(fields)
    return field + (size - 1) * jump, jump * stride


def _receptive(row: rows.Row, fields: list[tuple[int, int]], shape: shapes.Shape):
    """(receptive field, jump) of a row whose inputs have `fields`."""
    if len(shape) != 3 or any(jump == 0 for _, jump in fields):
        return 0, 0
    if isinstance(row, rows.Conv | rows.Local):
        pairs = zip(fields, row.kernels, strict=True)
        return max(_field(row, [field], k.size, k.stride) for field, k in pairs)
    if isinstance(row, rows.Pool):
        return _field(row, fields, row.size, row.stride)
    if isinstance(row, rows.SameMapNorm | rows.Blur):
        return _field(row, fields, row.size, 1)
    if isinstance(row, rows.ContrastNorm):  # The mean at each pixel of the window has a window.
        return _field(row, fields, 2 * row.size - 1, 1)
    if isinstance(row, rows.Nailbed):
        return _field(row, fields, 1, row.stride)
    return max(fields)


def layers(table: Table) -> list[LayerSummary]:
    """Every row of `table` in numbers, in its order; raises TableError or ShapeError."""
    net_shapes = table.shapes()
    fields = {rows.IMAGE: (1, 1)}
    result = []
    for row in table.layers:
        inputs = [net_shapes[name] for name in row.inputs]
        variables = shapes.variable_shapes(row, inputs)
        shape = net_shapes[row.name]
        fields[row.name] = _receptive(row, [fields[name] for name in row.inputs], shape)
        result.append(
            LayerSummary(
                name=row.name,
                kind=type(row).__name__,
                title=title(row),
                inputs=row.inputs,
                column=row.column,
                shape=shape,
                kernels=tuple(s for name, s in variables.items() if name != "bias"),
                parameters=sum(math.prod(s) for s in variables.values()),
                neurons=math.prod(shape) if isinstance(row, rows.WeightRow) else 0,
                receptive_field=fields[row.name][0],
                jump=fields[row.name][1],
            )
        )
    return result


def parameter_count(table: Table) -> int:
    """Number of trainable values."""
    return sum(layer.parameters for layer in layers(table))


def multiplication_count(table: Table) -> int:
    """Multiplications of one image's way forward through convolutions and connected layers."""
    total = 0
    for layer in layers(table):
        # A convolution's kernel is used at every place of its output, any other once.
        places = math.prod(layer.shape[:2]) if layer.kind == "Conv" else 1
        total += places * sum(math.prod(shape) for shape in layer.kernels)
    return total


def neuron_count(table: Table) -> int:
    """Number of neurons as the paper counts them: outputs of layers with weights."""
    return sum(layer.neurons for layer in layers(table))


def _sides(shape: shapes.Shape) -> str:
    return "x".join(str(side) for side in shape)


def text(table: Table) -> str:
    """The table as text, with totals."""
    summaries = layers(table)
    head = ["layer", "kind", "reads", "column", "output", "kernel", "parameters", "neurons", "sees"]
    lines = [head, ["data", "input", "", "", _sides(table.shapes()[rows.IMAGE]), "", "", "", "1"]]
    for s in summaries:
        lines.append(
            [
                s.name,
                s.title,
                ", ".join(s.inputs),
                "" if s.column is None or table.num_columns == 1 else str(s.column),
                _sides(s.shape),
                " + ".join(_sides(shape) for shape in s.kernels),
                f"{s.parameters:,}" if s.parameters else "",
                f"{s.neurons:,}" if s.neurons else "",
                str(s.receptive_field or "all"),
            ]
        )
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    right = {6, 7, 8}
    formatted = [
        "  ".join(
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    formatted.insert(1, "-" * max(len(line) for line in formatted))
    total = sum(s.parameters for s in summaries)
    biases = total - sum(math.prod(shape) for s in summaries for shape in s.kernels)
    cost = table.cost
    formatted += [
        "",
        f"network {table.name}: {total:,} parameters ({total - biases:,} weights and {biases:,} "
        f"biases), {sum(s.neurons for s in summaries):,} neurons "
        f"(outputs of layers with weights; the {math.prod(table.shapes()[rows.IMAGE]):,} inputs "
        f"not counted), {counted(table.num_columns, 'column')}",
    ]
    if cost is not None and (cost.kind != "logreg" or table.more_costs):
        formatted += [
            f"cost {one.kind} of {one.output}, times {one.coefficient:g}"
            for one in (cost, *table.more_costs)
        ]
    return "\n".join(formatted + [f"note: {note}" for note in table.notes])
