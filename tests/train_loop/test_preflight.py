"""What is checked before training: it passes what is right and speaks up for what is not."""

import io
import subprocess
import sys
import tarfile

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from alexnet_tf import train
from alexnet_tf.model import build
from alexnet_tf.tables import table
from alexnet_tf.train_loop import preflight
from tests.helpers import small_dataset

SMALL = {"name": "alexnet", "input_size": 67, "filters": (16, 32, 48, 48, 32), "hidden": (64, 48)}


def pixels(batch=32, side=67, seed=0):
    rng = np.random.default_rng(seed)
    coarse = rng.normal(0, 60, (batch, 8, 8, 3)).astype(np.float32)
    return tf.image.resize(coarse, (side, side)).numpy()


def test_structure_against_promises():
    net = table.from_config({"name": "alexnet"}, 1000)
    assert preflight.structure_errors(net, parameters=60_965_224, neurons=659_272) == []
    errors = preflight.structure_errors(net, parameters=62_378_344, neurons=650_000)
    assert errors == [
        "alexnet has 60,965,224 parameters, not 62,378,344",
        "alexnet has 659,272 neurons, not 650,000",
    ]
    small = table.from_config(SMALL, 10)
    assert preflight.structure_errors(small, build.build(small)) == []
    wider = table.from_config(SMALL | {"hidden": (64, 50)}, 10)
    errors = preflight.structure_errors(small, build.build(wider))
    assert any("parameters" in error for error in errors)
    assert any("fc7a" in error for error in errors)


def test_signals_are_what_numpy_says():
    net = table.from_config({"name": "cifar_quick"}, 10)
    images = pixels(8, 32)
    signal = {s.name: s for s in preflight.measure(net, images)}["fc10"]
    outputs = build.build(net)(images).numpy()
    assert signal.deviation == pytest.approx(outputs.std(axis=0).mean(), rel=1e-4)
    assert signal.mean == pytest.approx(np.abs(outputs).mean(), rel=1e-4)
    assert signal.share == pytest.approx(signal.deviation / signal.mean)
    assert signal.active == 1


def test_a_dying_signal_is_named():
    healthy = table.from_config(SMALL | {"init_scale": 2.0, "init_biases": (0,) * 8}, 10)
    images = pixels()
    assert preflight.signal_warnings(preflight.measure(healthy, images)) == []
    # The commonest mistake: pixels divided by 255 under weights meant for 0-255.
    net = table.from_config({"name": "alexnet", "input_size": 67}, 10)
    (warning,) = preflight.signal_warnings(preflight.measure(net, images / 255))
    assert "depends on the image" in warning and "divided by 255" in warning
    dead = table.from_config(SMALL | {"init_biases": (-9,) * 8}, 10)
    (warning,) = preflight.signal_warnings(preflight.measure(dead, images / 255))
    assert "activations are zero" in warning
    (warning,) = preflight.signal_warnings(preflight.measure(healthy, images * np.inf))
    assert "not finite" in warning
    text = preflight.signal_text(preflight.measure(healthy, images))
    assert all(name in text for name in ("conv1a", "fc8", "share"))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("preflight") / "data"
    return small_dataset.make(folder, image_size=28, train=40, validation=4)


def check(data, *changes):
    """The exit status and the words of --check."""
    settings = ("network.input_size=24", "network.filters=(8,16,16)", "network.hidden=32")
    settings += ("batch_size=8", *changes)
    argv = ["--config=demo", f"--config.data_dir={data}", "--check"]
    return train.call([*argv, *(f"--config.{setting}" for setting in settings)])


def test_check_trains_at_the_recipe_s_own_rate(data, capsys):
    assert check(data) == 0
    said = capsys.readouterr().out
    assert "60 updates, rate 0.005, batch 8" in said and "FAILED" not in said


@pytest.mark.parametrize("rate", [3.0, 1e6])
def test_check_fails_where_the_rate_is_too_high(data, capsys, rate):
    assert check(data, f"learning_rate.initial={rate}") == 1
    assert "FAILED: " in capsys.readouterr().out


def test_check_fails_where_the_loss_does_not_move(data, capsys):
    assert check(data, "learning_rate.initial=1e-9") == 1
    assert "the loss of one batch does not fall" in capsys.readouterr().out


def test_check_asks_less_of_a_warm_up(data, capsys):
    """At the 40th of 10^7 updates the rate is 2e-8, and nothing can move."""
    assert check(data, "learning_rate.warmup_steps=10000000") == 0
    assert "FAILED" not in capsys.readouterr().out


def test_check_leaves_a_work_folder_alone(data, tmp_path):
    argv = [
        "--config=demo",
        f"--config.data_dir={data}",
        f"--workdir={tmp_path / 'run'}",
        "--check",
    ]
    assert train.call([*argv, "--config.network.input_size=24", "--config.batch_size=8"]) in (0, 1)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "status"),
    [((), 0), (("learning_rate.initial=3.0",), 1), (("network.lrn=False",), 1)],
    ids=["as_it_is", "rate_3", "without_normalisation"],
)
def test_check_of_the_demo(tmp_path, changes, status):
    """On the images that the demo is made for, which it learns at its own rate only."""
    assert call_demo("data_prep.make_demo_images", f"--output_dir={tmp_path / 'images'}") == 0
    folders = [f"--{split}={tmp_path / 'images' / split}" for split in ("train", "validation")]
    options = [*folders, "--image_size=112", f"--output_dir={tmp_path / 'data'}"]
    assert call_demo("data_prep.build_tfrecords", *options) == 0
    argv = ["--config=demo", f"--config.data_dir={tmp_path / 'data'}", "--check"]
    assert call_demo("alexnet_tf.train", *argv, *(f"--config.{one}" for one in changes)) == status


def call_demo(module, *arguments):
    return subprocess.run([sys.executable, "-m", module, *arguments], check=False).returncode


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
    found = {s.name: s for s in preflight.measure(net, photographs * np.float32(scale))}
    # Other photographs and another seed than the table's: within a quarter.
    assert found["fc7a"].share == pytest.approx(share, rel=0.25)
    assert found["fc8"].deviation == pytest.approx(deviation, rel=0.25)
