"""Every profile, ablation and definition file trains two steps."""

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from alexnet_tf import recipes
from alexnet_tf.model import (
    build,
    costs,
    layers,
    placement,
)
from alexnet_tf.tables import table
from alexnet_tf.tables.cuda_convnet import reader

PROFILES = [
    "paper", "code2012", "caffe", "owt", "one_column", "6conv", "no_lrn", "no_overlap",
    "no_dropout", "tanh", "left_out",
]  # fmt: skip
FILES = {
    "145": 67,
    "145-half": 67,
    "147": 99,
    "148": 67,
    "150": 67,
    "167": 67,
    "146-2011": 67,
    "80sec": 32,
    "18pct": 32,
    "19pct": 32,
    "conv-local-13pct": 24,
}


def train(net, steps=2, rate=1e-4):
    """Losses of the paper's rule with the table's own multipliers and decays."""
    model = build.build(net)
    settings = build.variable_settings(model)
    variables = [placement.tensorflow_variable(v) for v in model.trainable_variables]
    velocities = [tf.Variable(tf.zeros(v.shape)) for v in variables]
    side = net.input_size
    x = np.random.default_rng(0).normal(0, 60, (2, side, side, 3)).astype(np.float32)
    labels = tf.constant([0, 1])

    @tf.function
    def step(number):
        seed = tf.stack([3, number])
        with layers.randomness(seed, tf.range(2), 2), tf.GradientTape() as tape:
            outputs = model(x, training=True)
            loss = tf.reduce_mean(costs.per_example(net, outputs, labels))
        found = tape.gradient(loss, variables)
        for s, v, m, g in zip(settings, variables, velocities, found, strict=True):
            m.assign(0.9 * m - rate * s.learning_rate_multiplier * (g + s.weight_decay * v))
            v.assign_add(m)
        return loss

    losses = [float(step(tf.constant(i))) for i in range(steps)]
    # Velocities: a step of 1e-9 on a bias of 1 leaves no trace in float32.
    moved = [bool(np.any(m.numpy() != 0)) for m in velocities]
    return losses, dict(zip([s.name for s in settings], moved, strict=True))


def check(net):
    losses, moved = train(net)
    assert np.all(np.isfinite(losses))
    # A softmax of nearly equal logits: ln(classes).
    assert losses[0] == pytest.approx(np.log(net.num_classes), rel=0.25)
    assert all(moved.values()), [name for name, did in moved.items() if not did]


@pytest.mark.parametrize("name", PROFILES)
def test_profile(name):
    network = recipes.load(f"alexnet_{name}").network.to_dict()
    check(table.from_config(network | {"input_size": 67}, 10))


@pytest.mark.parametrize("layer", ["conv2", "conv4", "conv5", "fc6", "fc7"])
def test_each_layer_left_out(layer):
    check(table.from_config({"name": "alexnet", "input_size": 67, "leave_out": (layer,)}, 10))


@pytest.mark.parametrize("name", FILES)
def test_definition_file(name, real_data):
    folder = real_data / "layer_definitions_2012"
    net = reader.read(
        str(folder / f"layers-{name}.cfg"),
        str(folder / f"layer-params-{name}.cfg"),
        input_size=FILES[name],
    )
    check(net)
