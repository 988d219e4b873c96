"""Definition files of a run: kept, not to be changed in mid-run, found again when they are gone."""

import pytest

from alexnet_common import command
from alexnet_tf import train
from alexnet_tf.runs import checkpoint, definition_copy, restore
from tests.helpers import small_dataset

LAYERS = """
[data]
type=data
dataIdx=0
[labels]
type=data
dataIdx=1
[fc]
type=fc
inputs=data
outputs=3
initW=0.001
[probs]
type=softmax
inputs=fc
[logprob]
type=cost.logreg
inputs=labels,probs
"""
PARAMETERS = "[fc]\nepsW=1e-6\nepsB=1e-6\nmomW=0.9\nmomB=0.9\n[logprob]\ncoeff=1\n"


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Starts or goes on with a run: called with the number of steps."""
    small_dataset.make(tmp_path / "data", train=8, validation=4)
    # Equal names of both files must not meet.
    for folder, text in (("layers", LAYERS), ("params", PARAMETERS)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "net.cfg").write_text(text)
    monkeypatch.chdir(tmp_path)
    settings = {
        "network.layers": "layers/net.cfg",
        "network.layer_params": "params/net.cfg",
        "network.input_size": 12,
        "data_dir": "data",
        "batch_size": 4,
        "learning_rate.schedule": "constant",
        "log.tensorboard": "false",
        "log.report": "false",
    }
    flags = [f"--config.{key}={value}" for key, value in settings.items()]

    def start(steps, *more):
        argv = ["--config=cuda_convnet", "--workdir=run", "--quiet", *flags, *more]
        argv.append(f"--config.train_steps={steps}")
        return command.call(train.define_flags, train.main, train.__doc__, argv)

    return start


def test_a_run_is_restored_when_its_files_are_gone(run, tmp_path):
    assert run(2) == 0
    assert (tmp_path / "run/definition/layers/net.cfg").read_text() == LAYERS
    for folder in ("layers", "params"):
        (tmp_path / folder / "net.cfg").unlink()
    restored = restore.load("run", "newest")
    assert restored.table.name == "net" and restored.table.num_classes == 3
    assert restored.state["step"] == 2


def test_other_layers_are_refused_in_one_line(run, tmp_path, capsys):
    assert run(2) == 0
    (tmp_path / "layers/net.cfg").write_text(LAYERS.replace("fc]", "fc]\nneuron=relu"))
    assert run(4) == 1
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert "layers/net.cfg is not what run began with" in said
    assert checkpoint.load_newest(tmp_path / "run/checkpoints").state["step"] == 2


def test_the_files_may_have_moved_under_their_names(run, tmp_path, capsys):
    """As a dataset may: to the copies in the work folder, say, when they are lost."""
    assert run(2) == 0
    for folder in ("layers", "params"):
        (tmp_path / folder).rename(tmp_path / f"old_{folder}")
    assert run(4, "--config.network.layers=old_layers/net.cfg") == 1  # layer_params is gone.
    assert "params/net.cfg: cannot be read" in capsys.readouterr().err
    moved = ["--config.network.layers=run/definition/layers/net.cfg"]
    moved += ["--config.network.layer_params=old_params/net.cfg"]
    assert run(4, *moved) == 0
    assert checkpoint.load_newest(tmp_path / "run/checkpoints").state["step"] == 4
    # Another name, and other layers in the new place, are another network.
    (tmp_path / "run/definition/layers/net.cfg").rename(tmp_path / "other.cfg")
    (tmp_path / "run/definition/layers/net.cfg").write_text(LAYERS)
    assert run(6, *moved[1:], "--config.network.layers=other.cfg") == 1
    assert "network.layers: 'run/definition/layers/net.cfg' -> 'other.cfg'" in (
        capsys.readouterr().err
    )
    (tmp_path / "old_layers/net.cfg").write_text(LAYERS.replace("fc]", "fc]\nneuron=relu"))
    assert run(6, *moved[1:], "--config.network.layers=old_layers/net.cfg") == 1
    assert "old_layers/net.cfg is not what run began with" in capsys.readouterr().err


def test_other_rates_are_taken_over_as_in_2012(run, tmp_path, capsys):
    assert run(2) == 0
    (tmp_path / "params/net.cfg").write_text(PARAMETERS.replace("1e-6", "0"))
    before = checkpoint.load_newest(tmp_path / "run/checkpoints").weights
    assert run(4) == 0
    assert "params/net.cfg has changed" in capsys.readouterr().err
    after = checkpoint.load_newest(tmp_path / "run/checkpoints")
    assert after.state["step"] == 4
    # A rate of 0 freezes.
    assert all((after.weights[name] == value).all() for name, value in before.items())
    assert (tmp_path / "run/definition/params").exists() is False
    assert (tmp_path / "run/definition/layer_params/net.cfg").read_text().count("epsW=0") == 1


def test_networks_without_files_have_nothing_to_keep(tmp_path):
    definition_copy.keep(tmp_path, {"name": "alexnet"})
    assert not list(tmp_path.iterdir())
    assert definition_copy.kept(tmp_path, {"name": "alexnet"}) == {"name": "alexnet"}
