"""Options that make no network are one line that names them, before anything is built."""

import math

import pytest

from alexnet_common.errors import UserError
from alexnet_tf import recipes
from alexnet_tf.tables import table

SMALL = {"name": "alexnet", "input_size": 67, "filters": (16, 32, 48, 48, 32), "hidden": (64, 48)}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"neuron": "rellu"}, "unknown neuron 'rellu'; neurons are .*relu"),
        ({"lrn_k": 0.0}, "lrn1a: k must be above 0, not 0"),
        ({"lrn_alpha": math.nan}, "lrn1a: alpha must be a finite number, not nan"),
        ({"lrn_size": 0}, "lrn1a: size must be 1 or more"),
        ({"dropout_keep": 2.0}, "dropout6a: keep must be above 0 and at most 1, not 2"),
        ({"weight_decay": -1.0}, "conv1a: weight_decay must be 0 or more"),
        ({"init_stddevs": (-0.1,) * 8}, "conv1a: init_stddev must be 0 or more"),
        ({"init_biases": (math.inf,) * 8}, "conv1a: init must be a finite number"),
        ({"padding": (-1, 2, 1, 1, 1)}, "conv1a: padding must be 0 or more"),
        ({"filters": (0, 32, 48, 48, 32)}, "conv1a: filters must be 1 or more"),
        ({"init_scale": math.nan}, "config.network.init_scale must be 0 or more, not nan"),
        ({"input_scale": 0.0}, "config.network.input_scale must be"),
        ({"pool_stride": 0}, "config.network.pool_stride must be 1 or more, not 0"),
        ({"columns": 16}, "config.network.columns must be from 1 to 8, not 16"),
        ({"columns": 0}, "config.network.columns must be from 1 to 8, not 0"),
        # Numbers of layers that there are not would otherwise change nothing, unseen.
        ({"lrn_layers": (1, 9)}, "config.network.lrn_layers: 9 is not one of 1, 2, 3, 4, 5"),
        ({"all_column_convs": (7,)}, "config.network.all_column_convs: 7 is not one of"),
        ({"neuron_after_pool": (3,)}, "config.network.neuron_after_pool: 3 is not one of 1, 2, 5"),
    ],
)
def test_what_makes_no_network_is_named(options, message):
    with pytest.raises(UserError, match=message):
        table.from_config(SMALL | options, 10)


@pytest.mark.parametrize(
    ("network", "options", "message"),
    [
        ("demo", {"columns": 0}, "columns must be from 1 to 8"),
        ("demo", {"columns": 5}, "filters: 32 outputs cannot be shared by 5 columns"),
        ("demo", {"filters": (8, 0, 8)}, "filters: 0 outputs cannot be shared by 2 columns"),
        ("demo", {"hidden": 7}, "hidden: 7 outputs cannot be shared by 2 columns"),
        ("demo", {"dropout_keep": 0.0}, "keep must be above 0"),
        ("cifar_quick", {"neuron": "tanh"}, "takes 2 numbers"),
    ],
)
def test_other_networks_are_checked_too(network, options, message):
    with pytest.raises(UserError, match=message):
        table.from_config({"name": network} | options, 10)


@pytest.mark.parametrize("name", ["alexnet_code2012", "alexnet_caffe", "alexnet_owt", "demo"])
def test_recipes_pass(name):
    config = recipes.load(name)
    assert table.from_config(config.network, config.num_classes).layers
