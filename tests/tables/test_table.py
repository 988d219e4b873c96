"""Counts and shapes of tables against the figures of the paper and of the 2012 files."""

import math

import pytest

from alexnet_common.errors import UserError
from alexnet_tf.tables import rows, shapes, summary, table


def alexnet(**options):
    return table.from_config({"name": "alexnet"} | options, 1000)


def by_name(net):
    return {layer.name: layer for layer in summary.layers(net)}


def test_paper_counts():
    # alexnet.md 1.1: counted by hand from the paper's section 3.5.
    net = alexnet()
    assert summary.parameter_count(net) == 60_965_224
    assert summary.neuron_count(net) == 659_272
    layers = by_name(net)
    parameters = {
        "conv1": 34_944,
        "conv2": 307_456,
        "conv3": 885_120,
        "conv4": 663_936,
        "conv5": 442_624,
        "fc6": 37_752_832,
        "fc7": 16_781_312,
    }
    for name, count in parameters.items():
        assert layers[name + "a"].parameters + layers[name + "b"].parameters == count
    assert layers["fc8"].parameters == 4_097_000
    neurons = {"conv1": 290_400, "conv2": 186_624, "conv3": 64_896, "conv5": 43_264, "fc6": 4096}
    for name, count in neurons.items():
        assert layers[name + "a"].neurons + layers[name + "b"].neurons == count


def test_paper_shapes():
    layers = by_name(alexnet())
    sides = {"conv1a": 55, "pool1a": 27, "conv2b": 27, "pool2b": 13, "conv5a": 13, "pool5a": 6}
    assert {name: layers[name].shape[0] for name in sides} == sides


def test_only_conv3_and_fully_connected_layers_read_both_columns():
    net = alexnet()
    for row in net.layers:
        columns = {net.row(name).column for name in row.inputs if name != rows.IMAGE}
        if row.name.startswith(("conv3", "fc")):
            assert columns == {0, 1}
        elif columns:
            assert columns == {row.column}


@pytest.mark.parametrize(
    ("options", "count"),
    [
        # alexnet.md 1.1: ungrouped, run 145-half, one weird trick (torchvision and TF-slim).
        ({"columns": 1}, 62_378_344),
        ({"columns": 1, "filters": (48, 128, 192, 192, 256)}, 59_798_312),
        (
            {
                "columns": 1,
                "filters": (64, 192, 384, 256, 256),
                "padding": (2, 2, 1, 1, 1),
                "rounding": "floor",
            },
            61_100_840,
        ),
        (
            {
                "columns": 1,
                "filters": (64, 192, 384, 384, 256),
                "padding": (2, 2, 1, 1, 1),
                "rounding": "floor",
            },
            61_838_248,
        ),
        # layer_definitions.md 6.1: run 147 (no overlap) keeps all counts.
        ({"pool_size": 2, "padding": (0, 1, 1, 1, 0)}, 60_965_224),
        # Caffe crops 227 pixels and rounds down for convolutions.
        ({"input_size": 227, "rounding": "floor"}, 60_965_224),
    ],
)
def test_other_nets_counts(options, count):
    assert summary.parameter_count(alexnet(**options)) == count


def test_224_pixels_rounded_down_are_another_net():
    # The mistake that gives 54-26-12-5 and fc6 6400 inputs.
    layers = by_name(alexnet(rounding="floor"))
    assert layers["pool5a"].shape[0] == 5


def test_left_out_conv3_hands_its_merging_on():
    net = alexnet(leave_out=("conv3",))
    assert net.row("conv4a").inputs == ("pool2a", "pool2b")
    assert "conv3a" not in {row.name for row in net.layers}


def test_cifar_quick_matches_its_definition_file():
    # layer_definitions.md 6.1, example 80sec.
    net = table.from_config({"name": "cifar_quick"}, 10)
    layers = by_name(net)
    assert summary.parameter_count(net) == 145_578
    assert [layers[f"pool{i}"].shape[0] for i in (1, 2, 3)] == [16, 8, 4]
    assert net.row("conv1").kernels[0].weight_decay == 0.004
    assert net.row("fc10").kernels[0].weight_decay == 0.03
    assert net.row("conv1").bias.learning_rate_multiplier == 2


def test_cifar_nets_match_their_definition_files():
    # layer_definitions.md 6.1, examples 18pct, 19pct (whole and at 24 pixels) and conv-local-13pct.
    def net(**options):
        return table.from_config(options, 10)

    normalised = net(name="cifar_18pct")
    assert summary.parameter_count(normalised) == 89_578
    plain = net(name="cifar_18pct", norm=False)
    assert summary.parameter_count(plain) == 89_578
    assert summary.parameter_count(net(name="cifar_18pct", norm=False, input_size=24)) == 85_098
    kinds = [type(row).__name__ for row in normalised.layers]
    assert kinds.count("SameMapNorm") == 2
    assert [type(row).__name__ for row in plain.layers] == [k for k in kinds if k != "SameMapNorm"]
    assert normalised.row("rnorm1").alpha == pytest.approx(0.00005 / 9)
    assert normalised.row("fc10").kernels[0].weight_decay == 1
    local = net(name="cifar_13pct")
    assert summary.parameter_count(local) == 1_116_490
    assert [by_name(local)[f"local{i}"].shape for i in (3, 4)] == [(6, 6, 32), (6, 6, 32)]
    assert local.row("local3").kernels[0].init_stddev == 0.04
    # The 11% net: local3 as wide as two of it, local4 with twice the inputs, two norms.
    wide = net(name="cifar_13pct", lrn=True, local_filters=(64, 32))
    more = 36 * (64 * 9 + 1) * 32 + 36 * 32 * 9 * 32
    assert summary.parameter_count(wide) == 1_116_490 + more
    assert wide.row("conv2").inputs == ("rnorm1",)
    assert wide.row("rnorm2").inputs == ("conv2",)
    assert wide.row("rnorm1").alpha == pytest.approx(0.001 / 9)


