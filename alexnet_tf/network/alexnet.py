"""AlexNet as a table: the paper's net, and by its options the nets that others made of it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from alexnet_tf.network import rows
from alexnet_tf.network.table import Table, TableError

# Section 3.5: side, stride and (2012 code, layers-145.cfg) padding of the filters.
_CONV_SIZES = (11, 5, 3, 3, 3)
_CONV_STRIDES = (4, 1, 1, 1, 1)
_POOLED = (1, 2, 5)


class _Stack:
    """Rows collected from the input upwards, one per column."""

    def __init__(self, columns: int):
        self.rows: list[rows.Row] = []
        self.columns = columns
        self.tops = [rows.IMAGE] * columns

    def name(self, stem: str, column: int) -> str:
        """`conv1` in a net of one column, else `conv1a`, `conv1b`, ..."""
        return stem if self.columns == 1 else stem + "abcdefgh"[column]

    def add(self, row_type, stem: str, inputs=None, /, **fields) -> None:
        """Adds a row per column, each reading its own column's top."""
        tops = []
        for column in range(self.columns):
            name = self.name(stem, column)
            reads = (self.tops[column],) if inputs is None else inputs[column]
            self.rows.append(row_type(name=name, inputs=reads, column=column, **fields))
            tops.append(name)
        self.tops = tops

    def add_shared(self, row_type, name: str, /, **fields) -> None:
        """Adds one row under all columns."""
        self.rows.append(row_type(name=name, inputs=(self.tops[0],), **fields))
        self.tops = [name] * self.columns

    def readers(self, all_columns: bool) -> list[tuple[str, ...]]:
        """What each column's next layer reads: all tops, or its own."""
        own: list[tuple[str, ...]] = [(top,) for top in self.tops]
        everything = tuple(dict.fromkeys(self.tops))
        return [everything] * self.columns if all_columns else own


