"""Models that the builder makes: counts, values, seeds, settings, dropout."""

import math
import zlib

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from alexnet_common.errors import UserError
from alexnet_tf.model import (
    build,
    layers,
)
from alexnet_tf.tables import (
    rows,
    table,
)

SMALL = {"name": "demo", "input_size": 40, "filters": (8, 16, 24), "hidden": 32}


def small(**options):
    return table.from_config(SMALL | options, 10)


def pixels(batch=4, side=40, seed=0):
    return np.random.default_rng(seed).normal(0, 60, (batch, side, side, 3)).astype(np.float32)


def single(row, *shape):
    """A model of one row."""
    return build.build(table.Table("one", (row,), shape[0], 10, channels=shape[-1]))


def test_paper_net_has_the_counted_parameters_and_shapes():
    net = table.from_config({"name": "alexnet"}, 1000)
    model = build.build(net)
    assert model.count_params() == 60_965_224
    assert tuple(model.input_shape) == (None, 224, 224, 3)
    assert tuple(model.output_shape) == (None, 1000)
    known = net.shapes()
    for layer in model.layers:
        if isinstance(layer, layers.RowLayer):
            assert tuple(layer.output.shape)[1:] == known[layer.row.name]
    variables = build.named_variables(model)
    assert sum(math.prod(v.shape) for v in variables.values()) == 60_965_224
    assert tuple(variables["conv3b/kernel1"].shape) == (3, 3, 128, 192)


def test_variables_start_as_the_paper_says():
    variables = build.named_variables(build.build(table.from_config({"name": "alexnet"}, 100)))
    for name, variable in variables.items():
        values = np.asarray(variable)
        if name.endswith("bias"):
            ones = name.startswith(("conv2", "conv4", "conv5", "fc6", "fc7"))
            assert np.all(values == (1 if ones else 0)), name
        else:
            assert values.std() == pytest.approx(0.01, rel=0.03), name
            assert abs(values.mean()) < 4 * 0.01 / math.sqrt(values.size)


def test_initial_values_depend_on_seed_and_name_only():
    # Philox keyed by numpy's SeedSequence is the same on every platform and version.
    name = "conv1a/kernel"
    key = np.random.SeedSequence([7, zlib.crc32(name.encode())])
    generator = np.random.Generator(np.random.Philox(key))
    first = build.named_variables(build.build(small(), seed=7))
    again = build.named_variables(build.build(small(hidden=64), seed=7))
    other = build.named_variables(build.build(small(), seed=8))
    drawn = generator.standard_normal((7, 7, 3, 4), dtype=np.float32)
    stddev = math.sqrt(2 / (3 * 49 * 60**2))
    np.testing.assert_allclose(np.asarray(first[name]), stddev * drawn, rtol=1e-6)
    np.testing.assert_array_equal(np.asarray(first[name]), np.asarray(again[name]))
    assert np.abs(np.asarray(first[name]) - np.asarray(other[name])).max() > 0
    assert np.abs(np.asarray(first[name]) - np.asarray(first["conv1b/kernel"])).max() > 0


def test_settings_are_aligned_with_the_trainable_variables():
    net = table.from_config({"name": "cifar_quick"}, 10)
    model = build.build(net)
    by_identity = {id(v): name for name, v in build.named_variables(model).items()}
    settings = build.variable_settings(model)
    assert len(settings) == len(model.trainable_variables) == 10
    for setting, variable in zip(settings, model.trainable_variables, strict=True):
        assert by_identity[id(variable)] == setting.name
        bias = setting.name.endswith("bias")
        assert setting.learning_rate_multiplier == (2 if bias else 1)
        decay = 0 if bias else 0.03 if setting.name.startswith("fc") else 0.004
        assert setting.weight_decay == decay
    columns = {s.name: s.column for s in build.variable_settings(build.build(small()))}
    assert columns["conv2a/kernel"] == 0 and columns["conv2b/kernel"] == 1


def loop_conv(x, weights, stride, before, count):
    size = weights.shape[0]
    y = np.zeros((x.shape[0], count, count, weights.shape[3]))
    side = x.shape[1]
    for r in range(count):
        for c in range(count):
            for i in range(size):
                for j in range(size):
                    a, b = r * stride - before + i, c * stride - before + j
                    if 0 <= a < side and 0 <= b < side:
                        y[:, r, c] += x[:, a, b].astype(np.float64) @ weights[i, j]
    return y


