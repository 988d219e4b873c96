"""The command alexnet_tf.weights as a user runs it: output, exit status, what stays on the disk."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile

import numpy as np
import pytest

from alexnet_common import command
from alexnet_tf import evaluate, train
from alexnet_tf import weights as weights_command
from alexnet_tf.model import build
from alexnet_tf.runs import checkpoint, workdir
from alexnet_tf.tables import table
from data_prep import dataset
from tests.helpers import finished_run, small_dataset

# The rest of the recipe's settings stays, so that runs are made by short commands.
RECIPE = ["--config=demo", "--config.network.input_size=24", "--config.network.filters=(8,8,8)"]
RECIPE += ["--config.network.hidden=16", "--config.log.tensorboard=false"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights") / "data"
    return small_dataset.make(folder, image_size=28, train=22, validation=10)


@pytest.fixture(scope="module")
def recipe(data):
    return [*RECIPE, f"--config.data_dir={data}"]


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """Weights that another network of the recipe drew, in merged form."""
    from alexnet_tf import recipes

    pairs = [argument.removeprefix("--config.").split("=") for argument in RECIPE[1:]]
    config = recipes.resolve(recipes.load("demo"), pairs)
    net = table.from_config(config.network, 3)
    model = build.build(net, seed=5, implementation="grouped")
    path = tmp_path_factory.mktemp("weights") / "merged.npz"
    np.savez(path, **{n: np.asarray(v) for n, v in build.named_variables(model).items()})
    towers = build.named_variables(build.build(net, seed=5))
    return path, {name: np.asarray(variable) for name, variable in towers.items()}


def call(capsys, *arguments):
    status = weights_command.call([str(part) for part in arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def run(module, *arguments):
    return command.call(module.define_flags, module.main, module.__doc__, list(map(str, arguments)))


def assert_equal(found, expected):
    assert sorted(found) == sorted(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def load(path):
    with np.load(path) as file:
        return dict(file)


def test_export_is_the_checkpoint_under_its_names(data, tmp_path, capsys):
    six = small_dataset.make(tmp_path / "data", image_size=36, classes=6)
    folder = finished_run.make(tmp_path / "run", six, newest=False)
    output = tmp_path / "out" / "weights.npz"
    status, out, err = call(capsys, "export", f"--workdir={folder}", f"--output={output}")
    assert status == 0
    weights = checkpoint.load_newest(folder / "best").weights
    assert_equal(load(output), weights)
    report = json.loads(out)
    assert report["variables"] == len(weights) and report["step"] == 30
    assert report["parameters"] == sum(value.size for value in weights.values())
    assert f"of step 30 (best) to {output}" in err
    argv = ("export", f"--workdir={folder}", f"--output={output}", "--checkpoint=newest")
    status, out, err = call(capsys, *argv)
    assert status == 1 and err == f"error: {folder} has no newest checkpoint yet; train first\n"


def test_import_makes_a_run_that_goes_on(recipe, file, tmp_path, capsys):
    path, expected = file
    folder = tmp_path / "run"
    argv = ("import", *recipe, f"--from={path}", f"--workdir={folder}")
    status, out, err = call(capsys, *argv)
    assert status == 0, err
    assert f"begins with    {path}: .npz file, by our names; 23 of 23 variables" in err
    assert json.loads(out)["workdir"] == str(folder)
    assert os.listdir(tmp_path) == ["run"]
    for which in ("best", "checkpoints"):
        found = checkpoint.load_newest(folder / which)
        assert_equal(found.weights, expected)
        assert found.state["step"] == found.state["epoch"] == 0
    assert json.loads((folder / "config.json").read_text())["initial_weights"] == ""
    # Out again, in both forms.
    for implementation, wanted in (("towers", expected), ("grouped", load(path))):
        output = tmp_path / f"{implementation}.npz"
        argv = ("export", f"--workdir={folder}", f"--output={output}")
        assert call(capsys, *argv, f"--implementation={implementation}")[0] == 0
        assert_equal(load(output), wanted)
    assert run(evaluate, f"--workdir={folder}", f"--output={tmp_path / 'errors.json'}") == 0
    # Training goes on with the same bits as a run that begins with the file itself.
    direct = tmp_path / "direct"
    length = "--config.train_epochs=2"
    assert run(train, *recipe, length, f"--workdir={folder}") == 0
    assert "begins with    weights imported earlier" in capsys.readouterr().err
    assert (
        run(train, *recipe, length, f"--workdir={direct}", f"--config.initial_weights={path}") == 0
    )
    one, two = (checkpoint.load_newest(each / "checkpoints") for each in (folder, direct))
    assert_equal(one.weights, two.weights)
    assert_equal(one.optimizer, two.optimizer)
    assert one.state == two.state
    assert any((one.weights[name] != expected[name]).any() for name in expected)


def test_a_second_import_into_a_work_folder_is_refused(recipe, file, tmp_path, capsys):
    folder = tmp_path / "run"
    folder.mkdir()
    argv = ("import", *recipe, f"--from={file[0]}", f"--workdir={folder}")
    assert call(capsys, *argv)[0] == 0
    before = sorted(path.stat().st_mtime_ns for path in folder.rglob("*"))
    status, out, err = call(capsys, *argv)
    assert (status, out) == (1, "")
    assert err == f"error: --workdir {folder} is there already; weights need a new one\n"
    assert sorted(path.stat().st_mtime_ns for path in folder.rglob("*")) == before


def test_two_imports_at_once(recipe, file, tmp_path, capsys):
    argv = ("import", *recipe, f"--from={file[0]}", f"--workdir={tmp_path / 'run'}")
    with workdir.WorkFolder(tmp_path / ".run.importing") as other:
        other.claim()
        status, _, err = call(capsys, *argv)
    assert status == 1 and err.startswith("error: another process is training in")
    assert call(capsys, *argv)[0] == 0


@pytest.mark.parametrize("number", [1, 2])
def test_a_full_disk_leaves_nothing_behind(recipe, file, tmp_path, capsys, monkeypatch, number):
    saved = []
    save = checkpoint.save

    def full(path, found):
        saved.append(path)
        if len(saved) == number:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        save(path, found)

    monkeypatch.setattr(checkpoint, "save", full)
    argv = ("import", *recipe, f"--from={file[0]}", f"--workdir={tmp_path / 'run'}")
    status, out, err = call(capsys, *argv)
    assert (status, out) == (1, "") and err.startswith("error: No space left on device: ")
    assert os.listdir(tmp_path) == []


KILLED = """
import os, signal, sys
from alexnet_tf import weights
from alexnet_tf.runs import checkpoint
save, saved = checkpoint.save, []
def killed(path, found):
    save(path, found)
    saved.append(path)
    if len(saved) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
