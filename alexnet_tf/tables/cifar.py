"""The CIFAR-10 net of the 2012 code's examples that takes minutes."""

from __future__ import annotations

from alexnet_tf.tables import rows
from alexnet_tf.tables.table import Table


def cifar_quick(
    num_classes: int,
    *,
    input_size: int = 32,
    neuron: str = "relu",
    weight_decay: float = 0.004,
    fc_weight_decay: float = 0.03,
    bias_learning_rate_multiplier: float = 2.0,
) -> Table:
    """The "26% error in 80 seconds" net: layers-80sec.cfg and layer-params-80sec.cfg.

    Three 5x5 convolutions with pooling 3/2 (max, average, average; the windows at the end are
    clipped), fc64 and fc10. The first neurons act after the pooling, which for the maximum of a
    rectifier is the same function and a quarter of the work. All its rates for weights are 0.001,
    for biases 0.002.

    Args:
        num_classes: outputs of the last layer, named fc10 whatever their number.
        input_size: pixels.
        neuron: the neurons' function.
        weight_decay, fc_weight_decay: of the convolutions and the fully connected layers.
        bias_learning_rate_multiplier: factor on the run's learning rate for biases.
    """
    bias = rows.Bias(learning_rate_multiplier=bias_learning_rate_multiplier)
    layers: list[rows.Row] = []
    top = rows.IMAGE
    for number, (filters, stddev, pooling) in enumerate(
        [(32, 0.0001, "max"), (32, 0.01, "avg"), (64, 0.01, "avg")], start=1
    ):
        kernel = rows.Filters(size=5, padding=2, init_stddev=stddev, weight_decay=weight_decay)
        pooled_first = number == 1 and neuron == "relu"
        layers += convolution(number, top, filters, kernel, bias, neuron, pooling, pooled_first)
        top = f"pool{number}"
    weights = rows.Weights(init_stddev=0.1, weight_decay=fc_weight_decay)
    layers += [
        rows.FullyConnected(
            name="fc64", inputs=(top,), outputs=64, kernels=(weights,), bias=bias, neuron=neuron
        ),
        rows.FullyConnected(
            name="fc10", inputs=("fc64",), outputs=num_classes, kernels=(weights,), bias=bias
        ),
    ]
    return Table("cifar_quick", tuple(layers), input_size, num_classes)


def convolution(
    number: int,
    top: str,
    filters: int,
    kernel: rows.Filters,
    bias: rows.Bias,
    neuron: str,
    pooling: str,
    pooled_first: bool = False,
) -> list[rows.Row]:
    """A convolution and its pooling 3/2, as all CIFAR-10 nets of 2012 have them.

    Args:
        number: of the two rows' names.
        top: the row that it reads.
        filters, kernel, bias, neuron: of the convolution.
        pooling: "max" or "avg".
        pooled_first: whether the neuron acts after the pooling.
    """
    before, after = ("", neuron) if pooled_first else (neuron, "")
    conv, pool = f"conv{number}", f"pool{number}"
    return [
        rows.Conv(
            name=conv, inputs=(top,), filters=filters, kernels=(kernel,), bias=bias, neuron=before
        ),
        rows.Pool(name=pool, inputs=(conv,), kind=pooling, size=3, stride=2, neuron=after),
    ]
