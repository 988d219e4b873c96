"""Caffe's and torchvision's weights in our network, against both nets written in NumPy by hand."""

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from alexnet_tf import recipes
from alexnet_tf.model import build
from alexnet_tf.runs import checkpoint
from alexnet_tf.tables import table
from alexnet_tf.weight_io import (
    caffe,
    torchvision,
    weight_files,
    weights,
)
from alexnet_tf.weight_io.means import MEANS

# Small copies of the profiles, so that hand-written loops can follow.
SMALL = {"input_size": 67, "filters": (8, 16, 24, 24, 16), "hidden": (32, 24)}


def profile(name, **options):
    network = recipes.load(name).network.to_dict() | SMALL | options
    return table.from_config(network, 10)


def model_with(net, found):
    """A model of `net` with the weights `found`, in whosever names."""
    model = build.build(net)
    variables = build.named_variables(model)
    drawn = {name: np.asarray(variable) for name, variable in variables.items()}
    checkpoint.assign_weights(variables, weights.choose(net, drawn, found).values, "test")
    return model


def flat(blobs):
    return {f"{name}_{i}": pair[i] for name, pair in blobs.items() for i in (0, 1)}


def caffe_blobs(rng):
    shapes = {
        "conv1": (8, 3, 11, 11),
        "conv2": (16, 4, 5, 5),
        "conv3": (24, 16, 3, 3),
        "conv4": (24, 12, 3, 3),
        "conv5": (16, 12, 3, 3),
        "fc6": (32, 16),
        "fc7": (24, 32),
        "fc8": (10, 24),
    }
    blobs = {}
    for name, shape in shapes.items():
        scale = (2 / np.prod(shape[1:])) ** 0.5
        blobs[name] = [
            rng.normal(0, scale, shape).astype(np.float32),
            rng.normal(0, 0.1, shape[:1]).astype(np.float32),
        ]
    return blobs


def numpy_caffe(blobs, image):
    """bvlc_alexnet in NumPy, one BGR image (channel, y, x): groups, across-seam LRN, k = 1."""

    def conv(x, blob, stride, pad, groups):
        kernel, bias = blob
        x = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
        size = kernel.shape[-1]
        side = (x.shape[1] - size) // stride + 1
        y = np.zeros((len(kernel), side, side))
        for f in range(len(kernel)):
            group = f * groups // len(kernel)
            depth = kernel.shape[1]
            part = x[group * depth : (group + 1) * depth]
            for r in range(side):
                for c in range(side):
                    window = part[:, r * stride : r * stride + size, c * stride : c * stride + size]
                    y[f, r, c] = (window * kernel[f]).sum() + bias[f]
        return np.maximum(y, 0)

    def lrn(x):
        total = np.stack([(x[max(c - 2, 0) : c + 3] ** 2).sum(axis=0) for c in range(len(x))])
        return x / (1 + 1e-4 / 5 * total) ** 0.75

    def pool(x):
        side = (x.shape[1] - 3) // 2 + 1
        y = np.zeros((len(x), side, side))
        for r in range(side):
            for c in range(side):
                y[:, r, c] = x[:, 2 * r : 2 * r + 3, 2 * c : 2 * c + 3].max(axis=(1, 2))
        return y

    x = pool(lrn(conv(image, blobs["conv1"], 4, 0, 1)))
    x = pool(lrn(conv(x, blobs["conv2"], 1, 2, 2)))
    x = conv(x, blobs["conv3"], 1, 1, 1)
    x = conv(x, blobs["conv4"], 1, 1, 2)
    x = pool(conv(x, blobs["conv5"], 1, 1, 2)).reshape(-1)
    x = np.maximum(blobs["fc6"][0] @ x + blobs["fc6"][1], 0)
    x = np.maximum(blobs["fc7"][0] @ x + blobs["fc7"][1], 0)
    return blobs["fc8"][0] @ x + blobs["fc8"][1]


@pytest.mark.parametrize("side", [67, 99])
def test_caffe_blobs_give_caffes_outputs(side):
    blobs = caffe_blobs(np.random.default_rng(0))
    if side == 99:  # pool5 of 2 x 2: the order of flattening shows.
        generator = np.random.default_rng(1)
        blobs["fc6"][0] = generator.normal(0, 0.2, (32, 64)).astype(np.float32)
    net = profile("alexnet_caffe", input_size=side)
    model = model_with(net, caffe.convert(flat(blobs)))
    x = np.random.default_rng(2).normal(0, 60, (1, side, side, 3)).astype(np.float32)
    bgr = x[0, :, :, ::-1].transpose(2, 0, 1).astype(np.float64)
    np.testing.assert_allclose(model(x)[0], numpy_caffe(blobs, bgr), rtol=1e-4, atol=1e-3)


def test_caffe_files_in_all_their_forms(tmp_path):
    blobs = caffe_blobs(np.random.default_rng(0))
    expected = caffe.convert(flat(blobs))
    dicts = {k: {"weights": w, "biases": b[None, None, None]} for k, (w, b) in blobs.items()}
    turned = {
        k: [w.transpose(2, 3, 1, 0) if w.ndim == 4 else w.T, b] for k, (w, b) in blobs.items()
    }
    old = {k: [w if w.ndim == 4 else w[None, None], b] for k, (w, b) in blobs.items()}
    forms = {"pairs": blobs, "dicts": dicts, "turned": turned, "old": old}
    for name, form in forms.items():
        np.save(tmp_path / f"{name}.npy", form, allow_pickle=True)
    np.savez(tmp_path / "flat.npz", **flat(blobs))
    words = {f"{k}/{part}": v for k, pair in dicts.items() for part, v in pair.items()}
    np.savez(tmp_path / "words.npz", **words)
    ragged = {k: np.empty(2, object) for k in blobs}
    for k, (w, b) in blobs.items():
        ragged[k][0], ragged[k][1] = w, b
    np.savez(tmp_path / "ragged.npz", **ragged)
    # Its name says nothing.
    (tmp_path / "ragged.npz").rename(tmp_path / "ragged")
    paths = sorted(tmp_path.iterdir())
    assert len(paths) == 7
    for path in paths:
        found = weight_files.read(str(path))
        assert found.layout == "caffe", path.name
        for name, value in found.values(1.0).items():
            np.testing.assert_array_equal(expected[name], value, err_msg=f"{path.name} {name}")


