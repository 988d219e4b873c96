"""Profiles and ablations: what their tables say, against the files and documents they stand for."""

import pytest

from alexnet_tf import recipes
from alexnet_tf.tables import rows, summary, table
from alexnet_tf.tables.cuda_convnet import reader

# alexnet.md 0 and 1.1, layer_definitions.md 6.1.
COUNTS = {
    "alexnet_paper": 60_965_224,
    "alexnet_code2012": 60_965_224,
    "alexnet_caffe": 60_965_224,
    "alexnet_owt": 61_100_840,
    "alexnet_one_column": 59_798_312,
    "alexnet_6conv": 60_965_224 + 2 * 295_040,
    "alexnet_no_lrn": 60_965_224,
    "alexnet_no_overlap": 60_965_224,
    "alexnet_no_dropout": 60_965_224,
    "alexnet_tanh": 60_965_224,
    # Without conv3: conv4 reads both columns, 2 x (3 x 3 x 256 x 192 + 192) for 2 x 774,528.
    "alexnet_left_out": 60_965_224 - 2 * (442_560 + 331_968) + 2 * 442_560,
}
# The rows of layers-145.cfg by the names that our tables give them.
RUN_145 = {
    "conv1": "conv1",
    "rnorm1": "lrn1",
    "pool1": "pool1",
    "conv2": "conv2",
    "rnorm2": "lrn2",
    "cnorm2": "rnorm2",
    "pool2": "pool2",
    "conv3": "conv3",
    "conv4": "conv4",
    "conv5": "conv5",
    "pool3": "pool5",
    "fc2048": "fc6",
    "hs1": "dropout6",
    "fc2048b": "fc7",
    "hs2": "dropout7",
}


def profile(name):
    return table.from_config(recipes.load(name).network, 1000)


@pytest.mark.parametrize("name", COUNTS)
def test_parameters_of_every_profile(name):
    assert summary.parameter_count(profile(name)) == COUNTS[name]


def test_every_alexnet_recipe_is_here():
    names = {name for name in recipes.recipe_names() if name.startswith("alexnet_")}
    assert names - {"alexnet_sample"} == set(COUNTS)


def test_code2012_is_run_145_row_by_row(real_data):
    folder = real_data / "layer_definitions_2012"
    filed = reader.read(
        str(folder / "layers-145.cfg"), str(folder / "layer-params-145.cfg"), base_rate=0.01
    )
    ours = profile("alexnet_code2012")
    pairs = {theirs + c: mine + c for theirs, mine in RUN_145.items() for c in "ab"}
    pairs["fc1000"] = "fc8"
    assert len(pairs) == len(ours.layers)
    for theirs, mine in pairs.items():
        a, b = filed.row(theirs), ours.row(mine)
        assert type(a) is type(b) and a.column == b.column, mine
        assert filed.shapes()[theirs] == ours.shapes()[mine]
        # The order in which fc7b reads its two inputs differs in the file.
        assert {pairs.get(name, name) for name in a.inputs} == set(b.inputs)
        assert a.neuron == b.neuron, mine
        if isinstance(a, rows.WeightRow):
            assert a.bias.init == b.bias.init
            assert a.bias.learning_rate_multiplier == b.bias.learning_rate_multiplier == 2
            for first, second in zip(a.kernels, b.kernels, strict=True):
                for field in ("init_stddev", "weight_decay", "learning_rate_multiplier"):
                    assert getattr(first, field) == getattr(second, field), (mine, field)
        if isinstance(a, rows.CrossMapNorm | rows.SameMapNorm):
            assert a.alpha == pytest.approx(b.alpha) and a.beta == b.beta and a.size == b.size
        if isinstance(a, rows.CrossMapNorm):
            assert a.k == b.k == 2


@pytest.mark.parametrize(("name", "run"), [("one_column", "145-half"), ("no_overlap", "147")])
def test_shapes_are_those_of_the_2012_runs(real_data, name, run):
    filed = reader.read(str(real_data / "layer_definitions_2012" / f"layers-{run}.cfg"))
    ours = profile(f"alexnet_{name}").shapes()
    theirs = filed.shapes()
    compared = set()
    for layer, mine in RUN_145.items():
        for column in ("a", "b"):
            key = mine if name == "one_column" else mine + column
            if layer + column in theirs and key in ours:
                assert ours[key] == theirs[layer + column]
                compared.add(mine)
    assert {"conv1", "conv2", "conv3", "conv4", "conv5", "pool1", "pool2", "pool5"} <= compared


def test_caffe_normalises_across_the_seam():
    net = profile("alexnet_caffe")
    lrn = net.row("lrn1_all")
    assert net.shapes()["lrn1_all"] == (55, 55, 96)
    assert lrn.k == 1 and lrn.alpha == pytest.approx(2e-5)
    assert net.row("lrn1b").begin == 48 and net.row("pool1b").inputs == ("lrn1b",)


def test_owt_drops_before_fc6_and_fc7():
    net = profile("alexnet_owt")
    assert net.row("fc6").inputs == ("dropout5",) and net.row("fc7").inputs == ("dropout6",)
    assert net.row("dropout5").form == "inverted"
    assert not any(isinstance(row, rows.CrossMapNorm) for row in net.layers)
    assert net.row("conv1").inputs == ("scaled",)
    # torchvision: uniform within 1 / sqrt(fan-in), a variance of 1 / (3 fan-in).
    assert net.row("conv2").kernels[0].init_stddev == pytest.approx((3 * 25 * 64) ** -0.5)
    assert net.row("fc6").kernels[0].init_stddev == pytest.approx((3 * 9216) ** -0.5)


def test_ties_of_maxima_are_a_choice_in_every_pooling_layer():
    network = recipes.load("alexnet_code2012").network.to_dict()
    for options, expected in (({}, "one"), ({"pool_ties": "all"}, "all")):
        net = table.from_config(network | options, 1000)
        pools = [row for row in net.layers if isinstance(row, rows.Pool)]
        assert len(pools) == 6 and {row.ties for row in pools} == {expected}
    with pytest.raises(rows.TableError, match="pool_ties: .* is not one of one, all"):
        table.from_config(network | {"pool_ties": "most"}, 1000)
