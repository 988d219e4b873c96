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
        "valid": ("bool", [4]),
        "error": ("string", [4]),
    }
    assert outputs["valid"].numpy().all() and not any(outputs["error"].numpy())
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


def test_one_bad_image_is_the_matter_of_its_row(exported, records):
    import tensorflow as tf

    folder, _ = exported
    signatures = tf.saved_model.load(str(folder)).signatures
    contents = [records[0][0], b"no image", records[1][0], records[1][0][:-300]]
    for name in ("serving_default", "ten_view", "features"):
        outputs = {
            key: value.numpy()
            for key, value in signatures[name](image_bytes=tf.constant(contents)).items()
        }
        alone = signatures[name](image_bytes=tf.constant([records[0][0], records[1][0]]))
        np.testing.assert_array_equal(outputs.pop("valid"), [True, False, True, False])
        reasons = [reason.decode() for reason in outputs.pop("error")]
        assert [bool(reason) for reason in reasons] == [False, True, False, True]
        assert "not an image" in reasons[1] and "truncated JPEG" in reasons[3]
        for key, values in outputs.items():
            if values.dtype.kind == "f":
                expected = alone[key].numpy()
                np.testing.assert_allclose(values[[0, 2]], expected, rtol=1e-5, atol=1e-7)
                assert not values[[1, 3]].any()
            elif values.dtype.kind == "i":
                assert (values[[1, 3]] == -1).all() and (values[[0, 2]] >= 0).all()
            else:
                assert set(values[[1, 3]].flat) == {b""} and b"" not in values[[0, 2]]


def test_ten_view_is_the_ten_views_and_their_mean(exported, workdir, records):
    import tensorflow as tf

    folder, _ = exported
    signature = tf.saved_model.load(str(folder)).signatures["ten_view"]
    outputs = signature(image_bytes=tf.constant([content for content, _ in records]))
    expected = evaluate(workdir, 10).probabilities
    np.testing.assert_allclose(outputs["probabilities"], expected, rtol=1e-5, atol=1e-7)
    by_view = outputs["view_probabilities"].numpy()
    assert by_view.shape == (len(records), 10, 7)
    np.testing.assert_allclose(by_view.mean(axis=1), expected, rtol=1e-5, atol=1e-7)
    # The third view is the centre.
    centre = evaluate(workdir, 1).probabilities
    np.testing.assert_allclose(by_view[:, 2], centre, rtol=1e-5, atol=1e-7)


def test_features_give_the_logits_by_the_last_layer(exported, workdir, records):
    """Oracle: the last layer's matrix product in NumPy."""
    import tensorflow as tf

    from alexnet_tf.model import build

    folder, _ = exported
    signature = tf.saved_model.load(str(folder)).signatures["features"]
    outputs = signature(image_bytes=tf.constant([content for content, _ in records]))
    run = restore.load(str(workdir))
    (name,) = json.loads((folder / "export.json").read_text())["features"]
    assert name == run.table.row(run.table.output_name).inputs[0]
    weights = {k: np.asarray(v) for k, v in build.named_variables(run.model).items()}
    last = run.table.output_name
    logits = outputs["features"].numpy() @ weights[f"{last}/kernel"] + weights[f"{last}/bias"]
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(shares, evaluate(workdir, 1).probabilities, rtol=1e-4, atol=1e-6)


def test_features_of_columns_are_joined_before_dropout():
    """The paper's net: fc7 of both columns, 4096 values."""
    from alexnet_tf import recipes
    from alexnet_tf.serving import classifier
    from alexnet_tf.tables import table

    network = table.from_config(recipes.load("alexnet_paper").network, 1000)
    names = classifier.feature_rows(network)
    shapes = network.shapes()
    assert names == ["fc7a", "fc7b"] and sum(shapes[name][-1] for name in names) == 4096


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

    # As TensorFlow says it of its variables, and the system of a file.
    words = "{{function_node SaveV2}} /x/part-00000; No space left on device [Op:SaveV2] name:\ntwo"
    errors = [tf.errors.ResourceExhaustedError(None, None, words)]
    errors += [OSError(28, "No space left on device")] * 2

    def full_disk(*arguments, **options):
        raise errors.pop(0)

    monkeypatch.setattr(tf.saved_model, "save", full_disk)
    with pytest.raises(UserError, match="/model cannot be written: No space left on device$"):
        saved_model.export(run, str(tmp_path / "model"), views=10)
    with pytest.raises(OSError, match="No space left on device: .*/model'$"):
        saved_model.export(run, str(tmp_path / "model"), views=10)
    with pytest.raises(OSError, match="No space"):
        saved_model.export(run, str(tmp_path / "new"), views=10)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert saved_model.read_facts(tmp_path / "model")["views"] == 1


def test_versions_lie_beside_each_other(workdir, tmp_path):
    run = restore.load(str(workdir))
    models = tmp_path / "models" / "photos"
    saved_model.export(run, str(models), 1, version=2)
    assert (models / "2" / "saved_model.pb").is_file()
    assert [path.name for path in models.iterdir()] == ["2"]
    with pytest.raises(UserError, match="add --version=3"):
        saved_model.check_replaceable(saved_model.target_folder(str(models)))
    with pytest.raises(UserError, match="itself a former export"):
        saved_model.check_replaceable(saved_model.target_folder(str(models / "2"), 1))


def test_a_link_to_a_folder_is_followed(workdir, tmp_path):
    place = tmp_path / "large_disk"
    place.mkdir()
    link = tmp_path / "model"
    link.symlink_to(place)
    run = restore.load(str(workdir))
    for views in (1, 10):
        saved_model.export(run, str(link), views)
        assert link.is_symlink() and saved_model.read_facts(place)["views"] == views
    assert {path.name for path in tmp_path.iterdir()} == {"large_disk", "model"}


def test_what_cannot_be_written_is_found_before(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="--output_dir .*file, not a folder"):
        saved_model.check_replaceable(tmp_path / "file" / "model")


def test_orientation_comes_from_the_dataset(workdir, tmp_path):
    import dataclasses

    import tensorflow as tf

    from tests.serving.test_headers_in_graph import JPEG, exif_block, with_exif

    run = restore.load(str(workdir))
    document = {**run.facts.document, "exif_orientation": "apply"}
    run = dataclasses.replace(run, facts=dataclasses.replace(run.facts, document=document))
    facts = saved_model.export(run, str(tmp_path / "model"), 1)
    assert facts["exif_orientation"] == "apply"
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    turned = with_exif(exif_block(3))
    found = loaded.squares(tf.constant([turned, JPEG]))["images"].numpy()
    from data_prep.pixels import images

    expected = images.square_pixels(JPEG, run.facts.image_size)
    np.testing.assert_array_equal(found[1], expected)
    np.testing.assert_array_equal(
        found[0], images.square_pixels(turned, run.facts.image_size, "apply")
    )
    assert not np.array_equal(found[0], expected)
