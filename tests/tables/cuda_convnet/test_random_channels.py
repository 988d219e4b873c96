"""Filters that see random channels (`randSparse`), in the nets before run 145."""

from collections import Counter

import numpy as np
import pytest

from alexnet_tf.tables import summary
from alexnet_tf.tables.cuda_convnet import ini, reader
from tests.tables.cuda_convnet.definitions import SMALL, small, write


def layer(name, inputs, kind="conv", **options):
    lines = [f"[{name}]", f"type={kind}", f"inputs={inputs}"]
    return "\n".join(lines + [f"{key}={value}" for key, value in options.items()]) + "\n"


def images(*channels):
    """Convolutions of the image with so many filters: inputs with so many channels."""
    return "".join(
        layer(f"c{i}", "data", channels=3, filters=n, filterSize=1, initW=0.1, partialSum=0)
        for i, n in enumerate(channels)
    )


def random_layer(kind="conv", channels=32, groups=2, filters=16, **options):
    return images(channels) + layer(
        "x", "c0", kind, channels=channels, filters=filters, filterSize=3, padding=1, groups=groups,
        initW=0.1, randSparse=1, **options,
    )  # fmt: skip


def test_conv2_of_the_files_that_name_no_filter_channels(tmp_path):
    # Section 2, the example of flickr-102: 3, 32 and 32 channels, filters 128, 64, 64, groups
    # 1, 2, 2 give kernels of 3 x 25 x 128 and twice 16 x 25 x 128, and one bias of 128.
    text = images(32, 32) + layer(
        "conv2a", "data,c0,c1", channels="3,32,32", filters="128,64,64", filterSize="5,5,5",
        padding="2,2,2", stride="1,1,1", initW="0.01,0.01,0.01", groups="1,2,2",
        randSparse="0,1,1",
    )  # fmt: skip
    net = small(tmp_path, text, "conv2a")
    conv2 = next(s for s in summary.layers(net) if s.name == "conv2a")
    assert conv2.kernels == ((5, 5, 3, 128), (5, 5, 16, 128), (5, 5, 16, 128))
    assert conv2.parameters == 3 * 25 * 128 + 2 * 16 * 25 * 128 + 128
    image, *towers = net.row("conv2a").kernels
    assert image.connections == ()
    for kernel in towers:
        # One permutation of all channels, divided among the groups.
        assert sorted(kernel.connections) == list(range(32))
    assert towers[0].connections != towers[1].connections


@pytest.mark.parametrize("kind", ["conv", "local"])
@pytest.mark.parametrize(
    ("groups", "filter_channels", "permutations"), [(2, 32, 2), (4, 16, 2), (2, 16, 1), (3, 32, 3)]
)
def test_every_channel_is_seen_equally_often(tmp_path, kind, groups, filter_channels, permutations):
    # overSample = groups * filterChannels / channels permutations, one after the other.
    text = random_layer(kind, groups=groups, filterChannels=filter_channels)
    connections = small(tmp_path, text, "x").row("x").kernels[0].connections
    assert len(connections) == groups * filter_channels
    assert Counter(connections) == dict.fromkeys(range(32), permutations)
    for first in range(0, len(connections), 32):
        assert sorted(connections[first : first + 32]) == list(range(32))


def test_the_layer_is_a_convolution_of_the_channels_that_its_groups_see(tmp_path):
    tf = pytest.importorskip("tensorflow")
    from alexnet_tf.model import build

    text = random_layer(filters=4).replace("filterSize=3", "filterSize=1").replace("padding=1", "")
    net = small(tmp_path, text, "x")
    model = build.build(net)
    weights = {name: np.asarray(v) for name, v in build.named_variables(model).items()}
    image = np.random.default_rng(0).normal(size=(1, 8, 8, 3)).astype(np.float32)
    c0 = image @ weights["c0/kernel"][0, 0]
    connections = np.reshape(net.row("x").kernels[0].connections, (2, 16))
    kernel = weights["x/kernel"][0, 0]
    x = np.concatenate(
        [c0[..., connections[g]] @ kernel[:, 4 * g : 4 * g + 4] for g in range(2)], -1
    )
    expected = x.reshape(1, -1) @ weights["fc/kernel"]
    np.testing.assert_allclose(model(tf.constant(image)), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"groups": 1}, "randSparse=1: needs groups of 2 or more"),
        ({"filterChannels": 12}, "filterChannels=12: must be a multiple of 4 that divides 32"),
        ({"filterChannels": 2, "groups": 16}, "filterChannels=2: must be a multiple of 4"),
        ({"filterChannels": 8, "groups": 2}, "filterChannels=8: .*times groups a multiple"),
        ({"groups": 16}, r"filterChannels: .*\(channels / groups: 2\)"),
        ({"filterChannels": 0}, "filterChannels=0: must be 1 or more"),
    ],
)
def test_numbers_of_channels_that_cannot_be_drawn(tmp_path, options, message):
    with pytest.raises(ini.DefinitionError, match=message):
        small(tmp_path, random_layer(**options), "x")


def test_filter_channels_are_read_only_beside_random_channels(tmp_path):
    text = random_layer(filterChannels=12).replace("randSparse=1", "randSparse=0")
    net = small(tmp_path, text, "x")
    assert net.row("x").kernels[0].connections == ()
    assert any("filterChannels=12: has no meaning here" in note for note in net.notes)


def test_strict_reading_does_not_divide_channels_among_random_groups(tmp_path):
    # 32 is no multiple of 4 x 3, which only plain groups need.
    text = SMALL.format(middle=random_layer(groups=3, filterChannels=32), top="x", init="0.1")
    text = text.replace("partialSum=0", "partialSum=0\ngpu=0").replace(
        "[logprob]", "[logprob]\ngpu=0"
    )
    text = text.replace("randSparse=1", "randSparse=1\npartialSum=0")
    path = write(tmp_path, text)
    assert reader.read(path, input_size=8, strict=True).row("x").filters == 48
    plain = write(tmp_path, text.replace("randSparse=1", "randSparse=0"), "layers-plain.cfg")
    with pytest.raises(ini.DefinitionError, match="groups=3: must divide 32 channels"):
        reader.read(plain, input_size=8, strict=True)
