"""The CIFAR-10 nets of the 2012 code's examples with 18%, 13% and 11% error."""

from __future__ import annotations

from collections.abc import Sequence

from alexnet_tf.tables import rows
from alexnet_tf.tables.cifar import convolution
from alexnet_tf.tables.table import Table


def cifar_18pct(
    num_classes: int,
    *,
    input_size: int = 32,
    neuron: str = "relu",
    norm: bool = True,
    weight_decay: float = 0.004,
    fc_weight_decay: float = 1.0,
    bias_learning_rate_multiplier: float = 2.0,
) -> Table:
    """The "18% error" net: layers-18pct.cfg and layer-params-18pct.cfg.

    Three 5x5 convolutions with pooling 3/2 (max, average, average), the first two normalised within
    each map, and fc10: four layers. Without `norm`, and with a decay of 3 in fc10, it is the "19%"
    net. A decay of 1 is meant so: with the rate 0.001 it takes a thousandth per update.

    Args:
        num_classes: outputs of the last layer, named fc10 whatever their number.
        input_size: pixels.
        neuron: the neurons' function.
        norm: whether pool1 and pool2 are normalised.
        weight_decay, fc_weight_decay: of the convolutions and of fc10.
        bias_learning_rate_multiplier: factor on the run's learning rate for biases.
    """
    bias = rows.Bias(learning_rate_multiplier=bias_learning_rate_multiplier)
    layers: list[rows.Row] = []
    top = rows.IMAGE
    for number, (filters, stddev, pooling) in enumerate(
        [(32, 0.0001, "max"), (32, 0.01, "avg"), (64, 0.01, "avg")], start=1
    ):
        kernel = rows.Filters(size=5, padding=2, init_stddev=stddev, weight_decay=weight_decay)
        layers += convolution(number, top, filters, kernel, bias, neuron, pooling)
        top = f"pool{number}"
        if norm and number < 3:
            layers.append(_norm_in_map(f"rnorm{number}", top))
            top = f"rnorm{number}"
    layers.append(_last(top, num_classes, fc_weight_decay, bias))
    return Table("cifar_18pct", tuple(layers), input_size, num_classes)


def cifar_13pct(
    num_classes: int,
    *,
    input_size: int = 24,
    neuron: str = "relu",
    lrn: bool = False,
    filters: Sequence[int] = (64, 64),
    local_filters: Sequence[int] = (32, 32),
    weight_decay: float = 0.0,
    local_weight_decay: float = 0.004,
    fc_weight_decay: float = 0.004,
    bias_learning_rate_multiplier: float = 2.0,
) -> Table:
    """The "13% error" net, layers-conv-local-13pct.cfg, and by its options the "11%" net.

    Two 5x5 convolutions with pooling 3/2, two untied 3x3 layers and fc10, on crops of 24 pixels.
    The 11% net has normalisation across maps (after pool1, before pool2), but also 64 instead of 32
    filters in local3, and a decay of 0.01 in fc10: `lrn=True, local_filters=(64, 32),
    fc_weight_decay=0.01`.

    Args:
        num_classes: outputs of the last layer, named fc10 whatever their number.
        input_size: pixels.
        neuron: the neurons' function.
        lrn: normalisation across maps, with the constants of the 11% net: 9 maps, 0.001 / 9 on the
            sum of squares, k of 1.
        filters, local_filters: of conv1 and conv2, and of local3 and local4.
        weight_decay, local_weight_decay, fc_weight_decay: of the convolutions, of the untied
            layers, of fc10.
        bias_learning_rate_multiplier: factor on the run's learning rate for biases.
    """
    bias = rows.Bias(learning_rate_multiplier=bias_learning_rate_multiplier)
    first = rows.Filters(size=5, padding=2, init_stddev=0.0001, weight_decay=weight_decay)
    second = rows.Filters(size=5, padding=2, init_stddev=0.01, weight_decay=weight_decay)
    layers = convolution(1, rows.IMAGE, filters[0], first, bias, neuron, "max")
    top = "pool1"
    if lrn:
        layers.append(_norm_across_maps("rnorm1", top))
        top = "rnorm1"
    conv2, pool2 = convolution(2, top, filters[1], second, bias, neuron, "max")
    layers.append(conv2)
    if lrn:
        layers.append(_norm_across_maps("rnorm2", "conv2"))
        pool2 = rows.Pool(name="pool2", inputs=("rnorm2",), kind="max", size=3, stride=2)
    layers.append(pool2)
    top = "pool2"
    untied = rows.Filters(size=3, padding=1, init_stddev=0.04, weight_decay=local_weight_decay)
    for number, count in enumerate(local_filters, start=3):
        layers.append(
            rows.Local(
                name=f"local{number}",
                inputs=(top,),
                filters=count,
                kernels=(untied,),
                bias=bias,
                neuron=neuron,
            )
        )
        top = f"local{number}"
    layers.append(_last(top, num_classes, fc_weight_decay, bias))
    return Table("cifar_13pct", tuple(layers), input_size, num_classes)


def _norm_in_map(name: str, top: str) -> rows.Row:
    return rows.SameMapNorm(name=name, inputs=(top,), size=3, alpha=5e-5 / 9, beta=0.75)


def _norm_across_maps(name: str, top: str) -> rows.Row:
    return rows.CrossMapNorm(name=name, inputs=(top,), size=9, alpha=1e-3 / 9, beta=0.75, k=1.0)


def _last(top: str, num_classes: int, decay: float, bias: rows.Bias) -> rows.Row:
    weights = rows.Weights(init_stddev=0.01, weight_decay=decay)
    return rows.FullyConnected(
        name="fc10", inputs=(top,), outputs=num_classes, kernels=(weights,), bias=bias
    )
