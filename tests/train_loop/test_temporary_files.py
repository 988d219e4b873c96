"""What TensorFlow makes of our functions, it makes without files: a killed process leaves none."""

import tempfile

import keras
import pytest

from alexnet_common import command
from alexnet_tf import evaluate
from tests.helpers.short_runs import arguments, call


@pytest.mark.skipif(
    keras.__version__ < "3", reason="Keras 2 has AutoGraph convert the calls of layers"
)
@pytest.mark.parametrize(
    "changes",
    [{}, {"input__cache": "device", "steps_per_call": 2}, {"steps_per_call": 2}],
    ids=["batch by batch", "resident", "several"],
)
def test_nothing_is_left_where_temporary_files_are(changes, data, tmp_path, monkeypatch, capsys):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    workdir = tmp_path / "run"
    assert call(arguments(data, workdir, train_epochs=1, **changes)) == 0
    argv = [f"--workdir={workdir}", "--views=10"]
    assert command.call(evaluate.define_flags, evaluate.main, evaluate.__doc__, argv) == 0
    # What a finished process takes away has not been asked of this one.
    assert list(scratch.iterdir()) == []