@pytest.mark.parametrize(
    ("side", "size", "stride", "padding", "rounding", "before", "count"),
    [
        (12, 5, 4, 0, "ceil", 0, 3),
        (12, 5, 4, 0, "floor", 0, 2),
        (9, 3, 1, 1, "ceil", 1, 9),
        (9, 5, 1, 1, "ceil", 1, 7),
        (10, 3, 2, 1, "ceil", 1, 6),
        (10, 3, 2, 1, "floor", 1, 5),
        (10, 3, 2, "same", "floor", 0, 5),
    ],
)
def test_convolution_equals_a_loop(side, size, stride, padding, rounding, before, count):
    kernel = rows.Filters(
        size=size, stride=stride, padding=padding, rounding=rounding, init_stddev=0.1
    )
    row = rows.Conv(
        name="c", inputs=("data",), filters=4, kernels=(kernel,), bias=rows.Bias(init=0.5)
    )
    model = single(row, side, side, 2)
    x = np.random.default_rng(1).normal(size=(2, side, side, 2)).astype(np.float32)
    weights = np.asarray(build.named_variables(model)["c/kernel"])
    expected = loop_conv(x, weights, stride, before, count) + 0.5
    np.testing.assert_allclose(model(x), expected, rtol=1e-4, atol=1e-5)


def test_groups_and_connections_equal_a_loop():
    x = np.random.default_rng(1).normal(size=(2, 6, 6, 4)).astype(np.float32)
    for connections in ((), (3, 0, 1, 2, 2, 0, 3, 1)):
        kernel = rows.Filters(size=3, padding=1, groups=2, init_stddev=0.1, connections=connections)
        row = rows.Conv(name="c", inputs=("data",), filters=6, kernels=(kernel,))
        model = single(row, 6, 6, 4)
        weights = np.asarray(build.named_variables(model)["c/kernel"])
        channels = connections or (0, 1, 2, 3)
        half = len(channels) // 2
        expected = np.concatenate(
            [
                loop_conv(x[..., list(channels[:half])], weights[..., :3], 1, 1, 6),
                loop_conv(x[..., list(channels[half:])], weights[..., 3:], 1, 1, 6),
            ],
            axis=-1,
        )
        np.testing.assert_allclose(model(x), expected, rtol=1e-4, atol=1e-5)


def test_a_row_of_two_inputs_sums_two_kernels_and_one_bias():
    # As conv2 of the early 2012 nets: two images of different sides, two geometries, one result.
    kernels = (
        rows.Filters(size=3, padding=1, init_stddev=0.1),
        rows.Filters(size=5, padding="same", stride=2, init_stddev=0.1),
    )
    half = rows.Pool(name="p", inputs=("data",), kind="max", size=2, stride=2)
    row = rows.Conv(
        name="c", inputs=("p", "data"), filters=4, kernels=kernels, bias=rows.Bias(init=2.0)
    )
    model = build.build(table.Table("two", (half, row), 12, 10))
    x = np.random.default_rng(1).normal(size=(2, 12, 12, 3)).astype(np.float32)
    pooled = x.reshape(2, 6, 2, 6, 2, 3).max(axis=(2, 4))
    weights = {n: np.asarray(v) for n, v in build.named_variables(model).items()}
    # 1 + ceil((12 + 4 - 5) / 2) = 7 would not meet 6 positions; with "same" both have 6.
    expected = loop_conv(pooled, weights["c/kernel0"], 1, 1, 6)
    expected = expected + loop_conv(x, weights["c/kernel1"], 2, 1, 6) + 2
    np.testing.assert_allclose(model(x), expected, rtol=1e-4, atol=1e-5)


def test_images_of_different_sides_are_refused():
    kernels = (
        rows.Filters(size=3, padding=1, init_stddev=0.1),
        rows.Filters(size=5, padding=1, stride=2, init_stddev=0.1),
    )
    row = rows.Conv(name="c", inputs=("data", "data"), filters=4, kernels=kernels)
    with pytest.raises(UserError, match=r"c: its inputs yield images of different sides"):
        build.build(table.Table("two", (row,), 11, 10))


def test_untied_convolution_equals_a_loop():
    kernel = rows.Filters(size=3, stride=2, padding=1, init_stddev=0.1)
    row = rows.Local(
        name="l", inputs=("data",), filters=4, kernels=(kernel,), bias=rows.Bias(init=1.0)
    )
    model = single(row, 7, 7, 2)
    variables = build.named_variables(model)
    weights = np.asarray(variables["l/kernel"]).reshape(4, 4, 3, 3, 2, 4)
    assert tuple(variables["l/bias"].shape) == (4, 4, 4)
    x = np.random.default_rng(1).normal(size=(2, 7, 7, 2)).astype(np.float32)
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    expected = np.ones((2, 4, 4, 4))
    for r in range(4):
        for c in range(4):
            window = padded[:, 2 * r : 2 * r + 3, 2 * c : 2 * c + 3]
            expected[:, r, c] += np.einsum("bijc,ijcf->bf", window, weights[r, c])
    np.testing.assert_allclose(model(x), expected, rtol=1e-4, atol=1e-5)


