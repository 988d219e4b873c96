"""Columns and native groups are the same network: outputs, losses, and weights between them."""

import dataclasses
import math

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from alexnet_common.errors import UserError
from alexnet_tf.model import (
    build,
    grouped,
    layers,
)
from alexnet_tf.tables import (
    rows,
    summary,
    table,
)

TINY = {"name": "alexnet", "input_size": 67, "filters": (16, 32, 48, 48, 32), "hidden": (64, 48)}
VARIANTS = {
    "paper": {},
    "code2012": {
        "neuron_after_pool": (1, 5),
        "spatial_norm_layers": (2,),
        "lrn_alpha_over_size": True,
    },
    "caffe": {"lrn_across_columns": True, "lrn_k": 1.0, "dropout_form": "inverted"},
    "never_meeting": {"all_column_convs": (), "all_column_fcs": False},
    "sixth_conv": {"sixth_conv": True},
}


def net(**options):
    scaled = {"init_scale": 2.0, "init_biases": (0,) * 8, "input_scale": 1 / 60}
    return table.from_config(TINY | scaled | options, 10)


def pixels(batch=6, seed=0):
    return np.random.default_rng(seed).normal(0, 60, (batch, 67, 67, 3)).astype(np.float32)


def values(model):
    return {name: np.asarray(v) for name, v in build.named_variables(model).items()}


@pytest.mark.parametrize("variant", VARIANTS)
def test_same_initial_weights_and_outputs(variant):
    columns = net(**VARIANTS[variant])
    towers = build.build(columns, seed=3)
    one = build.build(columns, seed=3, implementation="grouped")
    assert towers.count_params() == one.count_params()
    x = pixels()
    np.testing.assert_allclose(towers(x), one(x), rtol=1e-4, atol=1e-4)
    seed = tf.constant([1, 2])
    with layers.randomness(seed, tf.range(6), 6):
        a, b = towers(x, training=True), one(x, training=True)
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)
    merged = grouped.merge(columns)
    for name, value in merged.to_grouped(values(towers)).items():
        np.testing.assert_array_equal(value, values(one)[name])


@pytest.mark.parametrize("variant", VARIANTS)
def test_weights_go_there_and_back(variant):
    columns = net(**VARIANTS[variant])
    towers = values(build.build(columns, seed=1))
    merged = grouped.merge(columns)
    back = merged.to_towers(merged.to_grouped(towers))
    assert back.keys() == towers.keys()
    for name, value in towers.items():
        np.testing.assert_array_equal(back[name], value)


def test_paper_net_becomes_three_grouped_convolutions():
    merged = grouped.merge(table.from_config({"name": "alexnet"}, 1000)).table
    assert summary.parameter_count(merged) == 60_965_224
    groups = {r.name: r.kernels[0].groups for r in merged.layers if isinstance(r, rows.Conv)}
    # Section 3.2: the 2nd, 4th and 5th are connected within their GPU only.
    assert groups == {"conv1": 1, "conv2": 2, "conv3": 1, "conv4": 2, "conv5": 2}
    names = [row.name for row in merged.layers]
    assert names[:4] == ["conv1", "lrn1", "pool1", "conv2"] and names[-1] == "fc8"
    kernels = {s.name: s.kernels for s in summary.layers(merged)}
    assert kernels["conv2"] == ((5, 5, 48, 256),) and kernels["fc6"] == ((9216, 4096),)


def train(model, steps):
    """Losses of plain gradient descent with momentum, written without our optimizer."""
    x = pixels(8)
    labels = tf.constant([0, 1, 2, 3, 4, 5, 6, 7])
    variables = [getattr(v, "_value", v) for v in model.trainable_variables]
    velocity = [tf.Variable(tf.zeros(v.shape)) for v in variables]

    @tf.function
    def step(seed):
        with layers.randomness(seed, tf.range(8), 8), tf.GradientTape() as tape:
            logits = model(x, training=True)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        for v, m, g in zip(variables, velocity, tape.gradient(loss, variables), strict=True):
            m.assign(0.9 * m - 0.01 * (g + 5e-4 * v))
            v.assign_add(m)
        return loss

    losses = [float(step(tf.constant([7, i]))) for i in range(steps)]
    names = {id(getattr(v, "_value", v)): n for n, v in build.named_variables(model).items()}
    return losses, {names[id(v)]: m.numpy() for v, m in zip(variables, velocity, strict=True)}


def test_ten_steps_of_training_are_equal_and_velocities_convert():
    columns = net()
    towers = build.build(columns)
    one = build.build(columns, implementation="grouped")
    losses, velocity = train(towers, 10)
    others, merged_velocity = train(one, 10)
    assert losses[-1] < losses[0]
    np.testing.assert_allclose(losses, others, rtol=1e-5)
    merged = grouped.merge(columns)
    for name, value in merged.to_grouped(velocity).items():
        np.testing.assert_allclose(value, merged_velocity[name], atol=1e-5)


def test_settings_of_merged_layers():
    columns = net(bias_learning_rate_multiplier=2.0, weight_decay=0.1)
    one = build.build(columns, implementation="grouped")
    settings = {s.name: s for s in build.variable_settings(one)}
    assert settings["conv2/kernel"].weight_decay == 0.1
    assert settings["conv2/bias"].learning_rate_multiplier == 2
    assert settings["conv2/kernel"].column is None


