"""Columns on two devices under XLA: the same runs as without it, and as on one device."""

import json
import os
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.addons]

# A process of its own, because devices are divided before TensorFlow starts.
SCRIPT = """
import json, pathlib, re, sys
import numpy as np, tensorflow as tf
from alexnet_tf import recipes
from alexnet_tf.devices import distribution
from alexnet_tf.evaluation import metrics
from alexnet_tf.model import compiled_columns, placement
from alexnet_tf.runs import checkpoint
from alexnet_tf.runs.workdir import WorkFolder
from alexnet_tf.train_loop.loop import Loop
from alexnet_tf.train_loop.setup import set_up
from tests.helpers import placed_work, small_dataset

place = pathlib.Path(sys.argv[1])
distribution.split_cpu(2)
data = small_dataset.make(place / "data", image_size=28, train=44)
NETWORK = {"network.input_size": 24, "network.filters": (8, 8, 8), "network.hidden": 16,
           "network.dropout_keep": 1.0}
COMPILED = {"jit_compile": True}
APART = {"placement": "two_devices", "devices": ("CPU:0", "CPU:1")}


def begin(name, *changes, steps=26):
    # 44 examples in batches of 8: the last of six is short.
    settings = {"batch_size": 8, "learning_rate.initial": 0.0005, "train_steps": steps,
                "log.tensorboard": False, "data_dir": str(data), **NETWORK}
    for change in changes:
        settings |= change
    config = recipes.resolve(
        recipes.load("demo"), [(key, str(value)) for key, value in settings.items()])
    with WorkFolder(place / name) as folder:
        yield set_up(config, folder)


def train(name, *changes, **more):
    for run in begin(name, *changes, **more):
        Loop(run, quiet=True).train()
    found = checkpoint.load_newest(place / name / "checkpoints")
    return {**{f"w/{k}": v for k, v in found.weights.items()},
            **{f"o/{k}": v for k, v in found.optimizer.items()}}


def difference(one, two):
    assert one.keys() == two.keys()
    return max(float(np.abs(np.asarray(one[k]) - np.asarray(two[k])).max()) for k in one)


def gradients():
    # Of one batch, through the network as it is and in compiled parts.
    for run in begin("gradients", APART):
        pass
    images = tf.constant(
        np.random.default_rng(0).normal(0, 60, (8, 24, 24, 3)).astype(np.float32))
    labels = tf.range(8) % 3
    devices = run.distribution.column_devices(2)
    compiled = compiled_columns.compiled(run.model, run.table, devices)

    def pass_of(network):
        @tf.function(autograph=False)
        def compute():
            logits = network(images, training=True)
            loss = tf.reduce_mean(
                tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
            return logits, placement.gradients(loss, run.model.trainable_variables)
        return compute

    plain, parts = pass_of(run.model), pass_of(compiled)
    definition = parts.get_concrete_function().graph.as_graph_def()
    bodies = {function.signature.name: function for function in definition.library.function}
    columns = {row.name: row.column for row in run.table.layers}
    wrong, calls, work = [], [], 0
    for node in definition.node:
        if re.fullmatch(placed_work.WORK, node.op):
            wrong.append(f"{node.name} is not compiled")
        if node.op not in ("PartitionedCall", "StatefulPartitionedCall"):
            continue
        body = bodies[node.attr["f"].func.name]
        calls.append([node.device[-5:], bool(body.attr["_XlaMustCompile"].b)])
        for inner in body.node_def:
            if re.fullmatch(placed_work.WORK, inner.op):
                work += 1
                layer = placed_work.layer_of(inner.name, columns)
                if not layer or node.device[-1] != str(columns[layer]):
                    wrong.append(f"{inner.name} on {node.device}")
    (one, first), (two, second) = plain(), parts()
    relative = [float(tf.reduce_max(tf.abs(a - b)) / tf.reduce_max(tf.abs(a)))
                for a, b in zip([one, *first], [two, *second])]
    return {"wrong": wrong, "calls": calls, "work": work, "forward": relative[0],
            "gradients": max(relative[1:])}, {
        f"w/{name}": value.numpy() for name, value in run.variables.items()}


passes, beginning = gradients()
plain = train("plain")
train("changed", APART, steps=6)
changed = train("changed", APART, COMPILED)
MASKS = {"network.dropout_keep": 0.5}
masked = train("masked", COMPILED, MASKS)
others = train("others", APART, COMPILED, MASKS, {
    "lrn_kernel": "shifted", "pool_kernel": "shifted", "strided_convolution": "space_to_depth",
    "accumulation_steps": 2, "steps_per_call": 3})
weights = {k: v for k, v in plain.items() if k in beginning}
print(json.dumps({
    **passes, "moved": difference(beginning, weights), "resumed": difference(changed, plain),
    "others": difference(others, masked), "masks": difference(masked, plain),
}))
"""


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join([os.getcwd(), *sys.path]))
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path_factory.mktemp("columns"))],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


def test_every_part_and_its_gradient_are_compiled_on_their_columns_device(result):
    assert result["wrong"] == []
    # Three parts of each column (cut before conv3 and before fc4) and fc5, each with a gradient.
    # conv1a, conv1b, ... : 5 + 5 products, of each two gradients, and more that is work.
    assert len(result["calls"]) == 14 and all(compiled for _, compiled in result["calls"])
    assert [device for device, _ in result["calls"]].count("CPU:1") == 6
    assert result["work"] > 30


def test_forward_and_gradients_equal_those_without_xla(result):
    assert result["forward"] < 1e-6 and result["gradients"] < 1e-5


def test_twenty_updates_equal_those_of_one_device_without_xla(result):
    """Weights and velocities, after six without XLA; checkpoints hold the same names and shapes."""
    assert result["moved"] > 1e-3
    assert result["resumed"] < 1e-6


def test_other_kernels_and_parts_of_a_batch_equal_one_compiled_device(result):
    """With dropout, whose masks XLA draws otherwise than TensorFlow."""
    assert result["masks"] > 1e-5
    assert result["others"] < 1e-6
