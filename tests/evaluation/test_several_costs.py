"""A net of three costs, from a definition file to its evaluation, against NumPy."""

from __future__ import annotations

import json

import numpy as np
import pytest

from alexnet_common import command
from alexnet_tf import train
from alexnet_tf.evaluation import ensemble
from alexnet_tf.model import build
from alexnet_tf.runs import restore
from alexnet_tf.tables.cuda_convnet import reader
from tests.helpers import small_dataset

SIZE, CROP, COUNT, CLASSES = 16, 12, 24, 3
RATE = 1e-5
COEFFICIENTS = {"cost": 1.0, "early_cost": 0.3, "penalty": 1e-4}
LAYERS = """
[data]
type=data
dataIdx=0
[labels]
type=data
dataIdx=1
[hidden]
type=fc
inputs=data
outputs=24
neuron=relu
initW=0.001
[early]
type=fc
inputs=data
outputs=3
initW=0.001
[early_probs]
type=softmax
inputs=early
[out]
type=fc
inputs=hidden
outputs=3
initW=0.1
[probs]
type=softmax
inputs=out
[early_cost]
type=cost.logreg
inputs=labels,early_probs
[cost]
type=cost.logreg
inputs=labels,probs
[penalty]
type=cost.sum2
inputs=hidden
"""


def softmax(z):
    exps = np.exp(z - z.max(axis=1, keepdims=True))
    return exps / exps.sum(axis=1, keepdims=True)


def costs_of(weights, x, labels):
    """Mean of each cost, and the top-1 errors of both softmaxes."""
    hidden = np.maximum(x @ weights["hidden/kernel"] + weights["hidden/bias"], 0)
    late = softmax(hidden @ weights["out/kernel"] + weights["out/bias"])
    early = softmax(x @ weights["early/kernel"] + weights["early/bias"])
    own = np.arange(len(labels)), labels
    values = {
        "cost": -np.log(late[own]).mean(),
        "early_cost": -np.log(early[own]).mean(),
        "penalty": (hidden**2).sum(axis=1).mean(),
    }
    wrong = {
        "cost": (late.argmax(axis=1) != labels).mean(),
        "early_cost": (early.argmax(axis=1) != labels).mean(),
    }
    return {name: COEFFICIENTS[name] * value for name, value in values.items()}, wrong


