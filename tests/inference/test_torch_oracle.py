"""Features of imported weights against PyTorch's own forward, from stored figures.

Where this Python has PyTorch, or ALEXNET_TORCH_PYTHON names one that has it, its whole arrays are
computed anew.
"""

import json

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import alexnet_tf
from tests.inference import torch_features
from tests.model.torch_figures import sample

LAYERS = ["conv1", "conv2", "conv3", "conv4", "conv5", "pool5", "fc6", "fc7", "fc8"]


@pytest.fixture(scope="module", params=torch_features.LAYOUTS)
def layout(request):
    return request.param


@pytest.fixture(scope="module")
def ours(layout, tmp_path_factory):
    """Features on 1 and 10 views by the names of `torch_features_net.py`, and the network."""
    folder = tmp_path_factory.mktemp(layout)
    np.savez(folder / "weights.npz", **torch_features.weights(layout))
    (folder / "narrow.py").write_text(torch_features.recipe(layout))
    network = alexnet_tf.load(folder / "weights.npz", recipe=str(folder / "narrow.py"))
    pixels = torch_features.pixels()
    found = network.features(pixels, LAYERS)
    ten = network.features(pixels, LAYERS, views=10)
    return found | {f"ten/{name}": value for name, value in ten.items()}, network


def test_features_equal_pytorchs_stored_figures(layout, ours):
    figures = json.loads(torch_features.FILE.read_text())["figures"][layout]
    assert figures.keys() == ours[0].keys()
    for name, theirs in figures.items():
        found = sample(ours[0][name])
        assert found["norm"] == pytest.approx(theirs["norm"], rel=1e-4), name
        assert found["largest"] == pytest.approx(theirs["largest"], rel=1e-4), name
        error = np.abs(np.subtract(found["values"], theirs["values"])).max()
        assert error < 1e-4 * theirs["largest"], name


def test_features_equal_pytorchs(layout, ours, torch_python):
    for name, theirs in torch_features.with_torch(torch_python, layout).items():
        assert ours[0][name].shape == theirs.shape, name
        error = np.abs(ours[0][name] - theirs).max() / np.abs(theirs).max()
        assert error < 1e-4, name


def test_columns_are_halves_of_the_joined_channels(layout, ours):
    found, network = ours
    if layout == "torchvision":
        assert network.layers.count("conv5") == 1
        return
    halves = network.features(torch_features.pixels(), ["conv5a", "conv5b", "fc7b"])
    np.testing.assert_array_equal(halves["conv5a"], found["conv5"][..., :128])
    np.testing.assert_array_equal(halves["conv5b"], found["conv5"][..., 128:])
    np.testing.assert_array_equal(halves["fc7b"], found["fc7"][..., torch_features.HIDDEN // 2 :])