checkpoint.save = killed
weights.call(sys.argv[1:])
"""


def test_a_killed_import_is_no_run_and_can_be_repeated(recipe, file, tmp_path, capsys, repository):
    folder = tmp_path / "run"
    argv = ("import", *recipe, f"--from={file[0]}", f"--workdir={folder}")
    killed = subprocess.run([sys.executable, "-c", KILLED, *argv], cwd=repository)
    assert killed.returncode == -signal.SIGKILL
    assert not folder.exists()
    assert call(capsys, *argv)[0] == 0
    assert os.listdir(tmp_path) == ["run"]
    assert_equal(checkpoint.load_newest(folder / "checkpoints").weights, file[1])


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ([], 2, "no action named; there are export, import, show"),
        (["exprot"], 2, "no action 'exprot'; did you mean export?"),
        (["show"], 2, "no file named"),
        (["show", "{tmp}/nothing"], 1, "{tmp}/nothing: No such file or directory"),
        (["show", "{tmp}"], 1, "{tmp} holds no run"),
        (["export", "--workdir={tmp}", "--output={tmp}/a.npz"], 1, "holds no run"),
        (["export", "--workdir={tmp}", "--output={tmp}/a.txt"], 2, "must end with .npz"),
        (["import", "--from={file}", "--workdir={tmp}/run"], 2, "--config"),
        (["import", "{recipe}", "--workdir={tmp}/run"], 2, "--from"),
        (["import", "{recipe}", "--from={file}"], 2, "--workdir"),
        (["import", "{recipe}", "--from={tmp}/x", "--workdir={tmp}/run"], 1, "x: No such file"),
        (["import", "{recipe}", "--from={file}", "--workdir={tmp}/run", "y"], 2, "unexpected 'y'"),
        (
            ["import", "{recipe}", "--from={file}", "--workdir={tmp}/run"]
            + ["--config.network.hidden=32"],
            1,
            "does not fit demo: fc4/kernel needs shape [8, 32], and the file has shape [8, 16]; "
            "--partial takes what fits",
        ),
        (
            ["import", "{recipe}", "--from={file}", "--workdir={tmp}/run"]
            + ["--config.initial_weights=x"],
            2,
            "leave config.initial_weights out",
        ),
        (
            ["import", "{recipe}", "--from={file}", "--workdir={tmp}/run"]
            + ["--config.distribution=multi_worker"],
            2,
            "importing takes one process",
        ),
        (
            ["import", "--config=demo", "--from={file}", "--workdir={tmp}/run"],
            2,
            "does not say what its classes are: name the dataset that it was trained on with "
            "--config.data_dir",
        ),
    ],
)
def test_wrong_use_is_one_line(recipe, file, tmp_path, capsys, arguments, status, message):
    argv = []
    for argument in arguments:
        filled = argument.replace("{tmp}", str(tmp_path)).replace("{file}", str(file[0]))
        argv += recipe if argument == "{recipe}" else [filled]
    found, out, err = call(capsys, *argv)
    lines = err.splitlines()
    assert (found, out, len(lines)) == (status, "", 1), err
    assert lines[0].startswith("error: ") and message.replace("{tmp}", str(tmp_path)) in lines[0]
    assert os.listdir(tmp_path) == []


def test_show_lists_names_and_shapes(file, capsys):
    path, _ = file
    status, out, _ = call(capsys, "show", path)
    lines = out.splitlines()
    assert status == 0 and lines[0] == f"{path}: .npz file, by our names"
    assert lines[1].split() == ["conv1/kernel", *"7 x 7 x 3 x 8".split(), "float32"]
    status, out, _ = call(capsys, "show", "--json", path, path)
    one, two = json.loads(out)
    assert status == 0 and one == two
    assert one["arrays"]["fc5/bias"] == {"shape": [3], "dtype": "float32"}


def test_every_action_has_help(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    for action in weights_command.ACTIONS:
        status, out, _ = call(capsys, action, "--help")
        assert max(map(len, out.splitlines())) <= 80
        assert status == 0 and f"alexnet_tf.weights {action}" in out
    assert "export" in call(capsys, "--help")[1]


TORCH = """
import sys
import numpy as np, torch
from torch import nn