def alexnet(
    num_classes: int,
    *,
    columns: int = 2,
    input_size: int = 224,
    input_scale: float = 1.0,
    filters: Sequence[int] = (96, 256, 384, 384, 256),
    hidden: Sequence[int] = (4096, 4096),
    padding: Sequence[int] = (0, 2, 1, 1, 1),
    rounding: str = "ceil",
    all_column_convs: Sequence[int] = (3,),
    all_column_fcs: bool = True,
    sixth_conv: bool = False,
    leave_out: Sequence[str] = (),
    neuron: str = "relu",
    neuron_after_pool: Sequence[int] = (),
    lrn_layers: Sequence[int] = (1, 2),
    lrn_size: int = 5,
    lrn_alpha: float = 1e-4,
    lrn_alpha_over_size: bool = False,
    lrn_beta: float = 0.75,
    lrn_k: float = 2.0,
    lrn_across_columns: bool = False,
    lrn_after_pool: bool = False,
    spatial_norm_layers: Sequence[int] = (),
    spatial_norm_size: int = 5,
    spatial_norm_alpha: float = 1e-3,
    pool_size: int = 3,
    pool_stride: int = 2,
    dropout_after: Sequence[str] = ("fc6", "fc7"),
    dropout_keep: float = 0.5,
    dropout_form: str = "paper",
    init_stddevs: Sequence[float] = (0.01,) * 8,
    init_scale: float = 0.0,
    init_biases: Sequence[float] = (0, 1, 0, 1, 1, 1, 1, 0),
    weight_decay: float = 5e-4,
    bias_weight_decay: float = 0.0,
    bias_learning_rate_multiplier: float = 1.0,
) -> Table:
    """The paper's network (sections 3 and 5); the defaults are its text.

    Counts are those of all columns together; sequences run over conv1 ... conv5, fc6, fc7, fc8.

    Args:
        num_classes: outputs of fc8.
        columns: number of towers (section 3.2: 2, on two GPUs).
        input_size: pixels; with 224, padding 0 and "ceil" conv1 sees 3 rows of zeros at the end.
        input_scale: factor on the mean-subtracted pixels (torchvision divides by a deviation).
        filters, hidden: widths of conv1 ... conv5 and of fc6, fc7.
        padding, rounding: zeros on each side of the convolutions' inputs; "ceil" as in the 2012
            code, for pooling too, or "floor" as elsewhere.
        all_column_convs: numbers of the convolutions that read all columns.
        all_column_fcs: whether fc6 and fc7 read all columns (fc8 always does).
        sixth_conv: conv6 on pool5, reading all columns, as wide as conv5 (2012 runs 141, 146).
        leave_out: "conv2" ... "conv5", "fc6", "fc7" to be left out; their pooling stays. Where
            a layer that reads all columns goes, the next convolution takes that over.
        neuron: the neurons' function.
        neuron_after_pool: numbers of the convolutions whose neurons act after the pooling.
        lrn_layers: numbers of the convolutions followed by normalisation across maps.
        lrn_size, lrn_alpha, lrn_beta, lrn_k: section 3.3's n, alpha, beta, k.
        lrn_alpha_over_size: divide alpha by n, as the 2012 code and Caffe do.
        lrn_across_columns: windows cross the seam of the columns (Caffe's do).
        lrn_after_pool: normalise after pooling (CaffeNet), not before.
        spatial_norm_layers, spatial_norm_size, spatial_norm_alpha: convolutions with a second
            normalisation, within each map, its window, and its alpha before division by size^2.
        pool_size, pool_stride: section 3.4's z and s.
        dropout_after: layers among "pool5", "fc6", "fc7" whose outputs are dropped.
        dropout_keep, dropout_form: see `rows.Dropout`.
        init_stddevs: standard deviations of the initial weights.
        init_scale: if positive, they are sqrt(init_scale / inputs of a unit) instead.
        init_biases: initial biases.
        weight_decay, bias_weight_decay, bias_learning_rate_multiplier: see `rows.Weights`.

    Raises:
        TableError: widths that the columns do not divide, or lists of wrong lengths.
    """
    _check_lists(columns, filters, hidden, padding, init_stddevs, init_biases, leave_out)
    stack = _Stack(columns)
    if input_scale != 1:
        stack.add_shared(rows.Neuron, "scaled", neuron=f"linear[{input_scale:.9f},0]")
    depths = dict.fromkeys(stack.tops, 3)

    def bias(number: int) -> rows.Bias:
        return rows.Bias(
            init=float(init_biases[number - 1]),
            learning_rate_multiplier=bias_learning_rate_multiplier,
            weight_decay=bias_weight_decay,
        )

    def stddev(number: int, fan_in: int) -> float:
        return math.sqrt(init_scale / fan_in) if init_scale > 0 else init_stddevs[number - 1]

    def conv(stem: str, number: int, width: int, size: int, stride: int, pad: int, merge: bool):
        reads = stack.readers(merge)
        fan_in = size * size * sum(depths[name] for name in reads[0])
        kernel = rows.Filters(
            size=size,
            stride=stride,
            padding=pad,
            rounding=rounding,
            init_stddev=stddev(number, fan_in),
            weight_decay=weight_decay,
        )
        stack.add(
            rows.Conv,
            stem,
            reads,
            filters=width // columns,
            kernels=(kernel,) * len(reads[0]),
            bias=bias(number),
            neuron="" if number in neuron_after_pool and stem != "conv6" else neuron,
        )

    def norms(number: int) -> None:
        if number in lrn_layers:
            alpha = lrn_alpha / lrn_size if lrn_alpha_over_size else lrn_alpha
            fields = {"size": lrn_size, "alpha": alpha, "beta": lrn_beta, "k": lrn_k}
            if lrn_across_columns and columns > 1:
                width = filters[number - 1]
                _across_columns(stack, f"lrn{number}", width // columns, fields)
            else:
                stack.add(rows.CrossMapNorm, f"lrn{number}", **fields)
        if number in spatial_norm_layers:
            stack.add(
                rows.SameMapNorm,
                f"rnorm{number}",
                size=spatial_norm_size,
                alpha=spatial_norm_alpha / spatial_norm_size**2,
                beta=lrn_beta,
            )

    merge_next = False
    for number in range(1, 6):
        merge = merge_next or (number in all_column_convs and columns > 1)
        left_out = f"conv{number}" in leave_out
        merge_next = left_out and merge
        if not left_out:
            size, stride = _CONV_SIZES[number - 1], _CONV_STRIDES[number - 1]
            pad = padding[number - 1]
            conv(f"conv{number}", number, filters[number - 1], size, stride, pad, merge)
            width = filters[number - 1] // columns
            if not lrn_after_pool:
                norms(number)
        if number in _POOLED:
            stack.add(
                rows.Pool,
                f"pool{number}",
                kind="max",
                size=pool_size,
                stride=pool_stride,
                rounding=rounding,
                neuron=neuron if number in neuron_after_pool and not left_out else "",
            )
        if lrn_after_pool and not left_out:
            norms(number)
        depths |= dict.fromkeys(stack.tops, width)
    if sixth_conv:
        # layers-146-2011.cfg: between pool3 and the first fully connected layer.
        conv("conv6", 5, filters[4], 3, 1, 1, columns > 1)

    def dropout(stem: str) -> None:
        if stem in dropout_after:
            number = stem[-1]
            stack.add(rows.Dropout, f"dropout{number}", keep=dropout_keep, form=dropout_form)

    dropout("pool5")
    # The side of pool5 sets fc6's fan-in; only a scaled initialisation needs to know it.
    known = Table("", tuple(stack.rows), input_size, num_classes).shapes()
    fan_in = math.prod(known[stack.tops[0]])
    for number, width in zip((6, 7), hidden, strict=True):
        if f"fc{number}" in leave_out:
            continue
        reads = stack.readers(all_column_fcs)
        fan_in *= len(reads[0])
        weights = rows.Weights(init_stddev=stddev(number, fan_in), weight_decay=weight_decay)
        stack.add(
            rows.FullyConnected,
            f"fc{number}",
            reads,
            outputs=width // columns,
            kernels=(weights,) * len(reads[0]),
            bias=bias(number),
            neuron=neuron,
        )
        fan_in = width // columns
        dropout(f"fc{number}")
    reads = stack.readers(True)
    weights = rows.Weights(init_stddev=stddev(8, fan_in * len(reads[0])), weight_decay=weight_decay)
    stack.rows.append(
        rows.FullyConnected(
            name="fc8",
            inputs=reads[0],
            column=0,
            outputs=num_classes,
            kernels=(weights,) * len(reads[0]),
            bias=bias(8),
        )
    )
    return Table("alexnet", tuple(stack.rows), input_size, num_classes)


def _check_lists(columns, filters, hidden, padding, stddevs, biases, leave_out) -> None:
    lengths = {
        "filters": (filters, 5),
        "hidden": (hidden, 2),
        "padding": (padding, 5),
        "init_stddevs": (stddevs, 8),
        "init_biases": (biases, 8),
    }
    for name, (values, length) in lengths.items():
        if len(values) != length:
            raise TableError(f"config.network.{name} must hold {length} values, not {len(values)}")
    for name, values in (("filters", filters), ("hidden", hidden)):
        if any(width % columns for width in values):
            raise TableError(
                f"config.network.{name} {tuple(values)} must divide by {columns} columns"
            )
    known = {"conv2", "conv3", "conv4", "conv5", "fc6", "fc7"}
    if set(leave_out) - known:
        raise TableError(f"config.network.leave_out knows {', '.join(sorted(known))}")


def _across_columns(stack: _Stack, stem: str, width: int, fields: dict) -> None:
    """Normalisation whose windows cross the columns: concatenate, normalise, divide."""
    stack.rows.append(rows.Concat(name=f"{stem}_in", inputs=tuple(stack.tops), column=0))
    stack.rows.append(
        rows.CrossMapNorm(name=f"{stem}_all", inputs=(f"{stem}_in",), column=0, **fields)
    )
    tops = []
    for column in range(stack.columns):
        name = stack.name(stem, column)
        stack.rows.append(
            rows.Slice(
                name=name,
                inputs=(f"{stem}_all",),
                column=column,
                begin=column * width,
                size=width,
            )
        )
        tops.append(name)
    stack.tops = tops


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
    """
    stack = _Stack(columns)
    width, fan = 3, 3 * conv1_size**2 * pixel_scale**2
    for number, total in enumerate(filters, start=1):
        merge = number == 3 and columns > 1
        reads = stack.readers(merge)
        if number > 1:
            fan = 9 * width * len(reads[0]) if number > 2 else 25 * width
        size = {1: conv1_size, 2: 5}.get(number, 3)
        kernel = rows.Filters(
            size=size,
            stride=conv1_stride if number == 1 else 1,
            padding=0 if number == 1 else size // 2,
            init_stddev=math.sqrt(init_scale / fan),
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
        width = total // columns
        if lrn and number <= 2:
            fields = {"size": 5, "alpha": 1e-4, "beta": 0.75, "k": 2.0}
            stack.add(rows.CrossMapNorm, f"lrn{number}", **fields)
        if number <= 2 or number == len(filters):
            stack.add(rows.Pool, f"pool{number}", kind="max", size=3, stride=2)
    known = Table("", tuple(stack.rows), input_size, num_classes).shapes()
    reads = stack.readers(True)
    fan = math.prod(known[stack.tops[0]]) * len(reads[0])
    top = len(filters) + 1
    weights = rows.Weights(init_stddev=math.sqrt(init_scale / fan), weight_decay=weight_decay)
    stack.add(
        rows.FullyConnected,
        f"fc{top}",
        reads,
        outputs=hidden // columns,
        kernels=(weights,) * len(reads[0]),
        neuron="relu",
    )
    stack.add(rows.Dropout, f"dropout{top}", keep=dropout_keep)
    reads = stack.readers(True)
    weights = rows.Weights(init_stddev=0.01, weight_decay=weight_decay)
    stack.rows.append(
        rows.FullyConnected(
            name=f"fc{top + 1}",
            inputs=reads[0],
            column=0,
            outputs=num_classes,
            kernels=(weights,) * len(reads[0]),
        )
    )
    return Table("demo", tuple(stack.rows), input_size, num_classes)
