"""PyTorch's figures of the four profiles: how they are computed, and their file.

    ALEXNET_TORCH_PYTHON=V/bin/python python -m tests.model.torch_figures

computes them anew, with a Python V that has PyTorch (`python -m venv V; V/bin/pip install torch
numpy`), and writes `torch_figures.json`. Weights and images are drawn by a generator of NumPy whose
numbers never change, so they need not be stored. Convolutions have their full size; narrow hidden
layers make a test of seconds out of one of minutes.
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import zlib

import numpy as np

from alexnet_tf import recipes
from alexnet_tf.model import grouped
from alexnet_tf.tables import shapes, table

# Of the image. Libraries round differently, and a maximum of a pooling window or the edge of a relu
# that is nearly a tie would send a gradient elsewhere: these are the best of 150 seeds, with which
# all are further from a tie than 6e-6 standard deviations of their layer.
SEEDS = {"alexnet_paper": 124, "alexnet_code2012": 87, "alexnet_caffe": 61, "alexnet_owt": 7}
PROFILES = tuple(SEEDS)
FILE = pathlib.Path(__file__).with_name("torch_figures.json")
SCRIPT = pathlib.Path(__file__).with_name("torch_nets.py")
LABELS = np.array([7])

Values = dict[str, np.ndarray]


def network(profile: str) -> table.Table:
    """A profile with hidden layers of 96 and 64 classes."""
    config = recipes.load(profile).network.to_dict() | {"hidden": (96, 96)}
    return table.from_config(config, 64)


def draw(profile: str) -> tuple[Values, np.ndarray]:
    """Values of the merged net's variables by name, and images [1, S, S, 3], float32."""
    net = network(profile)
    merged = grouped.merge(net).table
    known = merged.shapes()
    values = {}
    for row in merged.layers:
        found = shapes.variable_shapes(row, [known[name] for name in row.inputs])
        for variable, shape in found.items():
            name = f"{row.name}/{variable}"
            deviation = 1.0 if variable == "bias" else np.sqrt(2 / np.prod(shape[:-1]))
            drawn = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)
            values[name] = (deviation * drawn).astype(np.float32)
    shape = len(LABELS), net.input_size, net.input_size, 3
    x = 60 * np.random.RandomState(SEEDS[profile]).standard_normal(shape)
    return values, x.astype(np.float32)


def sample(values: np.ndarray) -> dict[str, float | list[float]]:
    """A few numbers for an array: its l2 norm, its largest magnitude, and 8 of its values."""
    flat = np.asarray(values, np.float64).ravel()
    places = np.random.RandomState(flat.size).randint(0, flat.size, 8)
    return {
        "norm": float(np.linalg.norm(flat)),
        "largest": float(np.abs(flat).max()),
        "values": [float(f"{value:.7g}") for value in flat[places]],
    }


def with_torch(python: str, profile: str, values: Values, x: np.ndarray, labels: np.ndarray):
    """Logits and gradients by name, as PyTorch computes them.

    Args:
        python: a Python that has PyTorch.
        profile: name of the recipe.
        values: variables of the merged net.
        x: images, float32 [B, S, S, 3].
        labels: int [B].
    """
    with tempfile.TemporaryDirectory() as folder:
        source, target = f"{folder}/in.npz", f"{folder}/out.npz"
        np.savez(source, x=x, labels=labels, **values)
        command = [python, str(SCRIPT), profile, source, target]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
        return dict(np.load(target))


def main() -> None:
    """Writes the file."""
    python = os.environ.get("ALEXNET_TORCH_PYTHON", sys.executable)
    version = subprocess.run(
        [python, "-c", "import torch; print(torch.__version__)"],
        capture_output=True, text=True,
    )  # fmt: skip
    if version.returncode:
        raise SystemExit(f"{python} has no PyTorch: set ALEXNET_TORCH_PYTHON to one that has it")
    figures = {}
    for profile in PROFILES:
        values, x = draw(profile)
        found = with_torch(python, profile, values, x, LABELS)
        figures[profile] = {name: sample(value) for name, value in found.items()}
    document = {"torch": version.stdout.strip(), "figures": figures}
    FILE.write_text(json.dumps(document, indent=None, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
