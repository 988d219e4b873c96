"""Work folders of runs that look trained, made without training."""

from __future__ import annotations

from pathlib import Path

import numpy as np

IMAGE_SIZE = 38  # The network reads 32: corners, centre and mirrors all differ.


def make(
    folder: Path,
    data_dir: Path,
    *,
    seed: int = 0,
    step: int = 30,
    best: bool = True,
    newest: bool = True,
    mean: str = "image",
) -> Path:
    """Writes config and checkpoints of a small network whose random weights have opinions."""
    from alexnet_tf import recipes
    from alexnet_tf.model import build
    from alexnet_tf.runs import checkpoint, workdir
    from alexnet_tf.tables import table
    from data_prep import dataset

    config = recipes.load("cifar10_quick")
    config.data_dir = str(data_dir)
    config.seed = seed
    config.evaluation.batch_size = 8
    config.preprocess.mean = mean
    with workdir.WorkFolder(folder) as run:
        run.open(config)
    classes = dataset.load(data_dir).num_classes
    model = build.build(table.from_config(config.network, classes), seed=seed)
    random = np.random.default_rng(seed)
    weights = {}
    for name, variable in build.named_variables(model).items():
        spread = 1.5 / np.sqrt(np.prod(variable.shape[:-1]))
        # Pixels are about 60 grey levels away from their mean.
        spread /= 60 if name == "conv1/kernel" else 1
        weights[name] = random.normal(0, spread, variable.shape).astype(np.float32)
    state = {
        "step": step,
        "epoch": 3,
        "best": {"val_top_1_error": 0.25, "epoch": 3, "step": step},
    }
    saved = checkpoint.Checkpoint(weights, {}, state)
    if best:
        checkpoint.save(checkpoint.path_of(run.best, step), saved)
    if newest:
        checkpoint.save(checkpoint.path_of(run.checkpoints, step), saved)
    return folder
