"""The public API: any kind of image in, probabilities and features out, checked by NumPy."""

from __future__ import annotations

import dataclasses
import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, ImageOps

pytest.importorskip("tensorflow")

import keras

import alexnet_tf
from alexnet_common.errors import UsageError, UserError

SIZE, CROP = 38, 32


@pytest.fixture(scope="module")
def network(workdir):
    return alexnet_tf.load(workdir)


@pytest.fixture(scope="module")
def squares(records):
    return np.stack([np.asarray(Image.open(io.BytesIO(data))) for data, _ in records])


def crops(squares, data_dir, views):
    """The views less the mean, cut by hand."""
    mean = np.load(data_dir / "mean_image.npy")[3:35, 3:35]
    offsets = [(0, 0), (0, 6), (3, 3), (6, 0), (6, 6)] if views == 10 else [(3, 3)]
    for y, x in offsets:
        crop = squares[:, y : y + CROP, x : x + CROP].astype(np.float32)
        for view in [crop, crop[:, :, ::-1]] if views == 10 else [crop]:
            yield view - mean


def test_importing_the_package_is_light():
    code = (
        "import sys, alexnet_tf; assert callable(alexnet_tf.load); "
        "print([m for m in ('tensorflow', 'keras', 'numpy', 'matplotlib') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


def test_the_package_says_what_it_offers():
    assert alexnet_tf.__all__ == ["Network", "UserError", "load"]
    assert alexnet_tf.Network.__name__ == "Network"
    with pytest.raises(AttributeError, match="has no attribute 'lode'"):
        alexnet_tf.lode  # noqa: B018


@pytest.mark.parametrize("views", [1, 10])
def test_probabilities_are_the_mean_of_softmaxes(network, squares, data_dir, views):
    total = 0
    for view in crops(squares, data_dir, views):
        logits = np.asarray(network.model(view, training=False), np.float64)
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        total = total + powers / powers.sum(axis=1, keepdims=True) / views
    found = network.predict(squares, views=views, batch_size=8)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, total, atol=2e-5)


@pytest.mark.parametrize("views", [1, 10])
def test_features_are_the_mean_of_layers_outputs(network, squares, data_dir, views):
    names = ["conv2", "pool3", "fc64"]
    part = keras.Model(network.model.input, [network.model.get_layer(n).output for n in names])
    total = [0, 0, 0]
    for view in crops(squares, data_dir, views):
        values = part(view, training=False)
        total = [t + np.asarray(v) / views for t, v in zip(total, values, strict=True)]
    found = network.features(squares, names, views=views, batch_size=8)
    assert list(found) == names
    for name, expected in zip(names, total, strict=True):
        assert found[name].dtype == np.float32
        np.testing.assert_allclose(found[name], expected, atol=1e-4 * np.abs(expected).max())


def test_preprocess_and_model_make_the_same_logits(network, squares, data_dir):
    (view,) = crops(squares, data_dir, 1)
    np.testing.assert_array_equal(network.preprocess(squares), view)


def test_every_kind_of_image_is_the_same_image(network, squares, tmp_path):
    path = tmp_path / "x.png"
    Image.fromarray(squares[0]).save(path)
    kinds = [path, str(path), path.read_bytes(), Image.open(path), squares[0]]
    np.testing.assert_array_equal(network.pixels(kinds), np.stack([squares[0]] * 5))
    one = network.pixels(path)
    np.testing.assert_array_equal(one, squares[:1])
    grey = np.arange(SIZE * SIZE, dtype=np.uint64).reshape(SIZE, SIZE).astype(np.uint8)
    np.testing.assert_array_equal(network.pixels(grey)[0], np.stack([grey] * 3, axis=2))


def test_large_images_become_the_converters_squares(network, tmp_path):
    from data_prep.pixels.images import square_pixels

    pixels = np.random.default_rng(0).integers(0, 256, (90, 61, 3), np.uint8)
    path = tmp_path / "x.png"
    Image.fromarray(pixels).save(path)
    expected = square_pixels(path.read_bytes(), SIZE)
    for image in (path, pixels):
        np.testing.assert_array_equal(network.pixels(image)[0], expected)


