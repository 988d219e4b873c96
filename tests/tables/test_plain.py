"""Tables as JSON and back."""

from __future__ import annotations

import json

import pytest

from alexnet_tf import recipes
from alexnet_tf.tables import plain, table
from alexnet_tf.tables.rows import TableError


@pytest.mark.parametrize("name", ["alexnet_paper", "alexnet_code2012", "alexnet_caffe", "demo"])
def test_the_same_table_comes_back(name):
    network = table.from_config(recipes.load(name).network, 10)
    text = json.dumps(plain.to_plain(network))
    assert plain.from_plain(json.loads(text)) == network


def test_other_values_are_one_line():
    for values in ({}, {"kind_of": "Table"}, {"kind_of": "Nothing"}, {"kind_of": "Bias"}):
        with pytest.raises(TableError, match="cannot be read"):
            plain.from_plain(values)
