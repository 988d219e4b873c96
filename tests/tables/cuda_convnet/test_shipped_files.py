"""The twelve pairs of files at hand: every layer's shape, parameters and receptive field."""

import configparser

import pytest

from alexnet_common.errors import UserError
from alexnet_tf.tables import rows, summary, table
from alexnet_tf.tables.cuda_convnet import ini, reader

# layer_definitions.md 6.1: layer, side, maps, parameters; the last column, the receptive field, is
# r + (k - 1) j by hand, j the distance of neighbouring inputs in pixels. "ab": two columns.
BOTTOM = """
conv1ab 55 48 17472 11
rnorm1ab 55 48 0 11
pool1ab 27 48 0 19
conv2ab 27 128 153728 51
"""
NORMS = """
rnorm2ab 27 128 0 51
cnorm2ab 27 128 0 83
"""
TOP = """
pool2ab 13 128 0 99
conv3ab 13 192 442560 131
conv4ab 13 192 331968 163
conv5ab 13 128 221312 195
pool3ab 6 128 0 227
"""
# Without the 5 x 5 norm of layer 2, whose outputs are 8 pixels apart, all above see 32 less.
TOP_WITHOUT_NORM = """
pool2ab 13 128 0 67
conv3ab 13 192 442560 99
conv4ab 13 192 331968 131
conv5ab 13 128 221312 163
pool3ab 6 128 0 195
"""
FULL = """
fc2048ab - 2048 18876416 all
hs1ab - 2048 0 all
fc2048bab - 2048 8390656 all
hs2ab - 2048 0 all
"""
OUTPUT = """
fc1000 - 1000 4097000 all
probs - 1000 0 all
"""
LAYERS = {
    # Random channels: the groups of conv2 see 16 of 32 channels, so its kernels are 3 x 25 x 128
    # and twice 16 x 25 x 128, and its bias 128: 112,128.
    "100": """
        blur0 224 3 0 9
        nails0 56 3 0 9
        conv1ab 55 32 11648 11
        pool1ab 27 32 0 19
        rnorm1ab 27 32 0 19
        conv2ab 27 128 112128 51
        rnorm2ab 27 128 0 51
        """
    + TOP_WITHOUT_NORM
    + FULL
    + OUTPUT,
    "145": BOTTOM + NORMS + TOP + FULL + OUTPUT,
    "145-half": """
        conv1a 55 48 17472 11
        rnorm1a 55 48 0 11
        pool1a 27 48 0 19
        conv2a 27 128 153728 51
        rnorm2a 27 128 0 51
        cnorm2a 27 128 0 83
        pool2a 13 128 0 99
        conv3a 13 192 221376 131
        conv4a 13 192 331968 163
        conv5a 13 256 442624 195
        pool3a 6 256 0 227
        fc4096a - 4096 37752832 all
        hs1a - 4096 0 all
        fc4096ba - 4096 16781312 all
        hs2a - 4096 0 all
        """
    + OUTPUT,
    "147": """
        conv1ab 55 48 17472 11
        rnorm1ab 55 48 0 11
        pool1ab 28 48 0 15
        conv2ab 26 128 153728 47
        rnorm2ab 26 128 0 47
        cnorm2ab 26 128 0 79
        pool2ab 13 128 0 87
        conv3ab 13 192 442560 119
        conv4ab 13 192 331968 151
        conv5ab 11 128 221312 183
        pool3ab 6 128 0 199
        """
    + FULL
    + OUTPUT,
    "148": """
        conv1ab 55 48 17472 11
        pool1ab 27 48 0 19
        conv2ab 27 128 153728 51
        """
    + TOP_WITHOUT_NORM
    + FULL
    + OUTPUT,
    "150": """
        conv1ab 55 48 17472 11
        rnorm1ab 55 48 0 11
        pool1ab 27 48 0 19
        conv2ab 27 160 192160 51
        rnorm2ab 27 160 0 51
        cnorm2ab 27 160 0 83
        pool2ab 13 160 0 99
        conv3ab 13 192 276672 131
        conv4ab 13 192 331968 163
        conv5ab 13 128 221312 195
        pool3ab 6 128 0 227
        fc4096ab - 4096 18878464 all
        hs1ab - 4096 0 all
        fc2048bab - 2048 8390656 all
        hs2ab - 2048 0 all
        """
    + OUTPUT,
    "167": BOTTOM + TOP_WITHOUT_NORM + FULL + OUTPUT,
    "146-2011": BOTTOM
    + NORMS
    + TOP
    + "conv6ab 6 128 295040 291\n"
    + FULL
    + """
        fc1ab - 1024 4195328 all
        fc1000a - 10921 22377129 all
        fc1000b - 10922 22379178 all
        concat - 21843 0 all
        probs - 21843 0 all
        """,
    "80sec": """
        conv1 32 32 2432 5
        pool1 16 32 0 7
        conv2 16 32 25632 15
        pool2 8 32 0 19
        conv3 8 64 51264 35
        pool3 4 64 0 43
        fc64 - 64 65600 all
        fc10 - 10 650 all
        probs - 10 0 all
        """,
    # Its norms are 3 x 3 windows of a map.
    "18pct": """
        conv1 32 32 2432 5
        pool1 16 32 0 7
        rnorm1 16 32 0 11
        conv2 16 32 25632 19
        pool2 8 32 0 23
        rnorm2 8 32 0 31
        conv3 8 64 51264 47
        pool3 4 64 0 55
        fc10 - 10 10250 all
        probs - 10 0 all
        """,
    "19pct": """
        conv1 32 32 2432 5
        pool1 16 32 0 7
        conv2 16 32 25632 15
        pool2 8 32 0 19
        conv3 8 64 51264 35
        pool3 4 64 0 43
        fc10 - 10 10250 all
        probs - 10 0 all
        """,
    "conv-local-13pct": """
        conv1 24 64 4864 5
        pool1 12 64 0 7
        conv2 12 64 102464 15
        pool2 6 64 0 19
        local3 6 32 664704 27
        local4 6 32 332928 35
        fc10 - 10 11530 all
        probs - 10 0 all
        """,
}
# Weights and biases (6.1).
COUNTS = {
    "100": (60_859_840, 10_536),
    "145": (60_954_656, 10_568),
    "145-half": (59_788_304, 10_008),
    "147": (60_954_656, 10_568),
    "148": (60_954_656, 10_568),
    "150": (60_699_680, 14_728),
    "167": (60_954_656, 10_568),
    "146-2011": (110_571_552, 33_715),
    "80sec": (145_376, 202),
    "18pct": (89_440, 138),
    "19pct": (89_440, 138),
    "conv-local-13pct": (1_114_048, 2_442),
}


