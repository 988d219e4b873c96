"""PyTorch's features of imported weights: how they are computed, and their file.

    ALEXNET_TORCH_PYTHON=V/bin/python python -m tests.inference.torch_features

computes them anew (`python -m venv V; V/bin/pip install torch numpy`), and writes
`torch_features.json`. Weights and pixels are drawn by a generator of NumPy whose numbers never
change. Convolutions have their full size; narrow hidden layers make a test of seconds.
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

from tests.model.torch_figures import sample

LAYOUTS = ("torchvision", "caffe")
RECIPES = {"torchvision": "alexnet_owt", "caffe": "alexnet_caffe"}
HIDDEN, CLASSES = 96, 64
FILE = pathlib.Path(__file__).with_name("torch_features.json")
SCRIPT = pathlib.Path(__file__).with_name("torch_features_net.py")

_TORCHVISION = {
    "features.0": (64, 3, 11, 11),
    "features.3": (192, 64, 5, 5),
    "features.6": (384, 192, 3, 3),
    "features.8": (256, 384, 3, 3),
    "features.10": (256, 256, 3, 3),
    "classifier.1": (HIDDEN, 9216),
    "classifier.4": (HIDDEN, HIDDEN),
    "classifier.6": (CLASSES, HIDDEN),
}
_CAFFE = {
    "conv1": (96, 3, 11, 11),
    "conv2": (256, 48, 5, 5),
    "conv3": (384, 256, 3, 3),
    "conv4": (384, 192, 3, 3),
    "conv5": (256, 192, 3, 3),
    "fc6": (HIDDEN, 9216),
    "fc7": (HIDDEN, HIDDEN),
    "fc8": (CLASSES, HIDDEN),
}


def recipe(layout: str) -> str:
    """A recipe file: the published network with the narrow hidden layers."""
    return (
        "from alexnet_tf import recipes\n\n\n"
        "def get_config():\n"
        f'    config = recipes.load("{RECIPES[layout]}")\n'
        f"    config.network.hidden = ({HIDDEN}, {HIDDEN})\n"
        "    return config\n"
    )


def weights(layout: str) -> dict[str, np.ndarray]:
    """Weights by the names of the other program, float32."""
    shapes, ends = (
        (_TORCHVISION, (".weight", ".bias")) if layout == "torchvision" else (_CAFFE, ("_0", "_1"))
    )
    found = {}
    for name, shape in shapes.items():
        random = np.random.RandomState(zlib.crc32(name.encode()))
        deviation = np.sqrt(2 / np.prod(shape[1:]))
        # Caffe's pixels are not divided by their deviation.
        if name == "conv1":
            deviation /= 60
        found[name + ends[0]] = (deviation * random.standard_normal(shape)).astype(np.float32)
        found[name + ends[1]] = (0.1 * random.standard_normal(shape[:1])).astype(np.float32)
    return found


def pixels() -> np.ndarray:
    """Two pictures of coloured blocks and noise: uint8 [2, 256, 256, 3]."""
    random = np.random.RandomState(12)
    blocks = random.randint(30, 220, (2, 8, 8, 3)).repeat(32, axis=1).repeat(32, axis=2)
    return np.clip(blocks + random.randint(-30, 31, blocks.shape), 0, 255).astype(np.uint8)


def with_torch(python: str, layout: str) -> dict[str, np.ndarray]:
    """What `torch_features_net.py` yields."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = f"{folder}/in.npz", f"{folder}/out.npz"
        np.savez(source, pixels=pixels(), **weights(layout))
        command = [python, str(SCRIPT), layout, source, target]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
        return dict(np.load(target))


def main() -> None:
    """Writes the file."""
    python = os.environ.get("ALEXNET_TORCH_PYTHON", sys.executable)
    version = subprocess.run(
        [python, "-c", "import torch; print(torch.__version__)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    figures = {
        layout: {name: sample(value) for name, value in with_torch(python, layout).items()}
        for layout in LAYOUTS
    }
    document = {"torch": version.stdout.strip(), "figures": figures}
    FILE.write_text(json.dumps(document, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
