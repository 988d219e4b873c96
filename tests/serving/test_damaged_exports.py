"""Exports whose files are cut off or altered are one line, whatever TensorFlow raises at them."""

from __future__ import annotations

import json

import pytest
import tensorflow as tf

from alexnet_common.errors import UserError
from alexnet_tf.serving import export_folder, loaded


class Small(tf.Module):
    """A SavedModel of a thousand numbers, made in no time."""

    def __init__(self):
        super().__init__()
        self.numbers = tf.Variable(tf.zeros([1000]))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)])
    def call(self, x):
        return {"probabilities": x + self.numbers[0]}


@pytest.fixture
def folder(tmp_path):
    module = Small()
    tf.saved_model.save(module, str(tmp_path), signatures={"serving_default": module.call})
    facts = {"format": export_folder.FORMAT, "image_size": 8}
    (tmp_path / export_folder.FACTS_FILE).write_text(json.dumps(facts))
    return tmp_path


def error_of(folder):
    with pytest.raises(UserError) as error:
        loaded.load(str(folder))
    assert "\n" not in str(error.value)
    return str(error.value)


def test_weights_that_were_copied_in_part(folder):
    (data,) = folder.glob("variables/variables.data-*")
    data.write_bytes(data.read_bytes()[:1000])
    assert error_of(folder).startswith(f"--model {folder} is damaged: ")


def test_an_operation_that_no_tensorflow_has(folder):
    graph = folder / "saved_model.pb"
    assert graph.read_bytes().count(b"ReadVariableOp")
    graph.write_bytes(graph.read_bytes().replace(b"ReadVariableOp", b"ReadVariableXp"))
    assert "is damaged: Op type not registered 'ReadVariableXp'" in error_of(folder)


def test_a_graph_that_is_cut_off(folder):
    graph = folder / "saved_model.pb"
    graph.write_bytes(graph.read_bytes()[:-100])
    assert error_of(folder).startswith(f"--model {folder} is damaged: ")


def test_a_whole_model_of_somebody_else_is_not_called_damaged(folder):
    assert "is a SavedModel of another kind" in error_of(folder)


@pytest.mark.parametrize("size", [None, "8", 8.5])
def test_a_size_that_is_no_number(folder, size, monkeypatch):
    facts = json.loads((folder / export_folder.FACTS_FILE).read_text())
    (folder / export_folder.FACTS_FILE).write_text(json.dumps(facts | {"image_size": size}))
    # This model has the one output that is looked for.
    monkeypatch.setattr(loaded, "_BEST", ())
    assert error_of(folder) == f"--model {folder} is damaged: its export.json has no size"
