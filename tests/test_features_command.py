"""features as a user runs it: output, exit status, one-line errors."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from alexnet_common import command
from alexnet_tf import features


def call(capsys, *arguments) -> tuple[int, str, str]:
    status = command.call(
        features.define_flags, features.main, features.__doc__, [str(part) for part in arguments]
    )
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.fixture(scope="module")
def network(workdir):
    import alexnet_tf

    return alexnet_tf.load(workdir)


@pytest.fixture(scope="module")
def folder(records, tmp_path_factory):
    """Images in a tree, written in another order than their names."""
    root = tmp_path_factory.mktemp("features") / "photos"
    for name, (data, _) in zip(("b/2.jpg", "a.jpg", "b/1.jpg", ".hidden"), records, strict=False):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def test_a_split_in_its_order_with_names_and_labels(workdir, network, records, tmp_path, capsys):
    output = tmp_path / "out.npz"
    status, out, err = call(
        capsys, f"--workdir={workdir}", "--layers=fc64,conv1", "--split=validation",
        "--batch_size=8", f"--output={output}",
    )  # fmt: skip
    assert status == 0 and "features: 21 images" in err
    report = json.loads(out)
    assert report["shapes"] == {"fc64": [21, 64], "conv1": [21, 32, 32, 32]}
    assert (report["count"], report["skipped"], report["step"]) == (21, [], 30)
    found = np.load(output)
    assert found["labels"].tolist() == [label for _, label in records]
    # These records hold no file names.
    assert found["names"].tolist() == [f"validation/{n}" for n in range(21)]
    expected = network.features([data for data, _ in records], ["fc64", "conv1"])
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-5, atol=1e-5)


def test_folders_files_and_stdin_keep_their_order(
    workdir, network, folder, tmp_path, capsys, monkeypatch
):
    listed = f"{folder}/b/2.jpg\n\n{folder}/a.jpg\n"
    names = ["a.jpg", "b/1.jpg", "b/2.jpg", "b/2.jpg", "a.jpg", "b/1.jpg"]
    monkeypatch.setattr("sys.stdin", io.StringIO(listed))
    status, _, _ = call(
        capsys, f"--workdir={workdir}", "--layers=fc64", "--views=10", "--batch_size=4",
        f"--images={folder}", "--images=-", f"{folder}/b/1.jpg", f"--output={tmp_path}/out.npz",
    )  # fmt: skip
    assert status == 0
    found = np.load(tmp_path / "out.npz")
    assert found["names"].tolist() == [str(folder / name) for name in names]
    assert "labels" not in found.files
    expected = network.features([folder / name for name in names], ["fc64"], views=10)["fc64"]
    np.testing.assert_allclose(found["fc64"], expected, rtol=1e-5, atol=1e-5)


def test_what_is_no_image_ends_the_command_or_is_left_out(workdir, folder, tmp_path, capsys):
    bad = tmp_path / "bad.jpg"
    bad.write_text("no image")
    arguments = [f"--workdir={workdir}", "--layers=fc64", f"--output={tmp_path}/out.npy"]
    arguments += [f"{folder}/a.jpg", bad, f"{folder}/b/1.jpg"]
    status, out, err = call(capsys, *arguments)
    assert (status, out) == (1, "") and "bad.jpg: not an image" in err.splitlines()[-1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.jpg"]
    status, out, err = call(capsys, *arguments, "--on_error=skip")
    assert status == 0 and f"left out: {bad}: not an image" in err
    report = json.loads(out)
    assert report["count"] == 2 and report["skipped"][0]["name"] == str(bad)
    assert np.load(tmp_path / "out.npy").shape == (2, 64)
    status, out, err = call(capsys, *arguments[:3], bad, "--on_error=skip")
    assert status == 1 and "none of the files is an image" in err


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--layers=fc64", "--split=validation"], 2, "either --workdir=RUN or --model=FILE"),
        (["--workdir=RUN", "--model=x", "--layers=fc64", "--split=train"], 2, "either --workdir"),
        (["--workdir=RUN", "--layers=fc64"], 2, "either --images=FOLDER|FILE|- or --split"),
        (["--workdir=RUN", "--layers=fc64", "--split=train", "x.jpg"], 2, "either --images"),
        (["--workdir=RUN", "--layers=fc46", "--split=train"], 2, "did you mean fc64"),
        (["--workdir=RUN", "--layers=fc64", "--split=test"], 1, "no split 'test'"),
        (["--workdir=RUN", "--layers=fc64", "nowhere.jpg"], 1, "nowhere.jpg: no such file"),
        (["--workdir=RUN", "--layers=fc64", "--split=train", "--data_dir=x"], 1, "no such folder"),
        (
            ["--workdir=RUN", "--layers=fc64,fc10", "--split=train", "--output=x.npy"],
            2,
            "one layer",
        ),
        (["--workdir=RUN", "--layers=", "--split=train"], 2, "--layers names no layer"),
        (["--workdir=RUN", "--split=train"], 2, "layers"),
        (["--model=RUN/config.json", "--layers=fc64", "--split=train"], 1, "not a file of weights"),
    ],
)
def test_errors_are_one_line(arguments, status, message, workdir, tmp_path, capsys):
    arguments = [argument.replace("RUN", str(workdir)) for argument in arguments]
    if not any(argument.startswith("--output") for argument in arguments):
        arguments.append(f"--output={tmp_path}/out.npz")
    found, out, err = call(capsys, *arguments)
    assert (found, out) == (status, "")
    assert err.startswith("error: ") and err.count("\n") == 1
    assert message in err
    assert list(tmp_path.iterdir()) == []
