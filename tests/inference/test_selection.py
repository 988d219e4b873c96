"""Which rows a layer's name means."""

import pytest

from alexnet_common.errors import UsageError
from alexnet_tf import recipes
from alexnet_tf.inference import selection
from alexnet_tf.tables import table


def net(name, classes=1000):
    return table.from_config(recipes.load(name).network, classes)


def test_columns_are_joined_in_their_order():
    conv5, fc7, one = selection.choose(net("alexnet_paper"), ["conv5", "fc7", "conv5b"])
    # Shapes of the paper's figure 2.
    assert (conv5.rows, conv5.shape) == (("conv5a", "conv5b"), (13, 13, 256))
    assert (fc7.rows, fc7.shape) == (("fc7a", "fc7b"), (4096,))
    assert (one.rows, one.shape) == (("conv5b",), (13, 13, 128))


def test_a_net_of_one_column_has_its_rows():
    (conv5,) = selection.choose(net("alexnet_owt"), ["conv5"])
    assert (conv5.rows, conv5.shape) == (("conv5",), (13, 13, 256))


def test_layers_are_listed_once_in_the_networks_order():
    assert selection.layers(net("demo", 10)) == [
        "conv1", "lrn1", "pool1", "conv2", "lrn2", "pool2", "conv3", "pool3", "fc4", "dropout4",
        "fc5",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["conv6"], "no layer 'conv6'; did you mean conv5"),
        (["conv5", "conv5"], "layer conv5 is named twice"),
        (["nothing like it"], "it has conv1, lrn1, pool1"),
        ([], "no layer named; network alexnet has conv1"),
    ],
)
def test_wrong_names_are_one_line(names, message):
    with pytest.raises(UsageError, match="^[^\n]*$") as error:
        selection.choose(net("alexnet_paper"), names)
    assert message in str(error.value)
