"""Every definition file at hand trains by its command, at its real size."""

import json
import shutil

import pytest

from alexnet_common import command
from alexnet_tf import train

# Classes of the last layer (layer_definitions.md 6).
CLASSES = {
    "100": 1000,
    "145": 1000,
    "145-half": 1000,
    "147": 1000,
    "148": 1000,
    "150": 1000,
    "167": 1000,
    "146-2011": 21_843,
    "80sec": 10,
    "18pct": 10,
    "19pct": 10,
    "conv-local-13pct": 10,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CLASSES)
def test_two_updates(name, real_data, tmp_path):
    folder = real_data / "layer_definitions_2012"
    settings = {
        "layers": folder / f"layers-{name}.cfg",
        "layer_params": folder / f"layer-params-{name}.cfg",
        "synthetic_data": "true",
        "num_classes": CLASSES[name],
        "batch_size": 4,
        "train_steps": 2,
        "log.report": False,
        "log.every_steps": 1,
        "log.tensorboard": "false",
        "checkpoint.keep": 1,
    }
    flags = [f"--config.{key}={value}" for key, value in settings.items()]
    argv = ["--config=cuda_convnet", f"--workdir={tmp_path}/run", "--quiet", *flags]
    assert command.call(train.define_flags, train.main, train.__doc__, argv) == 0
    lines = [json.loads(line) for line in open(tmp_path / "run" / "metrics.jsonl")]
    assert [line["step"] for line in lines if "val_loss" not in line][:2] == [1, 2]
    kept = tmp_path / "run" / "definition"
    assert (kept / "layers" / f"layers-{name}.cfg").read_bytes() == settings["layers"].read_bytes()
    # Checkpoints of nearly a gigabyte, which pytest would keep.
    shutil.rmtree(tmp_path / "run")
