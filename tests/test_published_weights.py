"""Published weights without a dataset: classes, mean and recipe come with the file."""

import json
import os
import tarfile

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

import alexnet_tf
from alexnet_common import command
from alexnet_common.errors import UserError
from alexnet_tf import evaluate, export, predict, recipes, train
from alexnet_tf import weights as weights_command
from alexnet_tf.runs import initial_weights, restore
from alexnet_tf.weight_io import published, weight_files
from data_prep import dataset
from tests.helpers import small_dataset, torch_file
from tests.inference import torch_features

RETRIEVER = 207  # n02099601, in the order of published networks; so says every list of them.


def run(module, *arguments):
    return command.call(module.define_flags, module.main, module.__doc__, list(map(str, arguments)))


def state_dict(certain=None, classes=1000, hidden=torch_features.HIDDEN):
    """Random weights in torchvision's layout; one class that every image has, where asked for."""
    state = torch_features.weights("torchvision")
    random = np.random.default_rng(3)
    shapes = {"classifier.1": (hidden, 9216), "classifier.4": (hidden, hidden)}
    shapes["classifier.6"] = (classes, hidden)
    for name, shape in shapes.items():
        scale = np.float32((2 / shape[1]) ** 0.5)
        state[f"{name}.weight"] = scale * random.standard_normal(shape, dtype=np.float32)
        state[f"{name}.bias"] = np.zeros(shape[0], np.float32)
    if certain is not None:
        state["classifier.6.bias"][certain] = 1e4
    return state


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "narrow.py"
    path.write_text(torch_features.recipe("torchvision"))
    return path


@pytest.fixture
def weights_file(no_torch, tmp_path):
    """torchvision's format, sure that every image is class 207."""
    path = tmp_path / "alexnet.pth"
    tensors = {name: torch_file.tensor(v) for name, v in state_dict(RETRIEVER).items()}
    torch_file.save_zip(path, tensors)
    return path


def imported(capsys, *arguments):
    status = weights_command.call(["import", *map(str, arguments)])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_the_classes_are_those_of_the_challenge_in_sorted_order():
    classes = published.imagenet_classes()
    ids = [wordnet_id for wordnet_id, _ in classes]
    assert len(ids) == len(set(ids)) == 1000 and ids == sorted(ids)
    # Places that every list of published networks' outputs agrees on.
    known = {0: "tench", 1: "goldfish", RETRIEVER: "golden retriever", 281: "tabby", 388: "panda",
             463: "bucket", 817: "sports car", 954: "banana", 999: "toilet"}  # fmt: skip
    for number, word in known.items():
        assert word in classes[number][1], number
    assert classes[RETRIEVER][0] == "n02099601"


def test_the_titles_are_those_of_photographs_named_by_others(real_data):
    titles = dict(published.imagenet_classes())
    with tarfile.open(real_data / "imagenet_sample.tar") as archive:
        names = [member.name for member in archive if member.isfile()]
    assert len(names) == 400
    for name in names:
        _, wordnet_id, file = name.split("/")
        words = file.removeprefix(f"{wordnet_id}_").removesuffix(".JPEG").replace("_", " ").lower()
        assert words in [title.strip().lower() for title in titles[wordnet_id].split(",")]