def descended(weights, x, labels):
    """Weights after one update by the gradient of the sum, written out."""
    hidden = np.maximum(x @ weights["hidden/kernel"], 0)
    onehot, n = np.eye(CLASSES)[labels], len(labels)
    of_late = COEFFICIENTS["cost"] * (softmax(hidden @ weights["out/kernel"]) - onehot) / n
    of_early = COEFFICIENTS["early_cost"] * (softmax(x @ weights["early/kernel"]) - onehot) / n
    of_hidden = of_late @ weights["out/kernel"].T + COEFFICIENTS["penalty"] * 2 * hidden / n
    of_hidden = of_hidden * (hidden > 0)
    gradients = {
        "hidden/kernel": x.T @ of_hidden,
        "hidden/bias": of_hidden.sum(axis=0),
        "early/kernel": x.T @ of_early,
        "early/bias": of_early.sum(axis=0),
        "out/kernel": hidden.T @ of_late,
        "out/bias": of_late.sum(axis=0),
    }
    return {name: weights[name] - RATE * gradient for name, gradient in gradients.items()}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(data folder, files, work folder) after one update on all images at once."""
    folder = tmp_path_factory.mktemp("several")
    data = small_dataset.make(
        folder / "data", image_size=SIZE, classes=CLASSES, train=COUNT, validation=11,
        store="uint8", shards=1,
    )  # fmt: skip
    files = folder / "layers.cfg", folder / "layer-params.cfg"
    files[0].write_text(LAYERS)
    learns = f"epsW={RATE}\nepsB={RATE}\nmomW=0.9\nmomB=0.9\n"
    text = "".join(f"[{name}]\n{learns}" for name in ("hidden", "early", "out"))
    text += "".join(f"[{name}]\ncoeff={value}\n" for name, value in COEFFICIENTS.items())
    files[1].write_text(text)
    settings = {
        "network.layers": files[0],
        "network.layer_params": files[1],
        "network.input_size": CROP,
        "network.rates": "file",
        "learning_rate.schedule": "constant",
        "data_dir": data,
        "batch_size": COUNT,
        "train_epochs": 1,
        "input.random_crop": "false",
        "input.random_flip": "false",
        "preprocess.color_noise": "none",
        "log.every_steps": 1,
        "log.tensorboard": "false",
        "log.report": "0",
    }
    flags = [f"--config.{key}={value}" for key, value in settings.items()]
    argv = ["--config=cuda_convnet", f"--workdir={folder}/run", "--quiet", *flags]
    assert command.call(train.define_flags, train.main, train.__doc__, argv) == 0
    return data, files, folder / "run"


def test_an_update_descends_the_sum_and_evaluation_reports_each(trained):
    data, files, workdir = trained
    net = reader.read(*map(str, files), input_size=CROP, num_classes=CLASSES, rates="file")
    first = {
        n: np.asarray(v, np.float64) for n, v in build.named_variables(build.build(net)).items()
    }
    mean = np.load(data / "mean_image.npy")

    def inputs(split, count):
        images, labels = small_dataset.pixels(split, count, SIZE, CLASSES)
        return (images - mean)[:, 2:14, 2:14].reshape(count, -1).astype(np.float64), labels

    x, labels = inputs("train", COUNT)
    values, wrong = costs_of(first, x, labels)
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    assert lines[0]["loss"] == pytest.approx(sum(values.values()), rel=1e-4)
    assert lines[0]["top_1_error"] == pytest.approx(wrong["cost"])
    run = restore.load(str(workdir))
    wanted = descended(first, x, labels)
    for name, variable in build.named_variables(run.model).items():
        moved = np.asarray(variable, np.float64) - first[name]
        np.testing.assert_allclose(moved, wanted[name] - first[name], rtol=1e-3, atol=1e-7)

    x, labels = inputs("validation", 11)
    values, wrong = costs_of(wanted, x, labels)
    report = ensemble.evaluate_runs([str(workdir)], ensemble.Settings(views=1))
    errors = report["runs"][0]["errors"]["1"]
    assert errors["loss"] == pytest.approx(sum(values.values()), rel=1e-3)
    assert errors["top_1_error"] == pytest.approx(wrong["cost"])
    found = errors["costs"]
    assert {name: cost["loss"] for name, cost in found.items()} == pytest.approx(values, rel=1e-3)
    assert found["early_cost"]["top_1_error"] == pytest.approx(wrong["early_cost"])
    assert "top_1_error" not in found["penalty"]
    table = ensemble.table_text(report)
    assert f"{values['penalty']:.4f}" in table and "cost early_cost" in table
    (epoch,) = [line for line in lines if line["kind"] == "epoch"]
    assert epoch["val_loss_early_cost"] == pytest.approx(values["early_cost"], rel=1e-3)
    assert epoch["val_top_1_error_early_cost"] == pytest.approx(wrong["early_cost"])


def test_ten_views_average_every_costs_own_scores(trained):
    data, _, workdir = trained
    run = restore.load(str(workdir))
    weights = {n: np.asarray(v, np.float64) for n, v in build.named_variables(run.model).items()}
    images, labels = small_dataset.pixels("validation", 11, SIZE, CLASSES)
    mean = np.load(data / "mean_image.npy")[2:14, 2:14]
    scores = []
    for y, x in ((0, 0), (0, 4), (2, 2), (4, 0), (4, 4)):
        crops = images[:, y : y + CROP, x : x + CROP].astype(np.float64)
        for crop in (crops, crops[:, :, ::-1]):
            flat = (crop - mean).reshape(11, -1)
            scores.append(softmax(flat @ weights["early/kernel"] + weights["early/bias"]))
    wanted = -np.log(np.mean(scores, axis=0)[np.arange(11), labels]).mean()
    report = ensemble.evaluate_runs([str(workdir)], ensemble.Settings(views=10))
    of_ten = report["runs"][0]["errors"]["10"]
    losses = {name: cost["loss"] for name, cost in of_ten["costs"].items()}
    assert losses["early_cost"] == pytest.approx(COEFFICIENTS["early_cost"] * wanted, rel=1e-3)
    assert sum(losses.values()) == pytest.approx(of_ten["loss"], rel=1e-5)
