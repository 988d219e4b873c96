"""The four profiles written in PyTorch; run by a Python that has it (and no TensorFlow).

    python torch_nets.py PROFILE WEIGHTS.npz RESULT.npz

WEIGHTS holds the variables of the merged net (`conv2/kernel`, `fc6/bias`, ...), `x` float32
[B, S, S, 3] and `labels` int [B]; RESULT gets `logits` and the gradients of the mean softmax
cross-entropy by every variable, in the layout of WEIGHTS.
"""

import sys

import numpy as np
import torch
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
gradients = {}
for name, value in w.items():
    gradient = value.grad.numpy()
    if name.startswith("conv") and name.endswith("kernel"):
        gradient = gradient.transpose(2, 3, 1, 0)
    elif name == "fc6/kernel":
        gradient = gradient.reshape(-1, 256, 6, 6).transpose(2, 3, 1, 0).reshape(9216, -1)
    elif name.endswith("kernel"):
        gradient = gradient.T
    gradients[name] = gradient
np.savez(target, logits=logits.detach().numpy(), **gradients)