def test_demo_has_two_columns_and_normalisation():
    net = table.from_config({"name": "demo"}, 10)
    assert net.num_columns == 2
    assert any(isinstance(row, rows.CrossMapNorm) for row in net.layers)
    assert net.shapes()[net.output_name] == (10,)


def test_receptive_fields_of_the_paper():
    # By hand: r = r + (k - 1) j; j = j s over 11/4, 3/2, 5, 3/2, 3, 3, 3, 3/2.
    layers = by_name(alexnet())
    fields = [layers[name].receptive_field for name in ("conv1a", "pool1a", "conv2a", "pool2a")]
    assert fields == [11, 19, 51, 67]
    fields = [layers[name].receptive_field for name in ("conv3a", "conv4a", "conv5a", "pool5a")]
    assert fields == [99, 131, 163, 195]
    assert layers["pool5a"].jump == 32


@pytest.mark.parametrize(
    ("side", "size", "stride", "padding", "count", "after"),
    [
        # layer_definitions.md 6.1, "Geometry worked out".
        (224, 11, 4, 0, 55, 3),
        (56, 5, 2, 0, 27, 1),
        (27, 5, 1, 2, 27, 2),
        (27, 5, 1, 1, 25, 1),
    ],
)
def test_filters_round_up(side, size, stride, padding, count, after):
    kernel = rows.Filters(size=size, stride=stride, padding=padding, init_stddev=0)
    assert shapes.filter_windows(side, kernel) == shapes.Windows(count, padding, after)


@pytest.mark.parametrize(
    ("side", "size", "stride", "ceil", "floor"),
    [
        (55, 3, 2, 27, 27),
        (55, 2, 2, 28, 27),
        (32, 3, 2, 16, 15),
        (27, 3, 2, 13, 13),
        (11, 2, 2, 6, 5),
    ],
)
def test_pools_round_both_ways(side, size, stride, ceil, floor):
    for rounding, count in (("ceil", ceil), ("floor", floor)):
        row = rows.Pool(
            name="p", inputs=("x",), kind="max", size=size, stride=stride, rounding=rounding
        )
        windows = shapes.pool_windows(side, row)
        assert windows.count == count
        covered = [pixel for w in range(count) for pixel in range(w * stride, w * stride + size)]
        assert max(covered) == side - 1 + windows.after


def test_description_shows_totals_and_layers():
    text = summary.text(alexnet())
    assert "60,965,224 parameters" in text and "659,272 neurons" in text
    assert all(f"conv{i}{c}" in text for i in range(1, 6) for c in "ab")


def test_unknown_names_are_one_clear_line():
    with pytest.raises(UserError, match="did you mean alexnet"):
        table.from_config({"name": "alexnett"}, 10)
    with pytest.raises(UserError, match="lrn_alfa.*did you mean lrn_alpha"):
        table.from_config({"name": "alexnet", "lrn_alfa": 1}, 10)
    with pytest.raises(UserError, match="filters must have 5"):
        table.from_config({"name": "alexnet", "filters": (1, 2)}, 10)
    with pytest.raises(UserError, match="divide by 3"):
        table.from_config({"name": "alexnet", "columns": 3, "filters": (97,) * 5}, 10)


def test_options_list_what_a_network_takes():
    options = table.options("alexnet")
    assert options["name"] == "alexnet" and options["lrn_k"] == 2.0
    assert "num_classes" not in options
    assert table.from_config(options, 1000) == alexnet()


def test_rows_that_do_not_fit_are_refused():
    pool = rows.Pool(name="p", inputs=("conv9",), kind="max", size=3, stride=2)
    with pytest.raises(UserError, match="'conv9'"):
        table.Table("t", (pool,), 32, 10).shapes()
    kernel = rows.Filters(size=40, init_stddev=0.1)
    conv = rows.Conv(name="c", inputs=("data",), filters=4, kernels=(kernel,))
    with pytest.raises(UserError, match="c: a window of 40"):
        table.Table("t", (conv,), 32, 10).shapes()


def test_each_convolution_is_a_small_share_of_the_parameters():
    # alexnet.md 1.1: convolutions hold 2,334,080, none over 1.5%.
    layers = [layer for layer in summary.layers(alexnet()) if layer.kind == "Conv"]
    assert sum(layer.parameters for layer in layers) == 2_334_080
    assert math.isclose(2_334_080 / 60_965_224, 0.038, abs_tol=5e-4)
