"""evaluate, export and predict as a user runs them: output, exit status, one-line errors."""

from __future__ import annotations

import io
import json
import os

import numpy as np
import pytest
from PIL import Image

from alexnet_common import command
from alexnet_tf import evaluate, export, predict
from tests.helpers import finished_run, small_dataset


def call(module, capsys, *arguments) -> tuple[int, str, str]:
    status = command.call(
        module.define_flags, module.main, module.__doc__, [str(part) for part in arguments]
    )
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return small_dataset.make(
        tmp_path_factory.mktemp("commands") / "data", image_size=36, classes=6, validation=13
    )


@pytest.fixture(scope="module")
def workdir(data_dir, tmp_path_factory):
    return finished_run.make(tmp_path_factory.mktemp("commands") / "run", data_dir)


@pytest.fixture(scope="module")
def model(workdir, tmp_path_factory):
    from alexnet_tf.runs import restore
    from alexnet_tf.serving import saved_model

    folder = tmp_path_factory.mktemp("commands") / "model"
    saved_model.export(restore.load(str(workdir)), str(folder))
    return folder


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    pixels = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    path = tmp_path_factory.mktemp("commands") / "picture.jpg"
    Image.fromarray(pixels).save(path)
    return path


def test_evaluate_prints_a_table_and_json(workdir, data_dir, capsys):
    status, out, err = call(evaluate, capsys, f"--workdir={workdir}")
    assert status == 0
    report = json.loads(out)
    assert (report["count"], report["num_classes"], report["split"]) == (13, 6, "validation")
    assert report["data_dir"] == str(data_dir)
    assert report["ensemble"] is None
    errors = report["runs"][0]["errors"]
    assert list(errors) == ["1", "10"]
    assert {error["count"] for error in errors.values()} == {13}
    assert "13 images of the validation split" in err and "6 classes" in err
    assert "do not compare with ImageNet" in err
    assert f"{errors['10']['top_1_error']:.2%}" in err


def test_evaluate_several_runs_to_a_file(workdir, data_dir, tmp_path, capsys):
    other = finished_run.make(tmp_path / "other", data_dir, seed=2)
    output = tmp_path / "errors.json"
    status, out, err = call(
        evaluate, capsys, f"--workdir={workdir},{other}", "--views=1", f"--output={output}"
    )
    assert (status, out) == (0, "")
    report = json.loads(output.read_text())
    assert len(report["runs"]) == 2 and report["ensemble"]["runs"] == 2
    assert list(report["ensemble"]["errors"]) == ["1"]
    assert "mean of 2 runs" in err


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--workdir=nowhere"], 1, "does not exist"),
        (["--workdir=RUN", "--split=test"], 1, "no split 'test', only train, validation"),
        (["--workdir=RUN", "--views=5"], 2, "views"),
        (["--workdir=RUN", "extra"], 2, "unexpected argument 'extra'"),
        (["--workdir=RUN", "--data_dir=nowhere"], 1, "no such folder"),
        ([], 2, "workdir"),
    ],
)
def test_evaluate_errors(arguments, status, message, workdir, capsys):
    arguments = [argument.replace("RUN", str(workdir)) for argument in arguments]
    found, out, err = call(evaluate, capsys, *arguments)
    assert (found, out) == (status, "")
    assert err.startswith("error: ") and err.count("\n") == 1
    assert message in err


def test_export_says_what_it_wrote(workdir, tmp_path, capsys):
    status, out, err = call(
        export, capsys, f"--workdir={workdir}", f"--output_dir={tmp_path}/model", "--views=1"
    )
    assert status == 0
    assert json.loads(out) == json.loads((tmp_path / "model" / "export.json").read_text())
    assert "6 classes, 1 view, to" in err


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--formats=keras,tflite"], 2, "no format 'tflite'; there are keras, litert, onnx"),
        (["--version=0"], 2, "version"),
        (["--workdir=nowhere"], 1, "does not exist"),
        (["--output_dir=FILE/model"], 1, "--output_dir"),
    ],
)
def test_export_errors(arguments, status, message, workdir, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    arguments = [part.replace("FILE", str(tmp_path / "file")) for part in arguments]
    given = [f"--workdir={workdir}", f"--output_dir={tmp_path}/model", *arguments]
    found, out, err = call(export, capsys, *given)
    assert (found, out) == (status, "")
    assert err.count("\n") == 1 and message in err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_export_does_not_touch_what_is_not_its_own(workdir, tmp_path, capsys):
    (tmp_path / "kept.txt").write_text("mine")
    status, _, err = call(export, capsys, f"--workdir={workdir}", f"--output_dir={tmp_path}")
    assert status == 1 and err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]


