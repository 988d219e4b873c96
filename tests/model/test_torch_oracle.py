"""The profiles against the same nets written in PyTorch, with the same weights.

PyTorch is no dependency. Its stored figures (`torch_figures.py`) are compared everywhere. The full
size is computed where this Python has it, or where ALEXNET_TORCH_PYTHON names a Python that has it
(`python -m venv V; V/bin/pip install torch numpy`).
"""

import json

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from alexnet_tf import recipes
from alexnet_tf.model import (
    build,
    grouped,
)
from alexnet_tf.tables import table
from tests.model import torch_figures


def relative_error(ours, theirs):
    return np.abs(np.asarray(ours) - theirs).max() / np.abs(theirs).max()


def logits_and_gradients(net, model, x, labels):
    """Our logits, and our gradients in the names of the merged net."""
    with tf.GradientTape() as tape:
        logits = model(x, training=False)
        loss = tf.reduce_mean(
            tf.nn.sparse_softmax_cross_entropy_with_logits(tf.constant(labels), logits)
        )
    found = tape.gradient(loss, model.trainable_variables)
    names = {id(v): n for n, v in build.named_variables(model).items()}
    ours = {names[id(v)]: g.numpy() for v, g in zip(model.trainable_variables, found, strict=True)}
    return logits.numpy(), grouped.merge(net).to_grouped(ours)


@pytest.mark.parametrize("profile", torch_figures.PROFILES)
def test_forward_and_backward_equal_pytorchs_stored_figures(profile):
    figures = json.loads(torch_figures.FILE.read_text())["figures"][profile]
    net = torch_figures.network(profile)
    values, x = torch_figures.draw(profile)
    model = build.build(net)
    for name, value in grouped.merge(net).to_towers(values).items():
        build.named_variables(model)[name].assign(value)
    logits, gradients = logits_and_gradients(net, model, x, torch_figures.LABELS)
    found = {"logits": logits} | gradients
    assert found.keys() == figures.keys()
    for name, theirs in figures.items():
        ours = torch_figures.sample(found[name])
        assert ours["norm"] == pytest.approx(theirs["norm"], rel=1e-4), name
        assert ours["largest"] == pytest.approx(theirs["largest"], rel=1e-4), name
        error = np.abs(np.subtract(ours["values"], theirs["values"])).max()
        assert error < 1e-4 * theirs["largest"], name
    # The faster normalisation is the same network.
    banded = build.build(net, lrn="banded")
    for name, variable in build.named_variables(model).items():
        build.named_variables(banded)[name].assign(np.asarray(variable))
    assert relative_error(banded(x, training=False), logits) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("profile", torch_figures.PROFILES)
def test_forward_and_backward_equal_pytorchs(profile, torch_python):
    network = recipes.load(profile).network.to_dict()
    if profile != "alexnet_owt":
        # With the profile's own small weights only biases reach the top: draw larger ones.
        network |= {"init_scale": 2.0}
    net = table.from_config(network, 1000)
    model = build.build(net, seed=5)
    values = {name: np.asarray(v) for name, v in build.named_variables(model).items()}
    rng = np.random.default_rng(0)
    x = rng.normal(0, 60, (4, net.input_size, net.input_size, 3)).astype(np.float32)
    labels = np.array([1, 10, 100, 999])
    merged = grouped.merge(net).to_grouped(values)
    theirs = torch_figures.with_torch(torch_python, profile, merged, x, labels)
    logits, gradients = logits_and_gradients(net, model, x, labels)
    assert relative_error(logits, theirs["logits"]) < 1e-4
    assert theirs.keys() == gradients.keys() | {"logits"}
    for name, gradient in gradients.items():
        assert relative_error(gradient, theirs[name]) < 1e-3, name
    # The faster normalisation and native groups are the same network.
    banded = build.build(net, seed=5, lrn="banded")
    assert relative_error(banded(x), theirs["logits"]) < 1e-4
    one = build.build(net, seed=5, implementation="grouped")
    assert relative_error(one(x), theirs["logits"]) < 1e-4


def test_the_stored_figures_are_pytorchs(torch_python):
    stored = json.loads(torch_figures.FILE.read_text())["figures"]["alexnet_code2012"]
    values, x = torch_figures.draw("alexnet_code2012")
    found = torch_figures.with_torch(
        torch_python, "alexnet_code2012", values, x, torch_figures.LABELS
    )
    for name, value in found.items():
        assert torch_figures.sample(value)["norm"] == pytest.approx(stored[name]["norm"], rel=1e-5)