def test_an_import_without_dataset_is_a_run_like_others(weights_file, recipe, tmp_path, capsys):
    folder = tmp_path / "model"
    status, out, err = imported(
        capsys, f"--config={recipe}", f"--from={weights_file}", f"--workdir={folder}"
    )
    assert status == 0, err
    assert "torchvision's alexnet, 1,000 classes of ImageNet, mean torchvision" in err
    assert json.loads(out)["workdir"] == str(folder)
    for which in restore.CHECKPOINTS:
        loaded = restore.load(str(folder), which)
        assert loaded.facts.class_names[RETRIEVER] == "n02099601"
        assert loaded.facts.class_titles[RETRIEVER] == "golden retriever"
        assert loaded.state["step"] == loaded.state["epoch"] == 0
        # 0.485, 0.456, 0.406 of 255, as torchvision's transforms say.
        expected = np.array([123.675, 116.28, 103.53])
        np.testing.assert_allclose(loaded.prepare.mean.reshape(3), expected, rtol=1e-6)
        np.testing.assert_allclose(loaded.facts.mean_image()[5, 7], expected, rtol=1e-6)
    # Exports label images as torchvision would.
    model = tmp_path / "export"
    assert run(export, f"--workdir={folder}", f"--output_dir={model}", "--views=1") == 0
    facts = [json.loads((path / "export.json").read_text()) for path in (folder / "export", model)]
    assert [each["views"] for each in facts] == [10, 1]
    assert facts[0] | {"views": 1} == facts[1]
    exported = tf.saved_model.load(str(model)).signatures["images"]
    best = exported(images=tf.zeros([1, 256, 256, 3], tf.uint8))
    assert best["top_5_names"].numpy()[0, 0] == b"n02099601"
    assert best["top_5_probabilities"].numpy()[0, 0] == 1
    # Errors need labelled images, of the same classes.
    capsys.readouterr()
    other = small_dataset.make(tmp_path / "data", image_size=256, train=4, validation=3)
    assert run(evaluate, f"--workdir={folder}", f"--data_dir={other}", "--views=1") == 1
    assert "3 classes" in capsys.readouterr().err
    assert run(evaluate, f"--workdir={folder}", "--views=1") != 0
    text = capsys.readouterr().err
    assert "data_dir" in text and len(text.splitlines()) == 1
    # It has no optimizer and no images to go on with.
    argv = (f"--config={recipe}", f"--config.data_dir={other}", f"--workdir={folder}")
    assert run(train, *argv) == 1
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("classes", "arguments", "status", "message"),
    [
        (8, ["--config={recipe}"], 2, "with 8 outputs) does not say what its classes are"),
        (1000, ["--config={recipe}", "--partial"], 2, "--partial needs --config.data_dir"),
        (1000, ["--config.network.hidden=(96,96)"], 2, "name it with --config"),
        (1000, ["--config={recipe}", "--config.preprocess.mean=none"], 2, "is not what these"),
        (1000, ["--config={caffe}"], 1, "does not fit alexnet_caffe: conv1/kernel needs"),
    ],
)
def test_wrong_imports_are_one_line(
    no_torch, recipe, tmp_path, capsys, classes, arguments, status, message
):
    path, caffe = tmp_path / "alexnet.pth", tmp_path / "caffe.py"
    caffe.write_text(torch_features.recipe("caffe"))
    state = state_dict(classes=classes).items()
    torch_file.save_legacy(path, {name: torch_file.tensor(value) for name, value in state})
    before = sorted(os.listdir(tmp_path))
    argv = [argument.format(recipe=recipe, caffe=caffe) for argument in arguments]
    result, out, err = imported(capsys, *argv, f"--from={path}", f"--workdir={tmp_path / 'run'}")
    assert (result, out, len(err.splitlines())) == (status, "", 1), err
    assert message in err
    assert sorted(os.listdir(tmp_path)) == before


@pytest.mark.parametrize(
    ("names", "message"),
    [
        # torch.nn.Linear, and the beginning of torchvision's vgg11.
        (["weight", "bias"], "'weight' is not a name of ours, nor of torchvision's"),
        (["features.0.weight"], "torchvision's alexnet has 'features.0.bias', which this file"),
    ],
)
def test_other_nets_are_not_asked_for_their_dataset(no_torch, tmp_path, capsys, names, message):
    path = tmp_path / "other.pth"
    kernel = np.zeros((64, 3, 3, 3), np.float32)
    torch_file.save_zip(path, {name: torch_file.tensor(kernel) for name in names})
    status, out, err = imported(capsys, f"--from={path}", f"--workdir={tmp_path / 'run'}")
    assert (status, out, len(err.splitlines())) == (1, "", 1) and message in err
    with pytest.raises(UserError, match=message.replace("(", r"\(")):
        alexnet_tf.load(path)


def begin_with(file, config, data, partial=False):
    from alexnet_tf.model import build
    from alexnet_tf.runs import portable
    from alexnet_tf.tables import table

    net = table.from_config(config.network, data.num_classes)
    variables = build.named_variables(build.build(net))
    names = portable.Names(net, list(variables), "towers")
    source = initial_weights.Source(str(file), partial)
    return dict(initial_weights.begin(source, config, net, data, variables, names).lines)


