"""The example net of 2011 with untied layers, groups and random channels, from its description."""

import pytest

from alexnet_tf.tables import rows, summary
from alexnet_tf.tables.cuda_convnet import reader
from tests.tables.cuda_convnet.definitions import SMALL, write

# Section 6: 32 x 32 pixels; data feeds conv32 and fc1024; groups=4 multiplies filters (32 -> 128);
# sharedBiases=false on conv32-2; randSparse with filterChannels=64; cnorm of size 7; dialect (b).
LAYERS = """
[conv32]
type=conv
inputs=data
channels=3
filters=32
padding=4
filterSize=9
neuron=logistic
initW=0.00001
initB=0.5
partialSum=1
sharedBiases=true

[local32]
type=local
inputs=conv32
channels=32
filters=32
padding=4
filterSize=9
initW=0.00001

[fc1024]
type=fc
outputs=1024
inputs=data
initW=0.001
neuron=relu

[maxpool]
type=pool
pool=max
inputs=local32
start=0
sizeX=4
stride=2
outputsX=0
channels=32

[cnorm1]
type=cnorm
inputs=maxpool
channels=32
sizeX=7
scale=0.98
pow=0.5

[conv32-2]
type=conv
inputs=cnorm1
groups=4
channels=32
filters=32
padding=2
filterSize=5
initW=0.0001
partialSum=1
sharedBiases=false

[conv32-3]
type=conv
inputs=conv32-2
groups=4
channels=128
filters=32
padding=2
stride=2
filterSize=5
initW=0.0001
partialSum=1
randSparse=true
filterChannels=64
"""


def test_sizes_and_counts_by_hand(tmp_path):
    text = SMALL.format(middle=LAYERS, top="conv32-3,fc1024", init="0.1,0.1")
    net = reader.read(write(tmp_path, text, "layers-example.cfg"))
    layers = {layer.name: (layer.shape, layer.parameters) for layer in summary.layers(net)}
    assert net.input_size == 32
    assert layers == {
        "conv32": ((32, 32, 32), 3 * 81 * 32 + 32),
        # A kernel and a bias of every position and filter.
        "local32": ((32, 32, 32), 32 * 32 * 32 * (32 * 81 + 1)),
        "fc1024": ((1024,), 3072 * 1024 + 1024),
        # 1 + ceil((32 - 4) / 2).
        "maxpool": ((15, 15, 32), 0),
        "cnorm1": ((15, 15, 32), 0),
        # Each group sees 8 of 32 channels; a bias of every position.
        "conv32-2": ((15, 15, 128), 8 * 25 * 128 + 15 * 15 * 128),
        # 1 + ceil((4 + 15 - 5) / 2); each group sees 64 of 128 channels.
        "conv32-3": ((8, 8, 128), 64 * 25 * 128 + 128),
        "fc": ((10,), (8 * 8 * 128 + 1024) * 10 + 10),
        "probs": ((10,), 0),
    }
    contrast = net.row("cnorm1")
    assert isinstance(contrast, rows.ContrastNorm) and contrast.size == 7
    assert contrast.alpha == pytest.approx(0.98 / 49)
    # 4 x 64 / 128 permutations of all channels, one after the other.
    connections = net.row("conv32-3").kernels[0].connections
    assert [sorted(connections[i : i + 128]) for i in (0, 128)] == [list(range(128))] * 2
