"""Gates before training: they pass for what is right and speak up for what is not."""

import io
import tarfile

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from alexnet_tf.model import build
from alexnet_tf.tables import table
from alexnet_tf.train_loop import network_checks

SMALL = {"name": "alexnet", "input_size": 67, "filters": (16, 32, 48, 48, 32), "hidden": (64, 48)}


def pixels(batch=32, side=67, seed=0):
    rng = np.random.default_rng(seed)
    coarse = rng.normal(0, 60, (batch, 8, 8, 3)).astype(np.float32)
    return tf.image.resize(coarse, (side, side)).numpy()


def test_structure_against_promises():
    net = table.from_config({"name": "alexnet"}, 1000)
    assert network_checks.structure_errors(net, parameters=60_965_224, neurons=659_272) == []
    errors = network_checks.structure_errors(net, parameters=62_378_344, neurons=650_000)
    assert errors == [
        "alexnet has 60,965,224 parameters, not 62,378,344",
        "alexnet has 659,272 neurons, not 650,000",
    ]
    small = table.from_config(SMALL, 10)
    assert network_checks.structure_errors(small, build.build(small)) == []
    wider = table.from_config(SMALL | {"hidden": (64, 50)}, 10)
    errors = network_checks.structure_errors(small, build.build(wider))
    assert any("parameters" in error for error in errors)
    assert any("fc7a" in error for error in errors)


def test_signals_are_what_numpy_says():
    net = table.from_config({"name": "cifar_quick"}, 10)
    images = pixels(8, 32)
    signal = {s.name: s for s in network_checks.signals(net, images)}["fc10"]
    outputs = build.build(net)(images).numpy()
    assert signal.deviation == pytest.approx(outputs.std(axis=0).mean(), rel=1e-4)
    assert signal.mean == pytest.approx(np.abs(outputs).mean(), rel=1e-4)
    assert signal.share == pytest.approx(signal.deviation / signal.mean)
    assert signal.active == 1


def test_a_dying_signal_is_named():
    healthy = table.from_config(SMALL | {"init_scale": 2.0, "init_biases": (0,) * 8}, 10)
    images = pixels()
    assert network_checks.signal_warnings(network_checks.signals(healthy, images)) == []
    # The commonest mistake: pixels divided by 255 under weights meant for 0-255.
    net = table.from_config({"name": "alexnet", "input_size": 67}, 10)
    (warning,) = network_checks.signal_warnings(network_checks.signals(net, images / 255))
    assert "depends on the image" in warning and "divided by 255" in warning
    dead = table.from_config(SMALL | {"init_biases": (-9,) * 8}, 10)
    (warning,) = network_checks.signal_warnings(network_checks.signals(dead, images / 255))
    assert "silent" in warning
    (warning,) = network_checks.signal_warnings(network_checks.signals(healthy, images * np.inf))
    assert "not finite" in warning
    text = network_checks.signal_text(network_checks.signals(healthy, images))
    assert all(name in text for name in ("conv1a", "fc8", "share"))


def test_a_right_network_learns_32_images():
    net = table.from_config(SMALL, 32)
    result = network_checks.overfit(net, pixels(), np.arange(32), max_steps=60)
    assert result.learned and result.losses[-1] <= 0.1
    assert result.steps == len(result.losses) - 1 <= 60


def test_images_that_cannot_be_told_apart_are_not_learned():
    net = table.from_config(SMALL, 32)
    same = np.repeat(pixels(1), 32, axis=0)
    result = network_checks.overfit(net, same, np.arange(32), max_steps=8)
    assert not result.learned and result.steps == 8


@pytest.fixture(scope="module")
def photographs(real_data):
    from PIL import Image

    images = []
    with tarfile.open(real_data / "imagenet_sample.tar") as tar:
        for member in tar:
            if not member.name.endswith("JPEG") or len(images) == 126:
                continue
            image = Image.open(io.BytesIO(tar.extractfile(member).read())).convert("RGB")
            scale = 256 / min(image.size)
            size = [max(256, round(side * scale)) for side in image.size]
            left, top = (size[0] - 256) // 2, (size[1] - 256) // 2
            image = image.resize(size, Image.Resampling.BILINEAR)
            images.append(np.asarray(image.crop((left, top, left + 256, top + 256)), np.float32))
    images = np.stack(images)
    return (images - images.mean(axis=0))[::2, 16:240, 16:240]


# alexnet.md 1.5: share at fc7 and deviation at fc8, of 63 ImageNet photographs.
CODE = {"init_stddevs": (0.01, 0.01, 0.03, 0.03, 0.03, 0.01, 0.01, 0.01)}
CAFFE = {
    "init_stddevs": (0.01, 0.01, 0.01, 0.01, 0.01, 0.005, 0.005, 0.01),
    "init_biases": (0, 0.1, 0, 0.1, 0.1, 0.1, 0.1, 0),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "scale", "share", "deviation"),
    [
        (CODE, 1, 0.189, 0.183),
        (CAFFE, 1, 0.040, 0.0026),
        ({}, 1, 0.017, 0.013),
        ({}, 1 / 58, 0.00037, 0.00027),
        ({}, 1 / 255, 0.00008, 0.00006),
    ],
)
def test_signal_table_of_the_photographs(photographs, options, scale, share, deviation):
    net = table.from_config({"name": "alexnet"} | options, 1000)
    found = {s.name: s for s in network_checks.signals(net, photographs * np.float32(scale))}
    # Other photographs and another seed than the table's: within a quarter.
    assert found["fc7a"].share == pytest.approx(share, rel=0.25)
    assert found["fc8"].deviation == pytest.approx(deviation, rel=0.25)