def test_tree_layer_sums_along_the_path():
    # Classes 0, 1, 2; node 3 is the parent of 0 and 1, node 4 the root: 1, 1, 1, 2, 3 leaves.
    row = rows.TreeFullyConnected(
        name="t",
        inputs=("data",),
        outputs=3,
        parents=(3, 3, 4, 4, -1),
        kernels=(rows.Weights(init_stddev=0.1),) * 3,
    )
    model = single(row, 2, 2, 3)
    variables = build.named_variables(model)
    assert {name: tuple(v.shape) for name, v in variables.items()} == {
        "t/kernel0": (3, 12),
        "t/kernel1": (1, 12),
        "t/kernel2": (1, 12),
        "t/bias": (3,),
    }
    assert np.asarray(variables["t/kernel0"]).all()
    assert not np.asarray(variables["t/kernel1"]).any()
    values = np.random.default_rng(0).normal(size=(5, 12)).astype(np.float32)
    for name, part in (("kernel0", values[:3]), ("kernel1", values[3:4]), ("kernel2", values[4:])):
        variables[f"t/{name}"].assign(part)
    x = np.random.default_rng(1).normal(size=(2, 2, 2, 3)).astype(np.float32)
    paths = [values[0] + values[3] + values[4], values[1] + values[3] + values[4]]
    paths.append(values[2] + values[4])
    np.testing.assert_allclose(model(x), x.reshape(2, -1) @ np.array(paths).T, rtol=1e-4)


def test_logits_follow_from_numpy():
    # The whole of cifar_quick's top by hand: fc64 with its neuron, fc10 without.
    net = table.from_config({"name": "cifar_quick"}, 10)
    model = build.build(net)
    variables = {n: np.asarray(v) for n, v in build.named_variables(model).items()}
    x = pixels(side=32)
    import keras

    pooled = keras.Model(model.input, model.get_layer("pool3").output)(x).numpy()
    hidden = np.maximum(pooled.reshape(4, -1) @ variables["fc64/kernel"], 0)
    np.testing.assert_allclose(model(x), hidden @ variables["fc10/kernel"], rtol=1e-4, atol=1e-6)


def dropout_model(keep=0.5, **fields):
    row = rows.Dropout(name="d", inputs=("data",), keep=keep, **fields)
    return single(row, 20, 20, 3)


@pytest.mark.parametrize("keep", [0.5, 0.8])
def test_paper_dropout_is_a_mask_in_training_and_a_factor_in_tests(keep):
    model = dropout_model(keep)
    x = np.ones((8, 20, 20, 3), np.float32)
    with layers.randomness([1, 2], np.arange(8), 8):
        y = model(x, training=True).numpy()
    assert set(np.unique(y)) == {0.0, 1.0}
    assert y.mean() == pytest.approx(keep, abs=0.02)
    np.testing.assert_allclose(model(x, training=False), keep * x)


def test_inverted_dropout_scales_in_training():
    model = dropout_model(0.8, form="inverted")
    x = np.ones((8, 20, 20, 3), np.float32)
    y = model(x, training=True).numpy()
    assert set(np.unique(y)) == {0.0, np.float32(1) / np.float32(0.8)}
    np.testing.assert_array_equal(model(x, training=False), x)


def test_disabled_dropout_still_scales():
    # layer_definitions.md section 3: enable=false multiplies by keep, in training too.
    x = np.ones((2, 20, 20, 3), np.float32)
    np.testing.assert_array_equal(dropout_model(enabled=False)(x, training=True), 0.5 * x)


def test_masks_do_not_depend_on_the_division_into_replicas():
    model = dropout_model()
    x = np.ones((8, 20, 20, 3), np.float32)

    def masks(*parts, seed=(3, 4)):
        results = []
        for part in parts:
            with layers.randomness(tf.constant(seed), tf.constant(part), 8):
                results.append(model(x[part], training=True).numpy())
        return np.concatenate(results)

    whole = masks(list(range(8)))
    np.testing.assert_array_equal(whole, masks([0, 1, 2], [3, 4, 5, 6, 7]))
    np.testing.assert_array_equal(whole[[5, 1]], masks([5, 1]))
    assert np.any(whole[0] != whole[1])
    assert np.any(whole != masks(list(range(8)), seed=(3, 5)))
    assert np.any(whole != masks(list(range(8)), seed=(4, 4)))


def test_rows_draw_masks_of_their_own():
    x = np.ones((4, 50), np.float32)
    with layers.randomness([1, 2], np.arange(4), 4):
        a = layers.keep_mask("dropout6a", 0.5, tf.constant(x)).numpy()
        b = layers.keep_mask("dropout6b", 0.5, tf.constant(x)).numpy()
    assert np.any(a != b)


def test_compiled_and_eager_steps_agree():
    model = build.build(small())
    x = pixels()

    def run(seed):
        with layers.randomness(seed, tf.range(4), 4):
            return model(x, training=True)

    seed = tf.constant([5, 6])
    eager = run(seed).numpy()
    np.testing.assert_allclose(tf.function(run)(seed), eager, rtol=1e-4, atol=1e-5)


def test_wrong_arguments_are_named():
    for arguments, message in [
        ({"placement": "two"}, "placement must be"),
        ({"placement": ("/CPU:0",)}, "2 device names"),
        ({"implementation": "groups"}, "towers, joint or grouped"),
        ({"lrn": "fast"}, "lrn must be tf"),
    ]:
        with pytest.raises(UserError, match=message):
            build.build(small(), **arguments)