torch.set_num_threads(2)
state, source, target = sys.argv[1:]
model = nn.Module()
model.features = nn.Sequential(
    nn.Conv2d(3, 64, kernel_size=11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
    nn.Conv2d(64, 192, kernel_size=5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
    nn.Conv2d(192, 384, kernel_size=3, padding=1), nn.ReLU(),
    nn.Conv2d(384, 256, kernel_size=3, padding=1), nn.ReLU(),
    nn.Conv2d(256, 256, kernel_size=3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2))
model.classifier = nn.Sequential(
    nn.Dropout(), nn.Linear(256 * 6 * 6, 4096), nn.ReLU(),
    nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, 8))
torch.manual_seed(1)
for value in model.parameters():
    nn.init.kaiming_normal_(value) if value.ndim > 1 else nn.init.uniform_(value, -0.3, 0.3)
torch.save(model.state_dict(), state)
pixels = torch.tensor(np.load(source)).permute(0, 3, 1, 2).float() / 255
mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
x = (pixels - mean[:, None, None]) / deviation[:, None, None]
model.eval()
with torch.no_grad():
    logits = model.classifier(model.features(x).flatten(1))
np.save(target, torch.softmax(logits.double(), 1).numpy())
"""


@pytest.mark.slow
def test_photographs_have_pytorchs_probabilities(
    torch_python, real_data, tmp_path, capsys, repository
):
    import tensorflow as tf

    from alexnet_tf.runs import restore
    from data_prep import build_tfrecords

    with tarfile.open(real_data / "imagenet_sample.tar") as archive:
        members = [member for member in archive if member.isfile()][:8]
        archive.extractall(tmp_path, members=members, filter="data")
    images = f"--train={tmp_path / 'imagenet_sample'}"
    folder = tmp_path / "data"
    shutil.copytree(tmp_path / "imagenet_sample", tmp_path / "again")
    argv = (images, f"--validation={tmp_path / 'again'}", f"--output_dir={folder}")
    assert run(build_tfrecords, *argv) == 0
    known = dataset.load(folder)
    assert known.num_classes == 8
    pixels, labels = [], []
    for record in tf.data.TFRecordDataset(known.shard_path("validation", 0)):
        feature = tf.train.Example.FromString(record.numpy()).features.feature
        image = tf.io.decode_jpeg(
            feature["image/encoded"].bytes_list.value[0], dct_method="INTEGER_ACCURATE"
        )
        pixels.append(image.numpy()[16:240, 16:240])
        labels.append(feature["image/class/label"].int64_list.value[0] - 1)
    np.save(tmp_path / "pixels.npy", np.array(pixels))
    paths = [tmp_path / name for name in ("alexnet.pth", "pixels.npy", "truth.npy")]
    subprocess.run([torch_python, "-c", TORCH, *paths], check=True)
    truth = np.load(tmp_path / "truth.npy")
    argv = ["--config=alexnet_owt", f"--config.data_dir={folder}"]
    argv += ["--config.preprocess.mean=torchvision", f"--from={paths[0]}"]
    status, _, err = call(capsys, "import", *argv, f"--workdir={tmp_path / 'run'}")
    assert status == 0 and "16 of 16 variables" in err and "note" not in err
    loaded = restore.load(str(tmp_path / "run"))
    ours = tf.nn.softmax(loaded.model(loaded.prepare(np.array(pixels)))).numpy()
    assert truth.max() > 0.5
    np.testing.assert_allclose(ours, truth, rtol=1e-4)
    output = tmp_path / "errors.json"
    assert run(evaluate, f"--workdir={tmp_path / 'run'}", "--views=1", f"--output={output}") == 0
    errors = json.loads(output.read_text())["runs"][0]["errors"]["1"]
    theirs = -np.log(truth[np.arange(8), labels]).mean()
    assert errors["loss"] == pytest.approx(theirs, rel=1e-4)
    assert errors["top_1_errors"] == (truth.argmax(1) != labels).sum()