def test_caffe_weights_in_a_network_that_scales_its_pixels():
    blobs = caffe_blobs(np.random.default_rng(0))
    plain = model_with(profile("alexnet_caffe"), caffe.convert(flat(blobs)))
    scaled = model_with(
        profile("alexnet_caffe", input_scale=0.02), caffe.convert(flat(blobs), 0.02)
    )
    x = np.random.default_rng(2).normal(0, 60, (2, 67, 67, 3)).astype(np.float32)
    np.testing.assert_allclose(scaled(x), plain(x), rtol=1e-4, atol=1e-5)


def test_what_is_missing_or_misshapen_in_caffes_is_named():
    good = flat(caffe_blobs(np.random.default_rng(0)))
    for gone in ("fc8_0", "fc8_1"):
        with pytest.raises(weights.WeightsError, match="weights and biases of 'fc8'"):
            caffe.convert({k: v for k, v in good.items() if k != gone})
    with pytest.raises(weights.WeightsError, match=r"conv1 has weights of shape \[8, 1, 11, 11\]"):
        caffe.convert(good | {"conv1_0": np.zeros((8, 1, 11, 11))})
    with pytest.raises(weights.WeightsError, match="fc6 reads 17 values"):
        caffe.convert(good | {"fc6_0": np.zeros((32, 17))})
    # Complete, but of another width.
    net = profile("alexnet_caffe", hidden=(16, 24))
    with pytest.raises(
        weights.WeightsError, match=r"fc6/kernel needs shape \[16, 16\].*\[16, 32\]"
    ):
        model_with(net, caffe.convert(good))


def torchvision_state(rng):
    shapes = {
        "features.0": (8, 3, 11, 11),
        "features.3": (16, 8, 5, 5),
        "features.6": (24, 16, 3, 3),
        "features.8": (24, 24, 3, 3),
        "features.10": (16, 24, 3, 3),
        "classifier.1": (32, 64),
        "classifier.4": (24, 32),
        "classifier.6": (10, 24),
    }
    state = {}
    for name, shape in shapes.items():
        state[f"{name}.weight"] = rng.normal(0, 0.1, shape).astype(np.float32)
        state[f"{name}.bias"] = rng.normal(0, 0.1, shape[0]).astype(np.float32)
    return state


@pytest.mark.parametrize("whose", ["caffe", "torchvision"])
def test_what_their_nets_do_not_have_is_refused(whose):
    """A net with more layers, such as one with batch normalisation, is another net."""
    rng = np.random.default_rng(0)
    state = torchvision_state(rng) if whose == "torchvision" else flat(caffe_blobs(rng))
    convert, extra = (
        (torchvision.convert, "features.1.running_mean")
        if whose == "torchvision"
        else (caffe.convert, "bn1_0")
    )
    recipe = {"caffe": "alexnet_caffe", "torchvision": "alexnet_owt"}[whose]
    net = profile(recipe, **({"input_size": 99} if whose == "torchvision" else {}))
    more = convert(state | {extra: np.zeros(8, np.float32)}, 1.0)
    with pytest.raises(weights.WeightsError, match=f"it has {extra}, which the network"):
        model_with(net, more)
    drawn = {n: np.asarray(v) for n, v in build.named_variables(build.build(net)).items()}
    choice = weights.choose(net, drawn, more, partial=True)
    assert choice.kept == () and extra not in choice.values


def test_torchvision_normalisation_is_folded_into_conv1():
    rng = np.random.default_rng(0)
    state = torchvision_state(rng)
    net = profile("alexnet_owt", input_size=99)
    folded = model_with(net, torchvision.convert(state, 1 / 57.6))
    # The same net without any scaling, and with torchvision's own kernels, fed what torchvision is.
    own = torchvision.convert(state, 1.0)
    own["conv1/kernel"] = state["features.0.weight"].transpose(2, 3, 1, 0)
    plain = model_with(profile("alexnet_owt", input_size=99, input_scale=1.0), own)
    pixels = rng.integers(0, 256, (2, 99, 99, 3)).astype(np.float32)
    # As its documentation has them.
    mean, deviation = np.array((0.485, 0.456, 0.406)), np.array((0.229, 0.224, 0.225))
    normalised = ((pixels / 255 - mean) / deviation).astype(np.float32)
    subtracted = (pixels - np.array(MEANS["torchvision"])).astype(np.float32)
    np.testing.assert_allclose(folded(subtracted), plain(normalised), rtol=1e-3, atol=1e-4)


def test_what_is_missing_in_torchvisions_is_named():
    state = torchvision_state(np.random.default_rng(0))
    with pytest.raises(weights.WeightsError, match="features.3.bias"):
        torchvision.convert({k: v for k, v in state.items() if k != "features.3.bias"}, 1.0)
    with pytest.raises(weights.WeightsError, match="three channels"):
        torchvision.convert(state | {"features.0.weight": np.zeros((8, 1, 11, 11))}, 1.0)
