"""The definition files of 2012 that are at hand."""

import pytest


@pytest.fixture
def files(real_data):
    folder = real_data / "layer_definitions_2012"

    def pair(name):
        return str(folder / f"layers-{name}.cfg"), str(folder / f"layer-params-{name}.cfg")

    return pair