def test_predict_prints_the_five_best(model, picture, capsys):
    import tensorflow as tf

    status, out, _ = call(predict, capsys, f"--model={model}", picture)
    assert status == 0
    lines = out.splitlines()
    assert lines[0] == str(picture) and len(lines) == 6
    status, out, _ = call(predict, capsys, f"--model={model}", "--json", picture, picture)
    assert status == 0
    found = json.loads(out)
    assert [entry["file"] for entry in found] == [str(picture)] * 2
    probabilities = [best["probability"] for best in found[0]["top_5"]]
    assert probabilities == sorted(probabilities, reverse=True)
    signature = tf.saved_model.load(str(model)).signatures["serving_default"]
    expected = signature(image_bytes=tf.constant([picture.read_bytes()]))["probabilities"].numpy()
    for best in found[0]["top_5"]:
        assert best["name"] == f"class_{best['label']}"
        assert best["probability"] == pytest.approx(expected[0, best["label"]], rel=1e-5)


def test_predict_names_bad_files_and_labels_the_others(model, picture, tmp_path, capsys):
    def jpeg(mode: str, kind: str, size=(60, 40)) -> bytes:
        buffer = io.BytesIO()
        image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (40, 60, 3), np.uint8))
        image.resize(size).convert(mode).save(buffer, kind)
        return buffer.getvalue()

    good = {
        "grey.JPEG": jpeg("L", "JPEG"),
        "cmyk.JPEG": jpeg("CMYK", "JPEG"),
        "really_a_png.JPEG": jpeg("RGBA", "PNG"),
        "narrow.JPEG": jpeg("RGB", "JPEG", size=(1, 300)),
    }
    bad = {
        "text.JPEG": b"these are words",
        "cut.JPEG": picture.read_bytes()[:-700],
        "empty.JPEG": b"",
    }
    for name, content in (good | bad).items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "folder").mkdir()
    output = tmp_path / "found.json"
    names = [*good, *bad, "folder", "missing.JPEG"]
    paths = [tmp_path / name for name in names]
    status, _, err = call(predict, capsys, f"--model={model}", f"--output={output}", *paths)
    assert status == 1
    found = json.loads(output.read_text())
    assert [entry["file"] for entry in found] == [str(path) for path in paths]
    assert ["top_5" in entry for entry in found] == [name in good for name in names]
    lines = err.splitlines()
    failed = [entry for entry in found if "error" in entry]
    assert lines == [f"error: {entry['file']}: {entry['error']}" for entry in failed]
    reasons = ["not an image of a known kind", "truncated JPEG", "empty file", "is a folder"]
    for entry, reason in zip(failed, [*reasons, "No such file"], strict=True):
        assert reason in entry["error"]


def test_predict_answers_files_that_the_graph_alone_refuses(model, tmp_path, capsys):
    """A palette BMP and an animated WebP get the answer of the same picture as PNG."""
    from tests.serving import test_headers_in_graph as made

    picture = Image.fromarray(made.pixels()).quantize(64)
    contents = {"picture.png": "PNG", "picture.bmp": "BMP"}
    for name, kind in contents.items():
        picture.save(tmp_path / name, kind)
    (tmp_path / "animated.webp").write_bytes(made.frames("WEBP", lossless=True))
    Image.fromarray(made.pixels()).save(tmp_path / "first_frame.png")
    names = [*contents, "first_frame.png", "animated.webp"]
    paths = [tmp_path / name for name in names]
    status, out, err = call(predict, capsys, f"--model={model}", "--json", *paths)
    assert (status, err) == (0, "")
    png, bmp, first, webp = (entry["top_5"] for entry in json.loads(out))
    assert png == bmp and first == webp


def test_predict_goes_on_after_names_that_are_not_utf_8(model, picture, capsys):
    odd = os.fsdecode(b"caf\xe9.jpg")
    missing = os.path.join(picture.parent, odd)
    status, out, err = call(predict, capsys, f"--model={model}", "--json", missing, picture)
    assert status == 1 and err.count("\n") == 1
    found = json.loads(out)
    assert found[0]["file"].endswith("caf\\xe9.jpg") and "No such file" in found[0]["error"]
    assert len(found[1]["top_5"]) == 5


