"""Checkpoints that are whole or not there."""

import os

import numpy as np
import pytest
import tensorflow as tf

from alexnet_common.errors import UserError
from alexnet_tf.runs import checkpoint


def example(step=3):
    weights = {"conv1/kernel": np.arange(6, dtype=np.float32).reshape(2, 3), "fc/bias": np.ones(2)}
    return checkpoint.Checkpoint(weights, {"000": np.array(step)}, {"step": step, "x": [0.1, 1e-9]})


def test_what_goes_in_comes_out(tmp_path):
    checkpoint.save(tmp_path / "a.npz", example())
    found = checkpoint.load(tmp_path / "a.npz")
    assert found.state == {"step": 3, "x": [0.1, 1e-9]}
    assert set(found.weights) == {"conv1/kernel", "fc/bias"}
    assert np.array_equal(found.weights["conv1/kernel"], example().weights["conv1/kernel"])
    assert found.optimizer["000"] == 3


def test_a_checkpoint_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    done = []
    sync, replace = os.fsync, os.replace

    def recorded_sync(descriptor):
        done.append(("sync", os.readlink(f"/proc/self/fd/{descriptor}")))
        sync(descriptor)

    def recorded_replace(source, target):
        done.append(("rename", str(target)))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", recorded_sync)
    monkeypatch.setattr(os, "replace", recorded_replace)
    path = tmp_path / "step-000000003.npz"
    checkpoint.save(path, example())
    # The content, then the name, then the folder that has the name.
    (first, temporary), second, third = done
    assert first == "sync" and os.path.dirname(temporary) == str(tmp_path) != temporary
    assert second == ("rename", str(path)) and third == ("sync", str(tmp_path))


def test_plain_numpy_reads_it_without_pickle(tmp_path):
    checkpoint.save(tmp_path / "a.npz", example())
    with np.load(tmp_path / "a.npz", allow_pickle=False) as arrays:
        assert arrays["weights/conv1/kernel"].shape == (2, 3)


def test_the_newest_is_loaded_and_old_ones_go(tmp_path):
    for step in (5, 10, 20):
        checkpoint.save(checkpoint.path_of(tmp_path, step), example(step))
    checkpoint.remove_old(tmp_path, keep=2)
    assert checkpoint.steps(tmp_path) == [10, 20]
    assert checkpoint.load_newest(tmp_path).state["step"] == 20


def test_no_folder_is_no_checkpoint(tmp_path):
    assert checkpoint.load_newest(tmp_path / "none") is None


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "text"])
def test_a_damaged_newest_one_is_reported_and_passed_over(tmp_path, capsys, damage):
    for step in (1, 2):
        checkpoint.save(checkpoint.path_of(tmp_path, step), example(step))
    newest = checkpoint.path_of(tmp_path, 2)
    content = bytearray(newest.read_bytes())
    place = content.index(np.arange(6, dtype=np.float32).tobytes()) + 4
    content[place] ^= 1
    newest.write_bytes(
        {"cut": content[:-40], "flip": content, "empty": b"", "text": b"hello"}[damage]
    )
    assert checkpoint.load_newest(tmp_path).state["step"] == 1
    assert "step-000000002.npz is damaged" in capsys.readouterr().err


def test_when_all_are_damaged_it_says_so(tmp_path):
    checkpoint.path_of(tmp_path, 1).write_bytes(b"")
    with pytest.raises(
        checkpoint.DamagedCheckpoint, match="the only checkpoint in .* cannot be read"
    ):
        checkpoint.load_newest(tmp_path)


def test_a_failed_write_leaves_the_old_file_and_no_leftovers(tmp_path, monkeypatch):
    path = tmp_path / "a.npz"
    checkpoint.save(path, example(1))

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError):
        checkpoint.save(path, example(2))
    assert checkpoint.load(path).state["step"] == 1
    assert [file.name for file in tmp_path.iterdir()] == ["a.npz"]


def test_leftovers_of_a_killed_save_do_not_count_and_go(tmp_path):
    (tmp_path / ".step-000000009.npz.x.tmp").write_bytes(b"half")
    assert checkpoint.load_newest(tmp_path) is None
    checkpoint.remove_old(tmp_path, 1)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"a": tf.Variable([1.0]), "b": tf.Variable([1.0])}, "has no b"),
        ({"a": tf.Variable([1.0, 2.0])}, r"shape \[1\].*needs \[2\]"),
        ({}, "here: has a, which the network does not have"),
    ],
)
def test_weights_of_another_network_are_refused(variables, message):
    with pytest.raises(UserError, match=message):
        checkpoint.assign_weights(variables, {"a": np.ones(1, np.float32)}, "here")