def stated(file):
    """(shape, parameters, receptive field) of every layer, as the table above says."""
    layers = {}
    for line in LAYERS[file].split("\n"):
        if line.strip():
            layer, side, maps, parameters, field = line.split()
            shape = (int(maps),) if side == "-" else (int(side), int(side), int(maps))
            both = layer.endswith("ab")
            for name in (layer[:-1], layer[:-2] + "b") if both else (layer,):
                layers[name] = (shape, int(parameters), 0 if field == "all" else int(field))
    return layers


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_has_the_shape_parameters_and_field_that_are_stated(files, name):
    weights, biases = COUNTS[name]
    for net in (reader.read(*files(name)), reader.read(files(name)[0])):
        layers = summary.layers(net)
        counted = {s.name: (s.shape, s.parameters, s.receptive_field) for s in layers}
        assert counted == stated(name)
        assert summary.parameter_count(net) == weights + biases
        assert f"({weights:,} weights and {biases:,} biases)" in summary.text(net)


@pytest.mark.parametrize("name", LAYERS)
def test_our_sections_are_those_of_an_independent_parser(files, name):
    for path in files(name):
        parser = configparser.RawConfigParser(strict=False)
        with open(path) as file:
            parser.read_file(file)
        ours = ini.read(path)
        assert list(ours) == parser.sections()
        for section in ours.values():
            values = {key: option.value for key, option in section.options.items()}
            assert values == dict(parser.items(section.name))


def test_run_145_says_what_its_files_say(files):
    net = reader.read(*files("145"))
    lrn = net.row("rnorm1a")
    assert lrn.inputs == ("conv1a",) and net.row("conv1a").neuron == ""
    assert (lrn.size, lrn.k, lrn.beta) == (5, 2.0, 0.75)
    assert lrn.alpha == pytest.approx(2e-5)
    spatial = net.row("cnorm2a")
    assert isinstance(spatial, rows.SameMapNorm) and spatial.alpha == pytest.approx(4e-5)
    assert net.row("pool1a").neuron == "relu" and net.row("conv2a").neuron == "relu"
    assert net.row("conv4a").kernels[0].init_stddev == 0.03
    assert net.row("conv4a").bias.init == 1
    assert net.row("fc2048bb").inputs == ("hs1b", "hs1a")
    assert net.row("fc2048bb").column == 1 and net.row("conv4b").column == 1
    assert net.row("hs1a").form == "paper"
    assert net.cost.top_k == 5 and net.output_name == "fc1000"


def test_strict_reading_accepts_the_final_dialect_only(files):
    for name in ("100", "145", "145-half", "146-2011", "147", "148", "150"):
        assert reader.read(*files(name), strict=True) == reader.read(*files(name))
    with pytest.raises(ini.DefinitionError, match=r"\[conv1\] gpu: is missing"):
        reader.read(*files("18pct"), strict=True)


def test_no_meaning_is_named_once(files):
    notes = reader.read(*files("146-2011")).notes
    assert sum("partialSum" in note for note in notes) == 1
    assert sum("initWFunc" in note for note in notes) == 1


def test_by_name_with_the_datasets_classes(files):
    layers, params = files("80sec")
    config = {"name": "cuda_convnet", "layers": layers, "layer_params": params}
    assert table.from_config(config, 10).num_classes == 10
    with pytest.raises(UserError, match="10 outputs, but the dataset has 7"):
        table.from_config(config, 7)
    with pytest.raises(UserError, match="--config.layers"):
        table.from_config({"name": "cuda_convnet"}, 10)
