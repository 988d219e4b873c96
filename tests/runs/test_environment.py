"""Where a run was computed, an entry for each start."""

from __future__ import annotations

import datetime
import json
import platform

import numpy as np
import tensorflow as tf

from alexnet_tf.runs import environment


def test_every_start_adds_an_entry(tmp_path):
    environment.keep(tmp_path, "one device: CPU", 0)
    environment.keep(tmp_path, "mirrored on 2 replicas", 120)
    entries = json.loads((tmp_path / "environment.json").read_text())
    assert [entry["step"] for entry in entries] == [0, 120]
    assert [entry["computes_on"] for entry in entries] == [
        "one device: CPU",
        "mirrored on 2 replicas",
    ]
    for entry in entries:
        assert entry["python"] == platform.python_version()
        assert entry["packages"]["numpy"] == np.__version__
        assert entry["packages"]["tensorflow"] == tf.__version__
        assert entry["cores"] >= 1 and entry["processor"]
        age = datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(
            entry["started"]
        )
        assert datetime.timedelta(seconds=-2) <= age < datetime.timedelta(hours=1)
    assert environment.read(tmp_path) == entries


def test_none_or_a_damaged_one_is_no_error(tmp_path, capsys):
    assert environment.read(tmp_path) == []
    (tmp_path / "environment.json").write_text("[{")
    assert environment.read(tmp_path) == []
    environment.keep(tmp_path, "CPU", 7)
    assert [entry["step"] for entry in environment.read(tmp_path)] == [7]


def test_what_cannot_be_written_is_a_note(tmp_path, capsys):
    (tmp_path / "environment.json").mkdir()
    environment.keep(tmp_path, "CPU", 0)
    assert capsys.readouterr().err.startswith("note: ")
