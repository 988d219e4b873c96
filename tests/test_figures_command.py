"""figures as a user runs it: files, JSON, exit status, one-line errors."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("tensorflow")

from alexnet_tf import figures


def call(capsys, *arguments) -> tuple[int, str, str]:
    status = figures.call([str(part) for part in arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.mark.parametrize(
    ("arguments", "keys"),
    [
        (["kernels", "--scale=all"], {"layer", "color_scores", "chance"}),
        (["top5", "--count=3", "--views=1"], {"images"}),
        (["neighbors", "--count=2", "--neighbors=3"], {"by", "queries"}),
        (["neighbors", "--count=2", "--by=pixels"], {"by", "queries"}),
        (["activations", "--layer=conv2", "--maps=5"], {"image", "channels"}),
        (["augmentation", "--count=2", "--epochs=2"], {"crop", "stored"}),
        (["network"], {"network", "parameters", "neurons", "columns"}),
    ],
)
def test_every_kind_writes_png_and_svg(workdir, tmp_path, capsys, arguments, keys):
    status, out, err = call(capsys, *arguments, f"--workdir={workdir}", f"--output_dir={tmp_path}")
    assert status == 0, err
    report = json.loads(out)
    assert set(report) == keys | {"kind", "files"}
    kind = arguments[0]
    assert report["files"] == [f"{tmp_path}/{kind}.png", f"{tmp_path}/{kind}.svg"]
    image = np.asarray(Image.open(tmp_path / f"{kind}.png").convert("RGB"))
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 20
    assert (tmp_path / f"{kind}.svg").read_bytes().startswith(b"<?xml")


def test_kernels_scores_are_those_of_the_weights(workdir, tmp_path, capsys):
    _, out, _ = call(capsys, "kernels", f"--workdir={workdir}", f"--output_dir={tmp_path}")
    with np.load(next((workdir / "best").glob("*.npz"))) as saved:
        weights = saved["weights/conv1/kernel"].astype(np.float64)
    chroma = weights - weights.mean(axis=2, keepdims=True)
    score = ((chroma**2).sum(axis=(0, 1, 2)) / (weights**2).sum(axis=(0, 1, 2))).mean()
    assert json.loads(out)["color_scores"] == pytest.approx([score])


def test_curves_of_two_runs(workdir, tmp_path, capsys):
    import shutil

    runs = []
    for number, error in enumerate((0.5, 0.25)):
        run = tmp_path / f"run_{number}"
        shutil.copytree(workdir, run)
        lines = [
            {"kind": "train", "epoch": 1, "step": 5, "loss": 2.0, "learning_rate": 0.1},
            {"kind": "epoch", "epoch": 1, "step": 10, "loss": 1.5, "val_top_1_error": error},
        ]
        (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        runs.append(str(run))
    status, out, err = call(
        capsys, "curves", f"--workdir={','.join(runs)}", f"--output_dir={tmp_path}/out"
    )
    assert status == 0, err
    assert json.loads(out)["runs"] == [
        {"workdir": run, "steps": 10, "best_val_top_1_error": error}
        for run, error in zip(runs, (0.5, 0.25), strict=True)
    ]
    assert runs[0] in (tmp_path / "out" / "curves.svg").read_text()


def test_top5_of_files_and_format(workdir, records, tmp_path, capsys):
    for number in (0, 1):
        (tmp_path / f"{number}.jpg").write_bytes(records[number][0])
    status, out, _ = call(
        capsys, "top5", f"--workdir={workdir}", f"--images={tmp_path}/1.jpg",
        f"--images={tmp_path}/0.jpg", f"--output_dir={tmp_path}/out", "--format=svg",
    )  # fmt: skip
    assert status == 0
    report = json.loads(out)
    assert [image["name"] for image in report["images"]] == [
        f"{tmp_path}/1.jpg", f"{tmp_path}/0.jpg",
    ]  # fmt: skip
    assert [image["class"] for image in report["images"]] == [None, None]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["top5.svg"]


def test_neighbors_are_those_of_the_features(workdir, data_dir, records, tmp_path, capsys):
    import tensorflow as tf

    import alexnet_tf

    (tmp_path / "query.jpg").write_bytes(records[5][0])
    _, out, _ = call(
        capsys, "neighbors", f"--workdir={workdir}", f"--images={tmp_path}/query.jpg",
        "--neighbors=4", f"--output_dir={tmp_path}/out",
    )  # fmt: skip
    network = alexnet_tf.load(workdir)
    train = []
    for path in sorted(data_dir.glob("train-*-of-*")):
        for record in tf.data.TFRecordDataset(str(path)):
            feature = tf.train.Example.FromString(record.numpy()).features.feature
            train.append(feature["image/encoded"].bytes_list.value[0])
    vectors = network.features(train, ["fc64"])["fc64"].astype(np.float64)
    query = network.features(records[5][0], ["fc64"])["fc64"].astype(np.float64)
    distances = np.linalg.norm(vectors - query, axis=1)
    expected = np.argsort(distances)[:4]
    (found,) = json.loads(out)["queries"]
    assert [n["name"] for n in found["neighbors"]] == [f"train/{number}" for number in expected]
    assert [n["distance"] for n in found["neighbors"]] == pytest.approx(
        distances[expected], rel=1e-4
    )


def test_the_network_of_a_recipe_needs_no_run(tmp_path, capsys):
    status, out, _ = call(
        capsys, "network", "--config=alexnet_paper", "--config.num_classes=10",
        f"--output_dir={tmp_path}",
    )  # fmt: skip
    # 60,965,224 less 990 classes of 4096 weights and a bias.
    assert status == 0 and json.loads(out)["parameters"] == 60_965_224 - 990 * 4097


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ([], 2, "no kind named; there are kernels, top5"),
        (["kernel"], 2, "no kind 'kernel'; did you mean kernels?"),
        (["kernels", "--output_dir=OUT"], 2, "either --workdir=RUN or --model=FILE"),
        (["kernels", "--workdir=RUN"], 2, "output_dir"),
        (["kernels", "--workdir=RUN", "--output_dir=OUT", "--format=gif"], 2, "must be png, svg"),
        (["kernels", "--workdir=RUN", "--output_dir=OUT", "x"], 2, "unexpected argument 'x'"),
        (["kernels", "--workdir=nowhere", "--output_dir=OUT"], 1, "does not exist"),
        (["activations", "--workdir=RUN", "--layer=fc64", "--output_dir=OUT"], 2, "has no maps"),
        (["neighbors", "--workdir=RUN", "--layer=fc6", "--output_dir=OUT"], 2, "did you mean fc64"),
        (["top5", "--workdir=RUN", "--images=nowhere", "--output_dir=OUT"], 1, "no such file"),
        (["top5", "--workdir=RUN", "--data_dir=nowhere", "--output_dir=OUT"], 1, "no such folder"),
        (["curves", "--workdir=RUN", "--output_dir=OUT"], 1, "has no numbers yet"),
        (["curves", "--workdir=nowhere,RUN", "--output_dir=OUT"], 1, "does not exist"),
        (["network", "--output_dir=OUT"], 2, "either --workdir=RUN or --config=RECIPE"),
        (["network", "--config=alexnet_papr", "--output_dir=OUT"], 2, "alexnet_paper"),
        (["augmentation", "--output_dir=OUT"], 2, "workdir"),
    ],
)
def test_errors_are_one_line(arguments, status, message, workdir, tmp_path, capsys):
    filled = [a.replace("RUN", str(workdir)).replace("OUT", str(tmp_path)) for a in arguments]
    found, out, err = call(capsys, *filled)
    assert (found, out) == (status, "")
    assert err.startswith("error: ") and err.count("\n") == 1
    assert message in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", [[], *([kind] for kind in figures.KINDS)])
def test_help(capsys, kind, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    status, out, _ = call(capsys, *kind, "--help")
    assert max(map(len, out.splitlines())) <= 80
    assert status == 0 and "Example:" in out and (not kind or "--output_dir" in out)


def test_pictures_of_a_dataset_without_its_folder_ask_for_it(workdir, tmp_path, capsys):
    import shutil

    moved = tmp_path / "run"
    shutil.copytree(workdir, moved)
    config = json.loads((moved / "config.json").read_text())
    facts = moved / "dataset"
    shutil.copytree(config["data_dir"], facts)
    config["data_dir"] = str(tmp_path / "gone")
    (moved / "config.json").write_text(json.dumps(config))
    status, _, err = call(capsys, "top5", f"--workdir={moved}", f"--output_dir={tmp_path}/out")
    assert status == 1 and "with --data_dir=DIR" in err
