"""Which settings may change when a run is resumed, and which make it another run."""

import json

import pytest

from alexnet_common.errors import UserError
from alexnet_tf import recipes
from alexnet_tf.runs import checkpoint
from alexnet_tf.runs.workdir import WorkFolder


def opened(path, *overrides):
    """Opens a run of the demo recipe, as every start does."""
    with WorkFolder(path) as folder:
        folder.open(recipes.resolve(recipes.load("demo"), overrides))
        # Without a checkpoint there would be nothing to go on from.
        folder.checkpoints.mkdir(exist_ok=True)
        checkpoint.path_of(folder.checkpoints, 1).touch()


def test_a_run_keeps_its_config(tmp_path):
    opened(tmp_path / "run", ("batch_size", "7"))
    kept = json.loads((tmp_path / "run" / "config.json").read_text())
    assert kept["batch_size"] == 7 and kept["network"]["name"] == "demo"


def test_how_a_run_is_watched_may_change_without_a_word(tmp_path, capsys):
    opened(tmp_path / "run")
    opened(tmp_path / "run", ("log.every_steps", "3"), ("data_dir", "/elsewhere"))
    opened(tmp_path / "run", ("train_epochs", "99"), ("checkpoint.keep", "5"))
    assert capsys.readouterr().err == ""


def test_where_a_run_computes_may_change_with_a_note(tmp_path, capsys):
    opened(tmp_path / "run")
    opened(tmp_path / "run", ("distribution", "mirrored"), ("log.every_steps", "3"))
    said = capsys.readouterr().err
    assert "distribution: 'one_device' -> 'mirrored'" in said and "no longer bit for bit" in said
    assert "every_steps" not in said


def test_what_a_run_computes_may_not_change(tmp_path):
    opened(tmp_path / "run")
    changes = [
        ("network.hidden", "128"),
        ("learning_rate.initial", "0.5"),
        ("placement", "two_devices"),
    ]
    with pytest.raises(UserError) as refused:
        opened(tmp_path / "run", *changes)
    said = str(refused.value)
    assert "learning_rate.initial: 0.005 -> 0.5; network.hidden: 256 -> 128" in said
    assert "placement" not in said and "use another --workdir, or the same config" in said


def test_many_changes_are_counted(tmp_path):
    opened(tmp_path / "run")
    keys = (
        "seed",
        "batch_size",
        "input.crop_chunk",
        "learning_rate.stages",
        "learning_rate.max_drops",
    )
    with pytest.raises(UserError, match=r"\(and 2 more\)"):
        opened(
            tmp_path / "run",
            *((key, "9") for key in keys),
            ("network.hidden", "64"),
            ("optimizer.name", "lars"),
        )


def test_a_key_that_is_younger_than_a_run_has_its_default(tmp_path):
    opened(tmp_path / "run")
    path = tmp_path / "run" / "config.json"
    values = json.loads(path.read_text())
    del values["steps_per_call"], values["learning_rate"]["power"]
    path.write_text(json.dumps(values))
    opened(tmp_path / "run")
    with pytest.raises(UserError, match=r"learning_rate.power: 1.0 -> 2.0"):
        opened(tmp_path / "run", ("learning_rate.power", "2"))
