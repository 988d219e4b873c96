"""Nets of every cost, from a definition file to the exported model, against NumPy."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

from alexnet_common import command
from alexnet_tf import train
from alexnet_tf.model import build
from alexnet_tf.runs import restore
from alexnet_tf.serving import saved_model
from alexnet_tf.tables.cuda_convnet import reader
from tests.helpers import small_dataset
from tests.helpers.evaluated import evaluate

SIZE, CROP, COUNT = 16, 12, 24

HEAD = """
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
[out]
type=fc
inputs=hidden
outputs={outputs}
initW=0.1
"""
PARAMETERS = """
[hidden]
epsW=1e-6
epsB=1e-6
momW=0.9
momB=0.9
[out]
epsW=0.005
epsB=0.005
momW=0.9
momB=0.9
[cost]
coeff={coefficient}
"""
DIFFERENCE = "[diff]\ntype=eltsum\ninputs={labels},out\ncoeffs=1,-1\n"


def logistic(z):
    return 1 / (1 + np.exp(-z))


def cross_entropies(p, t):
    return -(t * np.log(p) + (1 - t) * np.log(1 - p)).sum(axis=1)


def squares(y, t):
    return ((t - y) ** 2).sum(axis=1)


@dataclasses.dataclass
class Kind:
    """A cost: what follows the head of the file, and the same in NumPy.

    Attributes:
        text: the file's tail.
        cost: of (scores [N, outputs], targets [N, outputs]) per example.
        scores: from what the last layer yields.
        classes, outputs: of the data and of the last layer.
        coefficient: of the cost.
    """

    text: str
    cost: object
    scores: object = logistic
    classes: int = 3
    outputs: int = 3
    coefficient: float = 1.0


KINDS = {
    "logreg": Kind(
        "[probs]\ntype=softmax\ninputs=out\n[cost]\ntype=cost.logreg\ninputs=labels,probs\n",
        lambda p, t: -np.log((p * t).sum(axis=1)),
        lambda z: np.exp(z) / np.exp(z).sum(axis=1, keepdims=True),
        coefficient=0.5,
    ),
    "crossent2": Kind(
        "neuron=logistic\n[cost]\ntype=cost.crossent2\ninputs=labels,out\n", cross_entropies
    ),
    "rflickr": Kind(
        "neuron=logistic\n[cost]\ntype=cost.rflickr\ninputs=labels,out\n",
        lambda p, t: np.log(1 + (p - t) ** 2).sum(axis=1),
        coefficient=2.0,
    ),
    "sum2": Kind(
        "neuron=logistic\n" + DIFFERENCE.format(labels="labels")
        + "[cost]\ntype=cost.sum2\ninputs=diff\n",
        squares,
    ),
    "sum2 of a plain layer, twice": Kind(
        DIFFERENCE.format(labels="labels")
        + "[twice]\ntype=neuron\nneuron=linear[2,0]\ninputs=diff\n"
        + "[cost]\ntype=cost.sum2\ninputs=twice\n",
        lambda y, t: 4 * squares(y, t),
        lambda z: z,
    ),
    "gsum2": Kind(
        "[onehot]\ntype=data\ndataIdx=2\n" + DIFFERENCE.format(labels="onehot")
        + "[cost]\ntype=cost.gsum2\ninputs=labels,diff\n",
        lambda y, t: t[:, 1] * squares(y, t),
        lambda z: z,
        classes=2,
        outputs=2,
    ),
    "one output": Kind(
        "neuron=logistic\n[cost]\ntype=cost.crossent2\ninputs=labels,out\n",
        cross_entropies,
        classes=2,
        outputs=1,
    ),
}  # fmt: skip


def targets(kind, labels):
    return labels[:, None] if kind.outputs == 1 else np.eye(kind.outputs)[labels]


def of_classes(kind, scores):
    return np.concatenate([1 - scores, scores], 1) if kind.outputs == 1 else scores


@pytest.fixture(scope="module", params=KINDS)
def trained(request, tmp_path_factory):
    """(kind, data folder, files, work folder) after 40 updates on all images at once."""
    kind = KINDS[request.param]
    folder = tmp_path_factory.mktemp("costs")
    data = small_dataset.make(
        folder / "data", image_size=SIZE, classes=kind.classes, train=COUNT, validation=11,
        store="uint8", shards=1,
    )  # fmt: skip
    files = folder / "layers.cfg", folder / "layer-params.cfg"
    files[0].write_text(HEAD.format(outputs=kind.outputs) + kind.text)
    files[1].write_text(PARAMETERS.format(coefficient=kind.coefficient))
    settings = {
        "network.layers": files[0],
        "network.layer_params": files[1],
        "network.input_size": CROP,
        "data_dir": data,
        "batch_size": COUNT,
        "train_epochs": 40,
        "learning_rate.schedule": "constant",
        "input.random_crop": "false",
        "input.random_flip": "false",
        "preprocess.color_noise": "none",
        "evaluation.every_epochs": 40,
        "log.every_steps": 1,
        "log.tensorboard": "false",
    }
    flags = [f"--config.{key}={value}" for key, value in settings.items()]
    argv = [
        "--config=cuda_convnet",
        f"--workdir={folder}/run",
        "--quiet",
        *flags,
        "--config.log.report=0",
    ]
    assert command.call(train.define_flags, train.main, train.__doc__, argv) == 0
    return kind, data, files, folder / "run"


def mean_cost(kind, scores, labels):
    return kind.coefficient * kind.cost(scores, targets(kind, labels)).mean()


def test_the_first_loss_is_numpys_and_training_lowers_it(trained):
    kind, data, files, workdir = trained
    net = reader.read(*map(str, files), input_size=CROP, num_classes=kind.classes)
    weights = {n: np.asarray(v) for n, v in build.named_variables(build.build(net)).items()}
    images, labels = small_dataset.pixels("train", COUNT, SIZE, kind.classes)
    x = (images - np.load(data / "mean_image.npy"))[:, 2:14, 2:14].reshape(COUNT, -1)
    hidden = np.maximum(x @ weights["hidden/kernel"], 0)
    scores = kind.scores(hidden @ weights["out/kernel"])
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "val_loss" not in line]
    assert losses[0] == pytest.approx(mean_cost(kind, scores, labels), rel=1e-4)
    assert losses[-1] < 0.3 * losses[0]
    wrong = of_classes(kind, scores).argmax(axis=1) != labels
    assert lines[0]["top_1_error"] == pytest.approx(wrong.mean())


@pytest.mark.parametrize("views", [1, 10])
def test_evaluation_and_export_average_the_nets_own_scores(trained, views, tmp_path):
    kind, data, _, workdir = trained
    run = restore.load(str(workdir))
    images, labels = small_dataset.pixels("validation", 11, SIZE, kind.classes)
    mean = np.load(data / "mean_image.npy")[2:14, 2:14]
    offsets = [(0, 0), (0, 4), (2, 2), (4, 0), (4, 4)] if views == 10 else [(2, 2)]
    said = []
    for y, x in offsets:
        crops = images[:, y : y + CROP, x : x + CROP].astype(np.float32)
        for crop in (crops, crops[:, :, ::-1])[: 2 if views == 10 else 1]:
            outputs = np.asarray(run.model(crop - mean, training=False), np.float64)
            # The model stops where the cost applies the logistic function itself.
            said.append(kind.scores(outputs) if run.table.cost.from_logits else outputs)
    scores = np.mean(said, axis=0)
    found = evaluate(workdir, views)
    np.testing.assert_allclose(found.probabilities, of_classes(kind, scores), atol=1e-5)
    assert found.errors.loss == pytest.approx(mean_cost(kind, scores, labels), rel=1e-4)
    wrong = of_classes(kind, scores).argmax(axis=1) != labels
    assert found.errors.top_1_errors == wrong.sum()
    if views == 1:
        return
    facts = saved_model.export(run, str(tmp_path / "model"), views)
    assert facts["cost"] == run.table.cost.kind
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    exported = loaded.signatures["images"](images=tf.constant(images))["probabilities"]
    np.testing.assert_allclose(exported, found.probabilities, rtol=1e-5, atol=1e-6)
