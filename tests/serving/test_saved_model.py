"""The exported model: the evaluator's numbers, in any process that has TensorFlow."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from alexnet_common.errors import UserError
from alexnet_tf.runs import restore
from alexnet_tf.serving import saved_model
from tests.helpers.evaluated import evaluate


@pytest.fixture(scope="module", params=[1, 10])
def exported(request, workdir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "model"
    saved_model.export(restore.load(str(workdir)), str(folder), request.param)
    return folder, request.param


def test_export_equals_the_evaluator_on_the_same_jpegs(exported, workdir, data_dir, records):
    import tensorflow as tf

    folder, views = exported
    signature = tf.saved_model.load(str(folder)).signatures["serving_default"]
    outputs = signature(image_bytes=tf.constant([content for content, _ in records]))
    expected = evaluate(workdir, views)
    np.testing.assert_allclose(
        outputs["probabilities"].numpy(), expected.probabilities, rtol=1e-5, atol=1e-7
    )
    wrong = outputs["top_5_labels"].numpy()[:, 0] != [label for _, label in records]
    assert wrong.sum() == expected.errors.top_1_errors


def test_signature_outputs(exported, records):
    import tensorflow as tf

    folder, _ = exported
    signatures = tf.saved_model.load(str(folder)).signatures
    outputs = signatures["serving_default"](image_bytes=tf.constant([c for c, _ in records[:4]]))
    found = {name: (value.dtype.name, value.shape.as_list()) for name, value in outputs.items()}
    assert found == {
        "probabilities": ("float32", [4, 7]),
        "top_5_labels": ("int32", [4, 5]),
        "top_5_names": ("string", [4, 5]),
        "top_5_titles": ("string", [4, 5]),
        "top_5_probabilities": ("float32", [4, 5]),
    }
    probabilities = outputs["probabilities"].numpy()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :5]
    np.testing.assert_array_equal(outputs["top_5_labels"].numpy(), order)
    np.testing.assert_array_equal(
        outputs["top_5_probabilities"].numpy(), np.take_along_axis(probabilities, order, 1)
    )
    names = [[f"class_{label}".encode() for label in row] for row in order]
    np.testing.assert_array_equal(outputs["top_5_names"].numpy(), names)
    pixels = tf.stack([tf.io.decode_jpeg(c, dct_method="INTEGER_ACCURATE") for c, _ in records[:4]])
    from_pixels = signatures["images"](images=pixels)
    np.testing.assert_allclose(from_pixels["probabilities"].numpy(), probabilities, rtol=1e-6)


LOADER = """
import json, sys
try:
    import alexnet_tf
except ImportError:
    pass
else:
    raise SystemExit("the project can be imported, so the test proves nothing")
sys.modules["keras"] = None  # Whoever imports it now fails.
import tensorflow as tf
model = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
found = model(image_bytes=tf.constant([open(path, "rb").read() for path in sys.argv[2:]]))
print(json.dumps(found["probabilities"].numpy().tolist()))
"""


def test_loads_with_tensorflow_alone(exported, workdir, data_dir, records, tmp_path):
    folder, views = exported
    files = []
    for number, (content, _) in enumerate(records[:3]):
        files.append(tmp_path / f"{number}.jpg")
        files[-1].write_bytes(content)
    # -I leaves out the folder that the command runs in; the project may still be installed.
    block = "import sys; sys.modules['alexnet_tf'] = None; sys.modules['data_prep'] = None\n"
    done = subprocess.run(
        [sys.executable, "-I", "-c", block + LOADER, folder, *files],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    expected = evaluate(workdir, views).probabilities[:3]
    found = json.loads(done.stdout.splitlines()[-1])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


def test_holds_no_path_and_no_leftover(exported, workdir, data_dir):
    folder, views = exported
    for path in folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            for secret in (str(workdir), str(data_dir), str(folder), restore.__file__):
                assert secret.encode() not in content, f"{path} holds {secret}"
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    facts = json.loads((folder / "export.json").read_text())
    assert facts["views"] == views
    assert facts["val_top_1_error_1_view"] == 0.25
    assert facts["class_names"] == [f"class_{number}" for number in range(7)]
    assert (facts["classes"], facts["image_size"], facts["input_size"]) == (7, 38, 32)
    assert (facts["step"], facts["epoch"], facts["checkpoint"]) == (30, 3, "best")


def test_fewer_than_five_classes(tmp_path):
    import tensorflow as tf

    from tests.helpers import finished_run, small_dataset

    data = small_dataset.make(tmp_path / "data", image_size=32, classes=3)
    document = json.loads((data / "dataset.json").read_text())
    document["class_titles"] = ["tench, Tinca tinca", "goldfish", "großer weißer Hai"]
    (data / "dataset.json").write_text(json.dumps(document))
    run = restore.load(str(finished_run.make(tmp_path / "run", data)))
    saved_model.export(run, str(tmp_path / "model"), views=10)
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    images = tf.zeros([2, 32, 32, 3], tf.uint8)
    found = loaded.signatures["images"](images=images)
    assert found["top_5_labels"].shape == [2, 3]
    labels = found["top_5_labels"].numpy()[0]
    assert sorted(labels) == [0, 1, 2]
    titles = [title.decode() for title in found["top_5_titles"].numpy()[0]]
    assert titles == [document["class_titles"][label] for label in labels]


def test_a_former_export_is_replaced_and_nothing_else(workdir, tmp_path):
    run = restore.load(str(workdir))
    target = tmp_path / "model"
    target.mkdir()
    saved_model.export(run, str(target), views=1)
    saved_model.export(run, str(target), views=10)
    assert saved_model.read_facts(target)["views"] == 10
    (target / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="also notes.txt"):
        saved_model.export(run, str(target), views=1)
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match="no former export"):
        saved_model.export(run, str(other), views=1)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="not a folder"):
        saved_model.export(run, str(tmp_path / "file"), views=1)
    assert saved_model.read_facts(target)["views"] == 10
    assert {path.name for path in tmp_path.iterdir()} == {"model", "other", "file"}


def test_an_export_that_fails_leaves_nothing(workdir, tmp_path, monkeypatch):
    import tensorflow as tf

    run = restore.load(str(workdir))
    saved_model.export(run, str(tmp_path / "model"), views=1)

    def full_disk(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tf.saved_model, "save", full_disk)
    with pytest.raises(OSError, match="No space"):
        saved_model.export(run, str(tmp_path / "model"), views=10)
    with pytest.raises(OSError, match="No space"):
        saved_model.export(run, str(tmp_path / "new"), views=10)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert saved_model.read_facts(tmp_path / "model")["views"] == 1
