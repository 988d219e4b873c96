"""What the trainer does not begin, and what stops it: one line that says why, and nothing lost."""

import numpy as np
import pytest

from alexnet_tf.input import records
from tests.helpers import small_dataset
from tests.helpers.short_runs import (
    arguments,
    assert_same_run,
    call,
    refused,
)


def test_a_misspelt_key_is_named_with_near_misses(data, tmp_path, capsys):
    argv = [*arguments(data, tmp_path / "run"), "--config.batchsize=4"]
    refused(capsys, argv, 2, "batchsize", "did you mean batch_size?")
    assert not (tmp_path / "run").exists()


def test_another_config_in_the_same_folder_is_refused(data, undisturbed, capsys):
    argv = [*arguments(data, undisturbed), "--config.optimizer.momentum=0.5"]
    refused(capsys, argv, 1, "optimizer.momentum: 0.9 -> 0.5")


def test_a_start_that_is_refused_leaves_the_run_as_it_was(data, undisturbed, tmp_path, capsys):
    """Or evaluation would take the other dataset."""
    before = (undisturbed / "config.json").read_bytes()
    other = small_dataset.make(tmp_path / "other", image_size=28, train=22, seed=1)
    refused(capsys, arguments(other, undisturbed), 1, "not the dataset")
    assert (undisturbed / "config.json").read_bytes() == before


def test_a_folder_that_holds_something_else_is_refused(data, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("x")
    refused(capsys, arguments(data, tmp_path / "run"), 1, "not empty")


def test_a_folder_that_is_no_dataset_is_refused(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    refused(capsys, arguments(tmp_path / "empty", tmp_path / "run"), 1, "dataset.json")
    assert not (tmp_path / "run").exists()


def test_a_dataset_folder_that_is_not_there_is_named_with_its_flag(tmp_path, capsys):
    words = (f"--config.data_dir={tmp_path / 'none'}", "no such folder", "build_tfrecords")
    refused(capsys, arguments(tmp_path / "none", tmp_path / "run"), 1, *words)
    assert not (tmp_path / "run").exists()


def test_a_run_that_diverged_at_once_may_begin_again_in_its_folder(
    data, undisturbed, tmp_path, capsys
):
    workdir = tmp_path / "run"
    argv = arguments(data, workdir, learning_rate__initial=3e38)
    refused(capsys, argv, 1, "became NaN or infinite", "no checkpoint yet")
    assert call(arguments(data, workdir)) == 0
    assert_same_run(undisturbed, workdir)


def test_missing_flags_are_named(data, capsys):
    refused(capsys, ["--workdir=x"], 2, "--config")
    refused(capsys, ["--config=demo", "--workdir=x"], 2, "--config.data_dir")
    refused(capsys, [f"--config.data_dir={data}", "--config=demo"], 2, "--workdir")


def test_a_second_process_in_the_same_folder_is_refused(data, tmp_path, capsys):
    from alexnet_tf.runs.workdir import WorkFolder

    with WorkFolder(tmp_path / "run") as first:
        first.claim()
        refused(capsys, arguments(data, tmp_path / "run"), 1, "another process is training")


def test_mirrored_without_a_gpu_says_what_to_do(data, tmp_path, capsys):
    argv = arguments(data, tmp_path / "run", distribution="mirrored")
    refused(capsys, argv, 1, "found no GPU", "and-cuda", "CPU:0")


def test_parts_that_do_not_divide_a_batch_are_refused(data, tmp_path, capsys):
    argv = arguments(data, tmp_path / "run", accumulation_steps=3)
    refused(capsys, argv, 2, "accumulation_steps=3", "8 examples")


def test_a_device_that_is_not_there_is_refused(data, tmp_path, capsys):
    argv = arguments(data, tmp_path / "run", devices="('GPU:7',)")
    refused(capsys, argv, 1, "no GPU:7", "CPU:0")


def test_a_schedule_for_every_step_refuses_several_in_a_call(data, tmp_path, capsys):
    argv = arguments(data, tmp_path / "run", steps_per_call=4, learning_rate__schedule="cosine")
    refused(capsys, argv, 2, "cosine", "every step")


@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_shard_that_is_gone_stops_the_run_with_its_name(tmp_path, monkeypatch, capsys, split):
    data = small_dataset.make(tmp_path / "data", image_size=28, train=22)
    begin = records.RecordReader.__init__

    def begin_and_lose(self, data, name):
        begin(self, data, name)
        if name == split:
            (tmp_path / "data" / f"{split}-00001-of-00002").unlink(missing_ok=True)

    monkeypatch.setattr(records.RecordReader, "__init__", begin_and_lose)
    words = f"read: No such file or directory: '{data}/{split}-00001-of-00002'; the same"
    refused(capsys, arguments(data, tmp_path / "run"), 1, words)


def test_a_damaged_record_stops_the_run_with_its_place(tmp_path, capsys):
    data = small_dataset.make(tmp_path / "data", image_size=28, train=22)
    path = data / "train-00001-of-00002"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    refused(capsys, arguments(data, tmp_path / "run"), 1, "train-00001-of-00002", "damaged")


def test_a_checkpoint_that_cannot_be_written_is_a_warning_at_first(
    data, tmp_path, capsys, monkeypatch
):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    refused(capsys, arguments(data, tmp_path / "run"), 1, "No space left on device")
    assert not list((tmp_path / "run" / "checkpoints").iterdir())
