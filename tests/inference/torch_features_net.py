"""torchvision's alexnet and Caffe's bvlc_alexnet written in PyTorch; run by a Python that has it.

    python torch_features_net.py torchvision|caffe IN.npz OUT.npz

IN holds `pixels`, uint8 [B, 256, 256, 3] RGB, and the weights by the names of the program; OUT gets
every layer's output of the centre view, (y, x, channel), and `ten/...`: the mean over ten views.
"""

import sys

import numpy as np
import torch
import torch.nn.functional as F

torch.set_num_threads(2)
layout, source, target = sys.argv[1:]
data = dict(np.load(source))
pixels = torch.tensor(data.pop("pixels")).permute(0, 3, 1, 2).double()
w = {name: torch.tensor(value).double() for name, value in data.items()}
pool = torch.nn.MaxPool2d(3, 2)
found = {}


def keep(name, x):
    found[name] = x
    return x


def torchvision(x):
    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    x = (x / 255 - mean) / torch.tensor([0.229, 0.224, 0.225])[:, None, None]

    def conv(x, n, **kw):
        return F.relu(F.conv2d(x, w[f"features.{n}.weight"], w[f"features.{n}.bias"], **kw))

    def fc(x, n):
        return F.linear(x, w[f"classifier.{n}.weight"], w[f"classifier.{n}.bias"])

    x = pool(keep("conv1", conv(x, 0, stride=4, padding=2)))
    x = pool(keep("conv2", conv(x, 3, padding=2)))
    x = keep("conv3", conv(x, 6, padding=1))
    x = keep("conv4", conv(x, 8, padding=1))
    x = keep("pool5", pool(keep("conv5", conv(x, 10, padding=1))))
    x = keep("fc6", F.relu(fc(x.flatten(1), 1)))
    x = keep("fc7", F.relu(fc(x, 4)))
    keep("fc8", fc(x, 6))


def caffe(x):
    mean = torch.tensor([104.00698793, 116.66876762, 122.67891434])[:, None, None]
    x = x.flip(1) - mean

    def conv(x, n, **kw):
        return F.relu(F.conv2d(x, w[f"conv{n}_0"], w[f"conv{n}_1"], **kw))

    def norm(x):
        return F.local_response_norm(x, 5, 1e-4, 0.75, 1.0)

    def fc(x, n):
        return F.linear(x, w[f"fc{n}_0"], w[f"fc{n}_1"])

    x = pool(norm(keep("conv1", conv(x, 1, stride=4))))
    x = pool(norm(keep("conv2", conv(x, 2, padding=2, groups=2))))
    x = keep("conv3", conv(x, 3, padding=1))
    x = keep("conv4", conv(x, 4, padding=1, groups=2))
    x = keep("pool5", pool(keep("conv5", conv(x, 5, padding=1, groups=2))))
    x = keep("fc6", F.relu(fc(x.flatten(1), 6)))
    x = keep("fc7", F.relu(fc(x, 7)))
    keep("fc8", fc(x, 8))


net, side = (torchvision, 224) if layout == "torchvision" else (caffe, 227)
free = 256 - side
centre = free // 2
result = {}
views = []
for top, left in [(0, 0), (0, free), (centre, centre), (free, 0), (free, free)]:
    crop = pixels[:, :, top : top + side, left : left + side]
    views += [crop, crop.flip(3)]
for number, view in enumerate(views):
    net(view)
    for name, value in found.items():
        value = value.permute(0, 2, 3, 1) if value.ndim == 4 else value
        result[f"ten/{name}"] = result.get(f"ten/{name}", 0) + value.numpy() / len(views)
        if number == 4:
            result[name] = value.numpy()
np.savez(target, **result)
