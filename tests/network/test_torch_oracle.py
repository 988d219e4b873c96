"""Full-size profiles against the same nets written in PyTorch, with the same weights.

PyTorch is no dependency: the tests run where this Python has it, or where ALEXNET_TORCH_PYTHON
names a Python that has it (`python -m venv V; V/bin/pip install torch numpy`).
"""

import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from alexnet_tf import config as recipes  # noqa: E402
from alexnet_tf.network import build, grouped, layers, table  # noqa: E402

TORCH = """
import sys
import numpy as np, torch
import torch.nn.functional as F

torch.set_num_threads(2)
profile, source, target = sys.argv[1:]
data = dict(np.load(source))
x = torch.tensor(data.pop("x")).permute(0, 3, 1, 2)
labels = torch.tensor(data.pop("labels")).long()
w = {}
for name, value in data.items():
    if name.startswith("conv") and name.endswith("kernel"):
        value = value.transpose(3, 2, 0, 1)
    elif name == "fc6/kernel":
        value = value.reshape(6, 6, 256, -1).transpose(3, 2, 0, 1).reshape(-1, 9216)
    elif name.endswith("kernel"):
        value = value.T
    w[name] = torch.tensor(np.ascontiguousarray(value), requires_grad=True)


def conv(x, n, stride=1, padding=0, groups=1):
    return F.conv2d(x, w[f"conv{n}/kernel"], w[f"conv{n}/bias"], stride, padding, 1, groups)


def fc(x, n):
    return F.linear(x, w[f"fc{n}/kernel"], w[f"fc{n}/bias"])


def pool(x):
    return F.max_pool2d(x, 3, 2)


def per_column(x, alpha, k):
    # torch divides alpha by the size of the window.
    return torch.cat([F.local_response_norm(h, 5, alpha, 0.75, k) for h in x.chunk(2, 1)], 1)


def within_map(x, alpha):
    total = F.avg_pool2d(F.pad(x * x, (2, 2, 2, 2)), 5, 1, divisor_override=1)
    return x * (1 + alpha * total) ** -0.75


if profile == "alexnet_owt":
    x = x / 57.6
    x = pool(F.relu(conv(x, 1, 4, 2)))
    x = pool(F.relu(conv(x, 2, 1, 2)))
elif profile == "alexnet_paper":
    x = F.pad(x, (0, 3, 0, 3))
    x = pool(per_column(F.relu(conv(x, 1, 4)), 5e-4, 2.0))
    x = pool(per_column(F.relu(conv(x, 2, 1, 2, 2)), 5e-4, 2.0))
elif profile == "alexnet_code2012":
    x = F.pad(x, (0, 3, 0, 3))
    x = F.relu(pool(per_column(conv(x, 1, 4), 1e-4, 2.0)))
    x = pool(within_map(per_column(F.relu(conv(x, 2, 1, 2, 2)), 1e-4, 2.0), 4e-5))
elif profile == "alexnet_caffe":
    x = pool(F.local_response_norm(F.relu(conv(x, 1, 4)), 5, 1e-4, 0.75, 1.0))
    x = pool(F.local_response_norm(F.relu(conv(x, 2, 1, 2, 2)), 5, 1e-4, 0.75, 1.0))
groups = 1 if profile == "alexnet_owt" else 2
x = F.relu(conv(x, 3, 1, 1))
x = F.relu(conv(x, 4, 1, 1, groups))
x = pool(F.relu(conv(x, 5, 1, 1, groups))).flatten(1)
# Dropout in tests: the paper's form multiplies by 0.5.
half = 0.5 if profile in ("alexnet_paper", "alexnet_code2012") else 1.0
x = F.relu(fc(x, 6)) * half
x = F.relu(fc(x, 7)) * half
logits = fc(x, 8)
F.cross_entropy(logits, labels).backward()
gradients = {name: value.grad.numpy() for name, value in w.items() if "conv" in name}
for name in gradients:
    if name.endswith("kernel"):
        gradients[name] = gradients[name].transpose(2, 3, 1, 0)
np.savez(target, logits=logits.detach().numpy(), **gradients)
"""


@pytest.fixture(scope="module")
def torch_python():
    named = os.environ.get("ALEXNET_TORCH_PYTHON")
    if named:
        return named
    if importlib.util.find_spec("torch"):
        return sys.executable
    pytest.skip("needs PyTorch: set ALEXNET_TORCH_PYTHON to a Python that has it")


def relative_error(ours, theirs):
    return np.abs(np.asarray(ours) - theirs).max() / np.abs(theirs).max()


@pytest.mark.slow
@pytest.mark.parametrize(
    "profile", ["alexnet_paper", "alexnet_code2012", "alexnet_caffe", "alexnet_owt"]
)
def test_forward_and_backward_equal_pytorchs(profile, torch_python, tmp_path):
    network = recipes.load(profile).network.to_dict()
    if profile != "alexnet_owt":
        # With the profile's own small weights only biases reach the top: draw larger ones.
        network |= {"init_scale": 2.0}
    net = table.from_config(network, 1000)
    model = build.build(net, seed=5)
    merged = grouped.merge(net)
    values = {name: np.asarray(v) for name, v in build.named_variables(model).items()}
    rng = np.random.default_rng(0)
    x = rng.normal(0, 60, (4, net.input_size, net.input_size, 3)).astype(np.float32)
    labels = np.array([1, 10, 100, 999])
    np.savez(tmp_path / "in.npz", x=x, labels=labels, **merged.to_grouped(values))
    done = subprocess.run(
        [torch_python, "-c", TORCH, profile, str(tmp_path / "in.npz"), str(tmp_path / "out.npz")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    theirs = dict(np.load(tmp_path / "out.npz"))
    with tf.GradientTape() as tape:
        logits = model(x, training=False)
        loss = tf.reduce_mean(
            tf.nn.sparse_softmax_cross_entropy_with_logits(tf.constant(labels), logits)
        )
    assert relative_error(logits, theirs["logits"]) < 1e-4
    found = tape.gradient(loss, model.trainable_variables)
    names = {id(v): n for n, v in build.named_variables(model).items()}
    ours = {names[id(v)]: g.numpy() for v, g in zip(model.trainable_variables, found, strict=True)}
    ours = merged.to_grouped(ours)
    for name in theirs:
        if name != "logits":
            assert relative_error(ours[name], theirs[name]) < 1e-3, name
    # The faster normalisation and native groups are the same network.
    banded = build.build(net, seed=5, lrn="banded")
    assert relative_error(banded(x), theirs["logits"]) < 1e-4
    one = build.build(net, seed=5, implementation="grouped")
    assert relative_error(one(x), theirs["logits"]) < 1e-4
    assert isinstance(model.layers[-1], layers.WeightLayer)
