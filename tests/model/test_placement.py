"""Two columns on two devices: where each operation lies, and that nothing else changes."""

import json
import os
import subprocess
import sys
import textwrap

import pytest

# A process of its own, because devices are divided before TensorFlow starts.
SCRIPT = """
import json, sys
import numpy as np, tensorflow as tf

kind = sys.argv[1]
physical = tf.config.list_physical_devices(kind)[0]
limit = {} if kind == "CPU" else {"memory_limit": 4096}
tf.config.set_logical_device_configuration(
    physical, [tf.config.LogicalDeviceConfiguration(**limit)] * 2
)
from alexnet_tf.model import build, layers, placement
from alexnet_tf.tables import table
from tests.helpers import placed_work

net = table.from_config(
    {"name": "alexnet", "input_size": 67, "filters": (16, 32, 48, 48, 32), "hidden": (64, 48),
     "init_scale": 2.0, "init_biases": (0,) * 8, "input_scale": 1 / 60}, 10)
names = (f"/{kind}:0", f"/{kind}:1")
x = np.random.default_rng(0).normal(0, 60, (8, 67, 67, 3)).astype(np.float32)
labels = tf.range(8)


def train(where, own_gradients, steps, values=None):
    model = build.build(net, placement=where)
    named = build.named_variables(model)
    for name, value in (values or {}).items():
        named[name].assign(value)
    variables = [placement.tensorflow_variable(v) for v in model.trainable_variables]
    velocities = []
    for v in variables:
        with tf.device(v.device):
            velocities.append(tf.Variable(tf.zeros(v.shape)))

    @tf.function
    def step(seed):
        with layers.randomness(seed, tf.range(8), 8), tf.GradientTape() as tape:
            logits = model(x, training=True)
            loss = tf.reduce_mean(
                tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        found = placement.gradients(loss, model.trainable_variables) if own_gradients else (
            tape.gradient(loss, variables))
        for v, m, g in zip(variables, velocities, found):
            with tf.device(v.device):
                tf.raw_ops.ResourceApplyKerasMomentum(
                    var=v.handle, accum=m.handle, lr=0.01, grad=g, momentum=0.9)
        return loss

    losses = [float(step(tf.constant([7, i]))) for i in range(steps)]
    graph = step.get_concrete_function(tf.constant([7, 0])).graph
    weights = {name: np.asarray(v) for name, v in named.items()}
    devices = {name: placement.tensorflow_variable(v).device[-5:] for name, v in named.items()}
    return losses, graph, weights, devices


two, graph, weights, devices = train(names, True, 10)
one, _, others, _ = train("one_device", False, 10)
_, taped, _, _ = train(names, False, 1)
by_device = {k: [o.type for o in v] for k, v in placed_work.work_by_device(graph).items()}
first, _, halfway, _ = train(names, True, 5)
more_two = train(names, True, 2, halfway)[0]
more_one = train("one_device", False, 2, halfway)[0]
print(json.dumps({
    "two": two, "one": one, "devices": devices, "by_device": by_device,
    "misplaced": placed_work.misplaced(graph, net, names),
    "taped": len(placed_work.misplaced(taped, net, names)),
    "difference": max(float(np.abs(weights[n] - others[n]).max()) for n in weights),
    "more_two": more_two, "more_one": more_one,
}))
"""


def run(kind):
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join([os.getcwd(), *sys.path]))
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SCRIPT), kind],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


@pytest.fixture(scope="module", params=["CPU", pytest.param("GPU", marks=pytest.mark.gpu)])
def result(request):
    pytest.importorskip("tensorflow")
    return run(request.param) | {"kind": request.param}


def test_variables_lie_on_the_device_of_their_column(result):
    for name, device in result["devices"].items():
        column = 1 if name.split("/")[0].endswith("b") else 0
        assert device == f"{result['kind']}:{column}", name


def test_forward_backward_and_update_run_on_the_columns_device(result):
    assert result["misplaced"] == []
    work = result["by_device"]
    kind = result["kind"]
    assert set(work) <= {f"{kind}:0", f"{kind}:1"}
    second = work[f"{kind}:1"]
    # Column 1: five convolutions, of which conv3 reads two inputs (tf.gradients also makes the
    # gradient of the pixels, which is pruned before it runs, as nobody reads it). Two fully
    # connected layers of two inputs, each with two gradients.
    assert second.count("Conv2D") == 6
    assert second.count("Conv2DBackpropFilter") == 6
    assert second.count("Conv2DBackpropInput") == 6
    assert second.count("MaxPool") == 3 and second.count("MaxPoolGrad") == 3
    assert second.count("LRN") == 2 and second.count("LRNGrad") == 2
    assert second.count("MatMul") == 12
    # Kernels: 1 + 1 + 2 + 1 + 1 of convolutions and 2 + 2; seven biases.
    assert second.count("ResourceApplyKerasMomentum") == 17


def test_a_tape_would_leave_the_backward_pass_without_devices(result):
    assert result["taped"] > 50


def test_one_device_and_two_train_alike(result):
    tolerance = 1e-5 if result["kind"] == "CPU" else 1e-3
    assert result["two"] == pytest.approx(result["one"], rel=tolerance)
    assert result["difference"] < (1e-4 if result["kind"] == "CPU" else 1e-2)
    assert result["more_two"] == pytest.approx(result["more_one"], rel=tolerance)