def test_one_column_stays_as_it_is():
    columns = net(columns=1)
    assert grouped.merge(columns).table == columns


def test_definition_files_merge_too(real_data):
    from alexnet_tf.tables.cuda_convnet import reader

    folder = real_data / "layer_definitions_2012"
    for name, count in (("145", 60_965_224), ("146-2011", 110_605_267), ("150", 60_714_408)):
        columns = reader.read(
            str(folder / f"layers-{name}.cfg"), str(folder / f"layer-params-{name}.cfg")
        )
        merged = grouped.merge(columns).table
        assert summary.parameter_count(merged) == count
        shapes = merged.shapes()
        assert math.prod(shapes[merged.output_name]) == columns.num_classes
        if name != "150":
            # 146-2011 divides its outputs over two layers; their concatenation is all of one.
            cut = [row.name for row in merged.layers if isinstance(row, rows.Slice)]
            assert cut == (["concat"] if name == "146-2011" else [])


def test_grouped_columns_cannot_be_placed_apart():
    with pytest.raises(UserError, match="no columns to place"):
        build.build(net(), implementation="grouped", placement=("/CPU:0", "/CPU:0"))


def by_hand(first, second, widths=(4, 4)):
    """Two columns conv1 -> `first` or `second` -> conv2, joined by a softmax layer of ten."""
    weights = rows.Weights(init_stddev=0.3)
    filters = rows.Filters(init_stddev=0.3, size=3, stride=1, padding=1)
    made = []
    for column, (letter, middle, width) in enumerate(
        zip("ab", (first, second), widths, strict=True)
    ):
        place = {"column": column, "kernels": (filters,), "bias": rows.Bias()}
        made += [
            rows.Conv(name=f"conv1{letter}", inputs=("data",), filters=width, **place),
            middle(name=f"mid{letter}", inputs=(f"conv1{letter}",), column=column),
            rows.Conv(name=f"conv2{letter}", inputs=(f"mid{letter}",), filters=width, **place),
        ]
    made.sort(key=lambda row: row.name[:-1] == "conv2")
    made.append(
        rows.FullyConnected(
            name="fc", inputs=("conv2a", "conv2b"), outputs=10, kernels=(weights, weights),
            bias=rows.Bias(),
        )
    )  # fmt: skip
    return table.Table("hand", tuple(made), 8, 10)


def row_of(row_type, /, **fields):
    return lambda **place: row_type(**fields, **place)


def norm(alpha):
    return row_of(rows.CrossMapNorm, size=3, alpha=alpha, beta=0.75)


POOL = {"size": 3, "stride": 2}


@pytest.mark.parametrize(
    ("first", "second", "widths"),
    [
        (row_of(rows.Pool, kind="max", **POOL), row_of(rows.Pool, kind="avg", **POOL), (4, 4)),
        (norm(0.1), norm(5.0), (4, 4)),
        (norm(0.1), norm(0.1), (6, 4)),
        (row_of(rows.Neuron, neuron="relu"), row_of(rows.Neuron, neuron="abs"), (4, 4)),
        (row_of(rows.Dropout, keep=0.5), row_of(rows.Dropout, keep=0.9), (4, 4)),
        (row_of(rows.Neuron, neuron="relu"), row_of(rows.Neuron, neuron="relu"), (6, 4)),
        (row_of(rows.Pool, kind="rand", **POOL), row_of(rows.Pool, kind="rand", **POOL), (4, 4)),
        (row_of(rows.Neuron, neuron="nrelu"), row_of(rows.Neuron, neuron="nrelu"), (4, 4)),
    ],
)
def test_columns_that_differ_are_not_merged_as_if_equal(first, second, widths):
    columns = by_hand(first, second, widths)
    towers = build.build(columns, seed=3)
    one = build.build(columns, seed=3, implementation="grouped")
    x = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype(np.float32)
    np.testing.assert_allclose(one(x), towers(x), rtol=1e-4, atol=1e-5)
    with layers.randomness([1, 2], tf.range(4), 4):
        a, b = towers(x, training=True), one(x, training=True)
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_columns_with_neurons_of_their_own_stay_apart():
    columns = by_hand(*[row_of(rows.Neuron, neuron="relu")] * 2)
    layers_ = tuple(
        dataclasses.replace(
            row, neuron={"conv2a": "relu", "conv2b": "abs"}.get(row.name, row.neuron)
        )
        for row in columns.layers
    )
    columns = dataclasses.replace(columns, layers=layers_)
    x = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype(np.float32)
    one = build.build(columns, implementation="grouped")
    np.testing.assert_allclose(one(x), build.build(columns)(x), rtol=1e-4, atol=1e-5)


def test_shared_matrices_are_no_matrices_of_their_own():
    columns = by_hand(*[row_of(rows.Neuron, neuron="relu")] * 2)
    shared = tuple(
        dataclasses.replace(
            row, kernels=(dataclasses.replace(row.kernels[0], source="conv1a/kernel"),)
        )
        if row.name == "conv1b"
        else row
        for row in columns.layers
    )
    columns = dataclasses.replace(columns, layers=shared)
    x = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype(np.float32)
    one = build.build(columns, implementation="grouped")
    towers = build.build(columns)
    assert one.count_params() == towers.count_params()
    np.testing.assert_allclose(one(x), towers(x), rtol=1e-4, atol=1e-5)