@pytest.mark.parametrize("turn", ["ignore", "apply"])
def test_photographs_are_turned_as_the_datasets_were(network, tmp_path, turn):
    """Else a network that learnt upright photographs is shown them on their side."""
    facts = network.run.facts
    document = {**facts.document, "exif_orientation": turn}
    facts = dataclasses.replace(facts, document=document)
    asked = alexnet_tf.Network(dataclasses.replace(network.run, facts=facts))
    pixels = np.random.default_rng(0).integers(0, 256, (2 * SIZE, SIZE, 3), np.uint8)
    paths, expected = [], []
    for orientation in range(1, 9):
        mark = Image.Exif()
        mark[0x0112] = orientation
        paths.append(tmp_path / f"{orientation}.png")
        Image.fromarray(pixels).save(paths[-1], exif=mark)
        # Oracle: Pillow's turn, then pixels, which have no mark.
        image = Image.open(paths[-1])
        upright = ImageOps.exif_transpose(image) if turn == "apply" else image
        expected += list(network.pixels(np.asarray(upright)))
    assert len({square.tobytes() for square in expected}) == (8 if turn == "apply" else 1)
    for kinds in (paths, [path.read_bytes() for path in paths], list(map(Image.open, paths))):
        np.testing.assert_array_equal(asked.pixels(kinds), expected)
    (batch,) = asked.files([str(path) for path in paths], 8)
    np.testing.assert_array_equal(batch.images, expected)


def test_no_image_gives_empty_arrays_of_the_right_shape(network):
    assert network.predict([]).shape == (0, 7)
    assert network.features([], ["fc64", "conv1"])["fc64"].shape == (0, 64)


def test_classify_takes_one_image(network, squares):
    with pytest.raises(alexnet_tf.UserError, match="takes one image, not a list; predict takes"):
        network.classify([squares[0]])


def test_classify_names_the_best(network, squares):
    probabilities = network.predict([squares[0]])[0]
    found = network.classify(squares[0], top=3)
    best = sorted(range(7), key=lambda label: -probabilities[label])[:3]
    assert [name for name, _ in found] == [f"class_{label}" for label in best]
    assert [p for _, p in found] == pytest.approx([probabilities[label] for label in best])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda n: n.predict("nowhere.jpg"), UserError, "nowhere.jpg: No such file"),
        (lambda n: n.predict(__file__), UserError, "test_network.py: not an image"),
        (lambda n: n.predict(b"GIF89a"), UserError, "image: "),
        (lambda n: n.predict(np.zeros((3, 3, 3))), UserError, "not float64 [3, 3, 3]"),
        (lambda n: n.predict([], views=5), UsageError, "views must be 1 or 10, not 5"),
        (lambda n: n.predict([], batch_size=0), UsageError, "batch_size must be at least 1"),
        (lambda n: n.features([], ["fc65"]), UsageError, "did you mean fc64"),
        (lambda n: n.features([], ["fc64"], views=2), UsageError, "views must be 1 or 10, not 2"),
        (
            lambda n: alexnet_tf.load("nowhere"),
            UserError,
            "nowhere does not exist; expected a work folder or a file of weights",
        ),
        (lambda n: alexnet_tf.load("tests"), UserError, "tests holds no run (no config.json)"),
        (lambda n: alexnet_tf.load(__file__), UserError, "not a file of weights"),
    ],
)
def test_errors_are_one_line(network, call, error, message):
    with pytest.raises(error, match="^[^\n]*$") as raised:
        call(network)
    assert message in str(raised.value)
    # Whoever calls a function does not have the flags of a command.
    assert "--workdir" not in str(raised.value)


def test_weights_of_ours_want_recipe_and_dataset(network, workdir, data_dir, squares, tmp_path):
    from alexnet_tf.model import build

    path = tmp_path / "weights.npz"
    np.savez(path, **{n: np.asarray(v) for n, v in build.named_variables(network.model).items()})
    with pytest.raises(UsageError, match="name the recipe and the dataset"):
        alexnet_tf.load(path)
    with pytest.raises(UsageError, match="leave recipe out"):
        alexnet_tf.load(workdir, recipe="demo")
    with pytest.raises(UserError, match="does not fit demo"):
        alexnet_tf.load(path, recipe="demo", data_dir=str(data_dir))
    again = alexnet_tf.load(path, recipe="cifar10_quick", data_dir=str(data_dir))
    np.testing.assert_array_equal(again.predict(squares), network.predict(squares))
    assert again.class_names == network.class_names
