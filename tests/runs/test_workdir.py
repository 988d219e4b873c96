"""Who may train in a work folder, and what it holds of a run that came to nothing."""

import errno
import fcntl
import os

import pytest

from alexnet_common.errors import UserError
from alexnet_tf import recipes
from alexnet_tf.runs import checkpoint
from alexnet_tf.runs.workdir import WorkFolder


def config(**changes):
    overrides = [(key.replace("__", "."), str(value)) for key, value in changes.items()]
    return recipes.resolve(recipes.load("demo"), overrides)


def add_checkpoint(folder):
    checkpoint.save(checkpoint.path_of(folder, 3), checkpoint.Checkpoint({}, {}, {"step": 3}))


def test_a_run_that_ended_before_its_first_checkpoint_does_not_block_its_folder(tmp_path, capsys):
    """Whatever its config was; what it has left must not get into the next one."""
    with WorkFolder(tmp_path / "run") as folder:
        folder.open(config())
        folder.metrics_file.write_text('{"step": 2}\n')
        for name in ("dataset", "definition", "tensorboard"):
            (folder.folder / name).mkdir()
            (folder.folder / name / "old").write_text("x")
        (folder.folder / "notes.txt").write_text("mine")
    with WorkFolder(tmp_path / "run") as folder:
        folder.open(config(learning_rate__initial=0.001))
        assert folder.load_config().learning_rate.initial == 0.001
    assert "before its first checkpoint; it begins anew" in capsys.readouterr().err
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {"config.json", ".lock", "notes.txt"}


@pytest.mark.parametrize("which", ["checkpoints", "best"])
def test_a_run_with_a_checkpoint_keeps_its_folder(tmp_path, which):
    with WorkFolder(tmp_path / "run") as folder:
        folder.open(config())
        add_checkpoint(folder.folder / which)
    with WorkFolder(tmp_path / "run") as folder:
        with pytest.raises(UserError, match="holds a run with another config: learning_rate.init"):
            folder.open(config(learning_rate__initial=0.001))
    with WorkFolder(tmp_path / "run") as folder:
        folder.open(config())
        assert folder.load_config().learning_rate.initial == 0.005


def test_a_second_process_is_refused_whether_it_asks_for_locks_or_not(tmp_path):
    with WorkFolder(tmp_path / "run") as first:
        first.claim()
        with pytest.raises(UserError, match="another process is training in"):
            WorkFolder(tmp_path / "run").claim()
    WorkFolder(tmp_path / "run").claim()


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_named_and_there_is_a_way_to_go_on(
    tmp_path, monkeypatch, number
):
    """Lustre without the mount option flock; NFS without a lock daemon."""

    def flock(descriptor, operation):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(UserError, match="file system has no locks .*--nolock") as refusal:
        WorkFolder(tmp_path / "run").claim()
    assert "another process" not in str(refusal.value)
    assert os.strerror(number) in str(refusal.value)
    with WorkFolder(tmp_path / "run", lock=False) as folder:
        folder.open(config())
        assert folder.config_file.exists()