def test_predict_does_not_wait_for_a_pipe(model, tmp_path, capsys):
    os.mkfifo(tmp_path / "pipe")
    status, _, err = call(predict, capsys, f"--model={model}", tmp_path / "pipe")
    assert status == 1 and "not a regular file" in err


def test_predict_finds_an_output_that_cannot_be_written_first(tmp_path, picture, capsys):
    arguments = ["--model=nowhere", f"--output={tmp_path}", str(picture)]
    status, out, err = call(predict, capsys, *arguments)
    assert status == 1 and "is a folder" in err and "--output" in err


def test_predict_takes_the_newest_version(model, picture, tmp_path, capsys):
    import shutil

    for version in (9, 10):
        shutil.copytree(model, tmp_path / str(version))
    (tmp_path / "9" / "saved_model.pb").write_bytes(b"older")
    status, out, _ = call(predict, capsys, f"--model={tmp_path}", picture)
    assert status == 0 and out.splitlines()[0] == str(picture)


def test_predict_says_what_to_name_instead(model, workdir, picture, tmp_path, capsys):
    status, _, err = call(predict, capsys, f"--model={workdir}", picture)
    assert status == 1 and f"a run: python -m alexnet_tf.export --workdir={workdir} " in err
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "photos").symlink_to(model)
    status, _, err = call(predict, capsys, f"--model={tmp_path / 'models'}", picture)
    assert status == 1 and err.endswith(f"did you mean --model={tmp_path}/models/photos?\n")


def test_predict_refuses_what_is_no_model(tmp_path, picture, capsys):
    import tensorflow as tf

    status, _, err = call(predict, capsys, f"--model={tmp_path}", picture)
    assert status == 1 and err.endswith(
        "holds no SavedModel; python -m alexnet_tf.export writes one\n"
    )
    status, _, err = call(predict, capsys, f"--model={tmp_path / 'nowhere'}", picture)
    assert status == 1 and "holds no SavedModel; there is no such folder" in err
    tf.saved_model.save(tf.Module(), str(tmp_path / "other"))
    status, _, err = call(predict, capsys, f"--model={tmp_path / 'other'}", picture)
    assert status == 1 and "another kind" in err
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "saved_model.pb").write_bytes(b"\x08garbage")
    status, _, err = call(predict, capsys, f"--model={tmp_path / 'damaged'}", picture)
    assert status == 1 and "damaged" in err and err.count("\n") == 1
    status, _, err = call(predict, capsys, f"--model={tmp_path}")
    assert status == 2 and "no image named" in err


def test_evaluate_finds_the_errors_that_training_reported(data_dir, tmp_path, capsys):
    from alexnet_tf import train

    status, _, err = call(
        train,
        capsys,
        "--config=cifar10_quick",
        f"--config.data_dir={data_dir}",
        "--config.batch_size=5",
        "--config.train_epochs=2",
        f"--workdir={tmp_path}/run",
    )
    assert status == 0, err
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").open()]
    epochs = [line for line in lines if line["kind"] == "epoch"]
    best = min(epochs, key=lambda line: line["val_top_1_error"])
    for checkpoint, expected in (("best", best), ("newest", epochs[-1])):
        status, out, _ = call(
            evaluate, capsys, f"--workdir={tmp_path}/run", f"--checkpoint={checkpoint}"
        )
        assert status == 0
        found = json.loads(out)["runs"][0]
        assert found["step"] == expected["step"]
        errors = found["errors"]["1"]
        assert errors["top_1_error"] == pytest.approx(expected["val_top_1_error"], abs=1e-6)
        assert errors["top_5_error"] == pytest.approx(expected["val_top_5_error"], abs=1e-6)
        assert errors["loss"] == pytest.approx(expected["val_loss"], rel=1e-5)


@pytest.mark.slow
def test_ctrl_c_ends_an_export_that_leaves_nothing(workdir, tmp_path):
    """Oracle: the export did not come to its end, though nothing asked it but the signal."""
    import signal
    import subprocess
    import sys
    import time

    arguments = [f"--workdir={workdir}", f"--output_dir={tmp_path}/model"]
    process = subprocess.Popen(
        [sys.executable, "-m", "alexnet_tf.export", *arguments], stderr=subprocess.PIPE, text=True
    )
    # The unfinished folder is there as soon as the graphs are being made.
    while not list(tmp_path.iterdir()) and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and err.splitlines()[-1] == "interrupted"
    assert list(tmp_path.iterdir()) == []
