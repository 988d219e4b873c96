"""The teacher's notebook runs from its first cell to its last, on a small demo of its own."""

from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

pytest.importorskip("tensorflow")

NOTEBOOK = "notebooks/from_demo_to_features.ipynb"


@pytest.fixture(scope="module")
def notebook(repository: pathlib.Path) -> dict:
    return json.loads((repository / NOTEBOOK).read_text())


def source(notebook: dict, kind: str) -> list[str]:
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == kind]


def test_code_is_python_and_stored_pictures_are_small(notebook: dict) -> None:
    cells = source(notebook, "code")
    assert len(cells) >= 7
    for number, cell in enumerate(cells):
        compile(cell, f"cell {number}", "exec")
    assert notebook["nbformat"] == 4
    for cell in notebook["cells"]:
        for output in cell.get("outputs", ()):
            assert len(json.dumps(output)) < 400_000
            assert not re.search(r"/tmp/|/home/|Traceback", json.dumps(output.get("text", "")))


def test_commands_and_layers_in_its_text_exist(notebook: dict) -> None:
    from alexnet_tf import figures, retrieve

    text = "\n".join(source(notebook, "markdown"))
    commands = re.findall(r"python -m alexnet_tf\.(\w+) (\w+)", text)
    assert commands
    for module, action in commands:
        assert action in {"figures": figures.KINDS, "retrieve": retrieve.ACTIONS}[module]


@pytest.fixture(scope="module")
def demo(repository: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """What `make demo` writes, smaller and hardly trained."""
    folder = tmp_path_factory.mktemp("notebook") / "demo"
    commands = [
        ["data_prep.make_demo_images", f"--output_dir={folder}/images",
         "--train_images_per_class=6", "--validation_images_per_class=3"],
        ["data_prep.build_tfrecords", f"--train={folder}/images/train",
         f"--validation={folder}/images/validation", "--image_size=112",
         f"--output_dir={folder}/dataset"],
        ["alexnet_tf.train", "--config=demo", f"--config.data_dir={folder}/dataset",
         f"--workdir={folder}/run", "--config.train_epochs=1", "--config.log.tensorboard=false"],
    ]  # fmt: skip
    for command in commands:
        done = subprocess.run(
            [sys.executable, "-m", *command], cwd=repository, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr[-2000:]
    return folder


@pytest.mark.slow
def test_the_notebook_runs(
    notebook: dict, demo: pathlib.Path, repository: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    lines = []
    for cell in source(notebook, "code"):
        # What a notebook shows is the value of a cell's last line.
        *before, last = cell.rstrip().splitlines()
        shown = last.startswith("Picture(")
        lines += [*before, f"pictures_shown.append(({last})._repr_png_())" if shown else last]
    script = tmp_path / "cells.py"
    script.write_text(
        "pictures_shown = []\n"
        + "\n".join(lines)
        + "\nassert all(data[:4] == b'\\x89PNG' for data in pictures_shown)"
        + "\nprint('pictures:', len(pictures_shown))\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=repository,
        env=os.environ | {"ALEXNET_DEMO": str(demo), "PYTHONPATH": str(repository)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "10 classes: checkerboard, crescent" in done.stdout
    assert "nearest by outputs of fc4: the same class for" in done.stdout
    assert re.search(r"\d+ of 30 wrong on one view", done.stdout)
    assert "pictures: 5" in done.stdout