def test_outputs_are_not_taken_for_other_classes(weights_file, recipe):
    config = recipes.resolve(recipes.load(str(recipe)), [("preprocess.mean", "torchvision")])
    document, _ = published.describe(weight_files.read(str(weights_file)))
    same = dataset.parse(document, "photos")
    lines = begin_with(weights_file, config, same)
    assert "16 of 16 variables" in lines["begins with"]
    assert not {"classes", "WARNING"} & set(lines)
    # The devkit's order, say: the same classes in other places.
    swapped = list(document["class_names"])
    swapped[0], swapped[3] = swapped[3], swapped[0]
    other = dataset.parse(document | {"class_names": swapped}, "photos")
    message = (
        r"alexnet.pth was trained on other classes than those of photos: class 0 is 'n01440764' "
        r"\(tench.*\) for the weights, 'n01491361' in the dataset; class 3 is 'n01491361' "
        r".*--config.initial_weights_partial=true"
    )
    with pytest.raises(UserError, match=message):
        begin_with(weights_file, config, other)
    lines = begin_with(weights_file, config, other, partial=True)
    assert lines["WARNING"].startswith("the outputs were trained on other classes")
    names = [f"other{number:04d}" for number in range(1000)]
    other = dataset.parse(document | {"class_names": names}, "photos")
    with pytest.raises(UserError, match=r"'other0002' in the dataset; and 997 more\. "):
        begin_with(weights_file, config, other)


def test_a_run_of_other_classes_is_not_taken_silently(tmp_path, capsys):
    options = ["--config=demo", "--config.network.input_size=24", "--config.log.tensorboard=false"]
    options += ["--config.network.filters=(8,8,8)", "--config.network.hidden=16"]
    options += ["--config.batch_size=8", "--config.train_epochs=1"]
    data = small_dataset.make(tmp_path / "data", image_size=28, train=16, validation=8)
    first = tmp_path / "first"
    assert run(train, *options, f"--config.data_dir={data}", f"--workdir={first}") == 0
    other = small_dataset.make(tmp_path / "other", image_size=28, train=16, validation=8)
    text = (other / "dataset.json").read_text()
    old = dataset.load(other).class_names
    (other / "dataset.json").write_text(text.replace(f'"{old[1]}"', '"zebra"'))
    argv = [*options, f"--config.data_dir={other}", f"--workdir={tmp_path / 'second'}"]
    argv += [f"--config.initial_weights={first}"]
    capsys.readouterr()
    assert run(train, *argv) == 1
    error = capsys.readouterr().err
    assert f"class 1 is {old[1]!r} for the weights, 'zebra' in the dataset. " in error
    assert len(error.splitlines()) == 1 and not (tmp_path / "second" / "config.json").exists()
    assert run(train, *argv, "--config.initial_weights_partial=true") == 0
    assert "WARNING        the outputs were trained on other classes" in capsys.readouterr().err


@pytest.mark.slow
def test_from_nothing_to_a_labelled_photograph(no_torch, real_data, tmp_path, capsys):
    path = tmp_path / "alexnet.pth"
    state = state_dict(RETRIEVER, hidden=4096).items()
    torch_file.save_zip(path, {name: torch_file.tensor(value) for name, value in state})
    with tarfile.open(real_data / "imagenet_sample.tar") as archive:
        member = next(m for m in archive if m.isfile() and "n02099601" in m.name)
        archive.extract(member, tmp_path, filter="data")
    status, _, err = imported(capsys, f"--from={path}", f"--workdir={tmp_path / 'alexnet'}")
    assert status == 0, err
    argv = (f"--workdir={tmp_path / 'alexnet'}", f"--output_dir={tmp_path / 'model'}")
    assert run(export, *argv) == 0
    for model in ("alexnet", "model"):
        capsys.readouterr()
        assert run(predict, f"--model={tmp_path / model}", tmp_path / member.name) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[1].split(maxsplit=2) == ["100.0%", "n02099601", "golden retriever"]
