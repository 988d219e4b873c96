"""Weights in and out: names, errors, Caffe's and torchvision's layouts by hand."""

import pickle

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from alexnet_tf import config as recipes  # noqa: E402
from alexnet_tf.network import build, table, weights  # noqa: E402
from data_prep import command  # noqa: E402

# Small copies of the profiles, so that hand-written loops can follow.
SMALL = {"input_size": 67, "filters": (8, 16, 24, 24, 16), "hidden": (32, 24)}


def profile(name, **options):
    network = recipes.load(name).network.to_dict() | SMALL | options
    return table.from_config(network, 10)


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


def test_npz_round_trip_between_implementations(tmp_path):
    net = profile("alexnet_caffe")
    towers = build.build(net, seed=1)
    path = str(tmp_path / "weights.npz")
    weights.save_npz(path, towers)
    loaded = weights.load_npz(path)
    assert loaded.keys() == build.named_variables(towers).keys()
    other = build.build(net, seed=2)
    x = np.random.default_rng(0).normal(0, 60, (2, 67, 67, 3)).astype(np.float32)
    assert np.abs(towers(x) - other(x)).max() > 1e-3
    weights.assign(other, loaded)
    np.testing.assert_array_equal(towers(x), other(x))
    one = build.build(net, implementation="grouped")
    weights.assign(one, weights.fit(net, loaded, "grouped"))
    np.testing.assert_allclose(towers(x), one(x), rtol=1e-4, atol=1e-6)
    back = weights.fit(net, weights.values(one), "towers")
    for name, value in loaded.items():
        np.testing.assert_array_equal(back[name], value)


def test_misfits_are_named(tmp_path):
    model = build.build(profile("alexnet_owt"))
    good = weights.values(model)
    with pytest.raises(weights.WeightsError, match="conv2/bias: needs shape .16,., found nothing"):
        weights.assign(model, {k: v for k, v in good.items() if k != "conv2/bias"})
    with pytest.raises(weights.WeightsError, match=r"fc8/bias.*found shape \(11,\)"):
        weights.assign(model, good | {"fc8/bias": np.zeros(11)})
    with pytest.raises(weights.WeightsError, match="no variable fc9/kernel"):
        weights.assign(model, good | {"fc9/kernel": np.zeros(1)})
    kept = weights.assign(model, good | {"fc8/bias": np.zeros(11)}, partial=True)
    assert kept == ["fc8/bias"]
    path = tmp_path / "broken.npz"
    path.write_bytes(b"PK no zip")
    with pytest.raises(weights.WeightsError, match="broken.npz"):
        weights.load_npz(str(path))
    with pytest.raises(weights.WeightsError, match="nothing.npz"):
        weights.load_npz(str(tmp_path / "nothing.npz"))


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
    model = build.build(net)
    weights.assign(model, weights.from_caffe(blobs, net))
    x = np.random.default_rng(2).normal(0, 60, (1, side, side, 3)).astype(np.float32)
    bgr = x[0, :, :, ::-1].transpose(2, 0, 1).astype(np.float64)
    np.testing.assert_allclose(model(x)[0], numpy_caffe(blobs, bgr), rtol=1e-4, atol=1e-3)


def test_caffe_files_in_all_their_forms(tmp_path):
    blobs = caffe_blobs(np.random.default_rng(0))
    net = profile("alexnet_caffe")
    expected = weights.from_caffe(blobs, net)
    pairs = tmp_path / "pairs.npy"
    np.save(pairs, blobs, allow_pickle=True)
    dicts = tmp_path / "dicts.npy"
    np.save(
        dicts,
        {k: {"weights": w, "biases": b[None, None, None]} for k, (w, b) in blobs.items()},
        allow_pickle=True,
    )
    turned = tmp_path / "turned.npy"
    turned_blobs = {
        k: [w.transpose(2, 3, 1, 0) if w.ndim == 4 else w.T, b] for k, (w, b) in blobs.items()
    }
    np.save(turned, turned_blobs, allow_pickle=True)
    flat = tmp_path / "flat.npz"
    np.savez(flat, **{f"{k}_{i}": pair[i] for k, pair in blobs.items() for i in (0, 1)})
    for path in (pairs, dicts, turned, flat):
        found = weights.from_caffe(weights.load_caffe(str(path)), net)
        for name, value in expected.items():
            np.testing.assert_array_equal(found[name], value, err_msg=f"{path.name} {name}")


