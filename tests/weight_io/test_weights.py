"""Which values a network takes from a file: names, columns, other classes, files of 2012."""

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from alexnet_tf import recipes
from alexnet_tf.model import (
    build,
    grouped,
)
from alexnet_tf.tables import table
from alexnet_tf.weight_io import (
    weight_files,
    weights,
)

SMALL = {"input_size": 67, "filters": (8, 16, 24, 24, 16), "hidden": (32, 24)}


def profile(name, classes=10, **options):
    network = recipes.load(name).network.to_dict() | SMALL | options
    return table.from_config(network, classes)


def values_of(net, seed=1, implementation="towers"):
    model = build.build(net, seed=seed, implementation=implementation)
    return {name: np.asarray(v) for name, v in build.named_variables(model).items()}


def assert_equal(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def test_npz_round_trip_in_both_forms(tmp_path):
    net = profile("alexnet_caffe")
    first, other = values_of(net, seed=1), values_of(net, seed=2)
    # The builder's own merged variables, not our conversion of the towers'.
    merged = values_of(net, seed=1, implementation="grouped")
    assert set(merged) != set(first)
    for name, values in (("towers", first), ("merged", merged)):
        path = str(tmp_path / f"{name}.npz")
        weights.save_npz(path, values)
        found = weight_files.read(path)
        assert (found.container, found.layout) == (".npz file", "own")
        assert_equal(found.arrays, values)
        choice = weights.choose(net, other, found.values(1.0))
        assert_equal(choice.values, first)
        assert choice.kept == () and choice.taken == len(first)


def test_misfits_are_named_in_the_networks_order():
    net = profile("alexnet_owt")
    good, drawn = values_of(net), values_of(net, seed=2)
    without = {k: v for k, v in good.items() if k not in ("conv2/bias", "fc8/bias")}
    with pytest.raises(weights.WeightsError, match=r"conv2/bias needs shape \[16\], .* has none"):
        weights.choose(net, drawn, without)
    with pytest.raises(weights.WeightsError, match=r"fc8/bias needs .*\[10\], .* shape \[11\]"):
        weights.choose(net, drawn, good | {"fc8/bias": np.zeros(11)})
    with pytest.raises(
        weights.WeightsError, match="it has fc9/kernel, which the network alexnet does not have"
    ):
        weights.choose(net, drawn, good | {"fc9/kernel": np.zeros(1)})
    # Of merged columns, the merged names, whose shapes the file has.
    net = profile("alexnet_caffe")
    merged = values_of(net, implementation="grouped") | {"conv2/kernel": np.zeros((5, 5, 8, 16))}
    expected = r"conv2/kernel needs shape \[5, 5, 4, 16\], .* \[5, 5, 8, 16\]"
    with pytest.raises(weights.WeightsError, match=expected):
        weights.choose(net, values_of(net), merged)


@pytest.mark.parametrize("implementation", ["towers", "grouped"])
def test_a_net_with_other_classes_takes_the_rest(implementation):
    net = profile("alexnet_caffe", classes=10)
    drawn = values_of(net, seed=2)
    other = profile("alexnet_caffe", classes=13)
    with pytest.raises(weights.WeightsError, match="fc8/kernel"):
        weights.choose(net, drawn, values_of(other, implementation=implementation))
    found = values_of(other, implementation=implementation)
    choice = weights.choose(net, drawn, found, partial=True)
    assert choice.kept == ("fc8/kernel0", "fc8/kernel1", "fc8/bias")
    expected = values_of(other)
    assert_equal(choice.values, {n: drawn[n] if n in choice.kept else expected[n] for n in drawn})
    with pytest.raises(weights.WeightsError, match="no variable of this network"):
        weights.choose(net, drawn, {"conv1/kernel": np.zeros(3)}, partial=True)


def test_export_in_merged_form_is_what_the_builder_draws():
    net = profile("alexnet_caffe")
    assert_equal(
        grouped.merge(net).to_grouped(values_of(net)), values_of(net, implementation="grouped")
    )


def test_2012_nets_begin_with_the_weights_they_ask_for(tmp_path):
    from alexnet_tf.tables.cuda_convnet import reader

    path = tmp_path / "layers-fine.cfg"
    path.write_text(
        "[data]\ntype=data\ndataIdx=0\n[labels]\ntype=data\ndataIdx=1\n"
        "[one]\ntype=fc\ninputs=data\noutputs=6\ninitW=0.1\n"
        "initWFunc=initw.makew(first)\ninitBFunc=initw.makeb(first)\n"
        "[two]\ntype=fc\ninputs=one,data\noutputs=4\ninitW=0.1,0.1\n"
        "initWFunc=initw.makew(second)\n"
        "[p]\ntype=softmax\ninputs=two\n[cost]\ntype=cost.logreg\ninputs=labels,p\n"
    )
    net = reader.read(str(path), input_size=4)
    assert sum("config.initial_weights" in note for note in net.notes) == 1
    drawn = values_of(net)
    rng = np.random.default_rng(0)
    other = {
        "first/kernel": rng.normal(size=(48, 6)),
        "first/bias": rng.normal(size=6),
        "second/kernel0": rng.normal(size=(6, 4)),
        "second/kernel1": rng.normal(size=(48, 4)),
        "unused/kernel": rng.normal(size=(1, 1)),
    }
    choice = weights.choose(net, drawn, other)
    assert choice.requested and choice.taken == 4 and choice.kept == ("two/bias",)
    expected = {"one/kernel": "first/kernel", "two/kernel1": "second/kernel1"}
    for name, source in expected.items():
        np.testing.assert_array_equal(choice.values[name], other[source].astype(np.float32))
    np.testing.assert_array_equal(choice.values["two/bias"], drawn["two/bias"])
    del other["first/bias"]
    expected = r"one/bias begins with first/bias .* needs shape \[6\]"
    with pytest.raises(weights.WeightsError, match=expected):
        weights.choose(net, drawn, other)
    # Its own weights are taken whole.
    whole = weights.choose(net, drawn, values_of(net, seed=5))
    assert not whole.requested and whole.kept == ()


def test_run_146_asks_for_the_run_before(real_data):
    from alexnet_tf.tables.cuda_convnet import reader

    folder = real_data / "layer_definitions_2012"
    net = reader.read(str(folder / "layers-146-2011.cfg"))
    asked = dict(net.imports)
    # conv1 ... conv6 of both towers: kernels (two inputs for conv3 and conv6) and biases.
    assert len(asked) == 2 * (4 * 1 + 2 * 2 + 6)
    assert asked["conv3b/kernel1"] == "conv3b/kernel1" and asked["conv6a/bias"] == "conv6a/bias"
