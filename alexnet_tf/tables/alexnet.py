"""AlexNet as a table: the paper's net, and by its options the nets that others made of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from alexnet_tf.tables import rows
from alexnet_tf.tables.rows import TableError
from alexnet_tf.tables.stack import Stack, check_columns
from alexnet_tf.tables.table import Table

# Section 3.5: what is pooled.
_POOLED = (1, 2, 5)
_CAN_GO = ("conv2", "conv3", "conv4", "conv5", "fc6", "fc7")


@dataclass(frozen=True)
class AlexNet:
    """The options of the paper's network (sections 3 and 5); the defaults are its text.

    Counts are those of all columns together; sequences run over conv1 ... conv5, fc6, fc7, fc8.

    Attributes:
        num_classes: outputs of fc8.
        columns: number of towers (section 3.2: 2, on two GPUs).
        input_size: pixels; with 224, padding 0 and "ceil" conv1 sees 3 rows of zeros at the end.
        input_scale: factor on the mean-subtracted pixels (torchvision divides by a deviation).
        filters, hidden: widths of conv1 ... conv5 and of fc6, fc7.
        sizes, strides: sides and strides of the filters of conv1 ... conv5.
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
        pool_ties: where several pixels share a maximum, "one" of them gets the gradient or,
            undivided, "all" do (as in the 2012 code).
        dropout_after: layers among "pool5", "fc6", "fc7" whose outputs are dropped.
        dropout_keep, dropout_form: probability of keeping a value; "paper" multiplies by it in
            tests (section 4.2), "inverted" divides by it in training (Keras, PyTorch).
        init_stddevs: standard deviations of the initial weights.
        init_scale: if positive, they are sqrt(init_scale / inputs of a unit) instead.
        init_biases: initial biases.
        weight_decay, bias_weight_decay, bias_learning_rate_multiplier: decay of weights and of
            biases in the update rule (section 5); factor on the learning rate of biases.
    """

    num_classes: int
    columns: int = 2
    input_size: int = 224
    input_scale: float = 1.0
    filters: Sequence[int] = (96, 256, 384, 384, 256)
    hidden: Sequence[int] = (4096, 4096)
    sizes: Sequence[int] = (11, 5, 3, 3, 3)
    strides: Sequence[int] = (4, 1, 1, 1, 1)
    padding: Sequence[int] = (0, 2, 1, 1, 1)
    rounding: str = "ceil"
    all_column_convs: Sequence[int] = (3,)
    all_column_fcs: bool = True
    sixth_conv: bool = False
    leave_out: Sequence[str] = ()
    neuron: str = "relu"
    neuron_after_pool: Sequence[int] = ()
    lrn_layers: Sequence[int] = (1, 2)
    lrn_size: int = 5
    lrn_alpha: float = 1e-4
    lrn_alpha_over_size: bool = False
    lrn_beta: float = 0.75
    lrn_k: float = 2.0
    lrn_across_columns: bool = False
    lrn_after_pool: bool = False
    spatial_norm_layers: Sequence[int] = ()
    spatial_norm_size: int = 5
    spatial_norm_alpha: float = 1e-3
    pool_size: int = 3
    pool_stride: int = 2
    pool_ties: str = "one"
    dropout_after: Sequence[str] = ("fc6", "fc7")
    dropout_keep: float = 0.5
    dropout_form: str = "paper"
    init_stddevs: Sequence[float] = (0.01,) * 8
    init_scale: float = 0.0
    init_biases: Sequence[float] = (0, 1, 0, 1, 1, 1, 1, 0)
    weight_decay: float = 5e-4
    bias_weight_decay: float = 0.0
    bias_learning_rate_multiplier: float = 1.0

    def table(self) -> Table:
        """The network; raises TableError for widths or lists that make none."""
        self._check()
        stack = Stack(self.columns, self.input_size)
        if self.input_scale != 1:
            stack.add_shared(rows.Neuron, "scaled", neuron=f"linear[{self.input_scale:.9f},0]")
        self._add_convolutions(stack)
        if self.sixth_conv:
            # layers-146-2011.cfg: between the last pooling and the fully connected layers.
            self._add_conv(stack, "conv6", 5, 3, 1, 1, all_columns=True)
        self._add_dropout(stack, "pool5")
        for number, width in zip((6, 7), self.hidden, strict=True):
            if f"fc{number}" not in self.leave_out:
                self._add_fully_connected(stack, number, width)
                self._add_dropout(stack, f"fc{number}")
        reads = stack.readers(True)[0]
        stack.append(
            rows.FullyConnected(
                name="fc8",
                inputs=reads,
                column=0,
                outputs=self.num_classes,
                kernels=(rows.Weights(**self._weights(8, stack.fan_in(reads))),) * len(reads),
                bias=self._bias(8),
            )
        )
        return Table("alexnet", tuple(stack.rows), self.input_size, self.num_classes)

    def _check(self) -> None:
        lengths = {
            "filters": 5,
            "hidden": 2,
            "sizes": 5,
            "strides": 5,
            "padding": 5,
            "init_stddevs": 8,
            "init_biases": 8,
        }
        for name, length in lengths.items():
            values = getattr(self, name)
            if len(values) != length:
                raise TableError(
                    f"config.network.{name} must have {length} values, not {len(values)}"
                )
        check_columns(self.columns)
        # What would not be seen in the rows, or stop before there are any.
        least = {"pool_size": 1, "pool_stride": 1, "init_scale": 0, "input_scale": 1e-9}
        for name, low in least.items():
            if not low <= getattr(self, name) < math.inf:
                raise TableError(
                    f"config.network.{name} must be {low} or more, not {getattr(self, name)}"
                )
        for name in ("filters", "hidden"):
            values = getattr(self, name)
            if any(width % self.columns for width in values):
                raise TableError(
                    f"config.network.{name} {tuple(values)} must divide by {self.columns} columns"
                )
        choices = {
            "leave_out": (self.leave_out, _CAN_GO),
            "dropout_after": (self.dropout_after, ("pool5", "fc6", "fc7")),
            "rounding": ((self.rounding,), ("ceil", "floor")),
            "dropout_form": ((self.dropout_form,), ("paper", "inverted")),
            "pool_ties": ((self.pool_ties,), ("one", "all")),
            "all_column_convs": (self.all_column_convs, range(1, 6)),
            "lrn_layers": (self.lrn_layers, range(1, 6)),
            "spatial_norm_layers": (self.spatial_norm_layers, range(1, 6)),
            # Those that are pooled.
            "neuron_after_pool": (self.neuron_after_pool, (1, 2, 5)),
        }
        for name, (values, allowed) in choices.items():
            for value in values:
                if value not in allowed:
                    raise TableError(
                        f"config.network.{name}: {value!r} is not one of "
                        f"{', '.join(map(str, allowed))}"
                    )

    def _weights(self, number: int, fan_in: int) -> dict[str, Any]:
        stddev = self.init_stddevs[number - 1]
        if self.init_scale > 0:
            stddev = math.sqrt(self.init_scale / fan_in)
        return {"init_stddev": stddev, "weight_decay": self.weight_decay}

    def _bias(self, number: int) -> rows.Bias:
        return rows.Bias(
            init=float(self.init_biases[number - 1]),
            learning_rate_multiplier=self.bias_learning_rate_multiplier,
            weight_decay=self.bias_weight_decay,
        )

    def _add_convolutions(self, stack: Stack) -> None:
        merge_next = False
        for number in range(1, 6):
            all_columns = merge_next or number in self.all_column_convs
            left_out = f"conv{number}" in self.leave_out
            merge_next = left_out and all_columns
            if not left_out:
                size, stride = self.sizes[number - 1], self.strides[number - 1]
                padding = self.padding[number - 1]
                self._add_conv(
                    stack, f"conv{number}", number, size, stride, padding, all_columns=all_columns
                )
                if not self.lrn_after_pool:
                    self._add_norms(stack, number)
            if number in _POOLED:
                late = number in self.neuron_after_pool and not left_out
                stack.add(
                    rows.Pool,
                    f"pool{number}",
                    kind="max",
                    size=self.pool_size,
                    stride=self.pool_stride,
                    rounding=self.rounding,
                    ties=self.pool_ties,
                    neuron=self.neuron if late else "",
                )
            if self.lrn_after_pool and not left_out:
                self._add_norms(stack, number)

    def _add_conv(
        self,
        stack: Stack,
        name: str,
        number: int,
        size: int,
        stride: int,
        padding: int,
        *,
        all_columns: bool,
    ) -> None:
        """Adds a convolution with the width and the initial values of conv`number`."""
        reads = stack.readers(all_columns)
        kernel = rows.Filters(
            size=size,
            stride=stride,
            padding=padding,
            rounding=self.rounding,
            **self._weights(number, stack.fan_in(reads[0], size)),
        )
        pooled_first = number in self.neuron_after_pool and name != "conv6"
        stack.add(
            rows.Conv,
            name,
            reads,
            filters=self.filters[number - 1] // self.columns,
            kernels=(kernel,) * len(reads[0]),
            bias=self._bias(number),
            neuron="" if pooled_first else self.neuron,
        )

    def _add_norms(self, stack: Stack, number: int) -> None:
        if number in self.lrn_layers:
            alpha = self.lrn_alpha / self.lrn_size if self.lrn_alpha_over_size else self.lrn_alpha
            constants = {
                "size": self.lrn_size,
                "alpha": alpha,
                "beta": self.lrn_beta,
                "k": self.lrn_k,
            }
            if self.lrn_across_columns and self.columns > 1:
                _add_norm_across_columns(stack, f"lrn{number}", constants)
            else:
                stack.add(rows.CrossMapNorm, f"lrn{number}", **constants)
        if number in self.spatial_norm_layers:
            stack.add(
                rows.SameMapNorm,
                f"rnorm{number}",
                size=self.spatial_norm_size,
                alpha=self.spatial_norm_alpha / self.spatial_norm_size**2,
                beta=self.lrn_beta,
            )

    def _add_fully_connected(self, stack: Stack, number: int, width: int) -> None:
        reads = stack.readers(self.all_column_fcs)
        weights = rows.Weights(**self._weights(number, stack.fan_in(reads[0])))
        stack.add(
            rows.FullyConnected,
            f"fc{number}",
            reads,
            outputs=width // self.columns,
            kernels=(weights,) * len(reads[0]),
            bias=self._bias(number),
            neuron=self.neuron,
        )

    def _add_dropout(self, stack: Stack, after: str) -> None:
        if after in self.dropout_after:
            name = f"dropout{after[-1]}"
            stack.add(rows.Dropout, name, keep=self.dropout_keep, form=self.dropout_form)


def _add_norm_across_columns(stack: Stack, stem: str, constants: dict[str, Any]) -> None:
    """Normalisation whose windows cross the columns: concatenate, normalise, divide."""
    stack.append(rows.Concat(name=f"{stem}_in", inputs=tuple(stack.tops), column=0))
    widths = [stack.shapes[top][-1] for top in stack.tops]
    whole = f"{stem}_all"
    stack.append(rows.CrossMapNorm(name=whole, inputs=(f"{stem}_in",), column=0, **constants))
    stack.tops = [
        stack.append(
            rows.Slice(
                name=stack.name(stem, column),
                inputs=(whole,),
                column=column,
                begin=sum(widths[:column]),
                size=width,
            )
        )
        for column, width in enumerate(widths)
    ]