class Harm:
    def __reduce__(self):
        return (eval, ("1/0",))


def test_a_pickle_cannot_run_code(tmp_path):
    path = tmp_path / "harm.npy"
    np.save(path, {"conv1": Harm()}, allow_pickle=True)
    with pytest.raises(weights.WeightsError, match="asks for builtins.eval"):
        weights.load_caffe(str(path))
    path.write_bytes(pickle.dumps([1]))
    with pytest.raises(weights.WeightsError, match="harm.npy"):
        weights.load_caffe(str(path))
    with pytest.raises(weights.WeightsError, match="'fc8'"):
        blobs = caffe_blobs(np.random.default_rng(0))
        del blobs["fc8"]
        weights.from_caffe(blobs, profile("alexnet_caffe"))


def test_torchvision_normalisation_is_folded_into_conv1():
    net = profile("alexnet_owt", input_size=99)
    rng = np.random.default_rng(0)
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
    folded = build.build(net)
    weights.assign(folded, weights.from_torchvision(state, input_scale=1 / 57.6))
    # The same net without any scaling, fed what torchvision feeds its own.
    plain = build.build(profile("alexnet_owt", input_size=99, input_scale=1.0))
    weights.assign(plain, weights.from_torchvision(state))
    pixels = rng.integers(0, 256, (2, 99, 99, 3)).astype(np.float32)
    mean, deviation = np.array(weights.TORCHVISION_MEAN), np.array(weights.TORCHVISION_STDDEV)
    normalised = ((pixels / 255 - mean) / deviation).astype(np.float32)
    subtracted = (pixels - 255 * mean).astype(np.float32)
    np.testing.assert_allclose(folded(subtracted), plain(normalised), rtol=1e-3, atol=1e-4)
    with pytest.raises(weights.WeightsError, match="features.3.bias"):
        weights.from_torchvision({k: v for k, v in state.items() if k != "features.3.bias"})


def test_2012_nets_begin_with_the_weights_they_ask_for(tmp_path):
    from alexnet_tf.network.cuda_convnet import reader

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
    model = build.build(net)
    rng = np.random.default_rng(0)
    other = {
        "first/kernel": rng.normal(size=(48, 6)),
        "first/bias": rng.normal(size=6),
        "second/kernel0": rng.normal(size=(6, 4)),
        "second/kernel1": rng.normal(size=(48, 4)),
        "unused/kernel": rng.normal(size=(1, 1)),
    }
    assert weights.import_requested(model, net, other) == 4
    now = weights.values(model)
    np.testing.assert_array_equal(now["one/kernel"], other["first/kernel"].astype(np.float32))
    np.testing.assert_array_equal(now["two/kernel1"], other["second/kernel1"].astype(np.float32))
    assert not now["two/bias"].any()
    del other["first/bias"]
    with pytest.raises(weights.WeightsError, match="one/bias begins with first/bias"):
        weights.import_requested(model, net, other)
    path.write_text(path.read_text().replace("initw.makeb(first)", "mine.load(x)"))
    with pytest.raises(command.UserError, match="only initw.makeb"):
        reader.read(str(path), input_size=4)


def test_run_146_asks_for_the_run_before(real_data):
    from alexnet_tf.network.cuda_convnet import reader

    folder = real_data / "layer_definitions_2012"
    net = reader.read(str(folder / "layers-146-2011.cfg"))
    asked = dict(net.imports)
    # conv1 ... conv6 of both towers: kernels (two inputs for conv3 and conv6) and biases.
    assert len(asked) == 2 * (4 * 1 + 2 * 2 + 6)
    assert asked["conv3b/kernel1"] == "conv3b/kernel1" and asked["conv6a/bias"] == "conv6a/bias"
