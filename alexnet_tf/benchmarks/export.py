"""What an exported model costs: seconds to export, its size, and its speed beside the bare network.

Example:
  python -m alexnet_tf.benchmark export
  python -m alexnet_tf.benchmark export --config=configs/demo.py --batch_size=32

The recipe's network with its initial weights is exported as a SavedModel and loaded again. Then the
signature `images`, from bytes of pixels to the best classes' names (centre view), and the bare
Keras model, compiled, from float32 pixels to logits, compute the same batch in turns. Prints JSON;
`ratio` is the signature's speed over the bare model's.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from alexnet_common import folders
from alexnet_common.errors import UsageError
from alexnet_common.tensorflow_import import import_tensorflow
from alexnet_tf import recipes
from alexnet_tf.benchmarks.step import define_config_flags

if TYPE_CHECKING:
    from alexnet_tf.runs.restore import TrainedRun
    from alexnet_tf.runs.workdir import WorkFolder


def define_flags(flag_values: flags.FlagValues) -> None:
    """Defines the benchmark's flags."""
    define_config_flags(flag_values, "alexnet_paper")
    flags.DEFINE_integer(
        "batch_size", 128, "Images per call.", lower_bound=1, flag_values=flag_values
    )
    flags.DEFINE_integer(
        "calls", 12, "Calls of each that are measured.", lower_bound=1, flag_values=flag_values
    )


def main(flag_values: flags.FlagValues, arguments: list[str]) -> int:
    """Runs the benchmark."""
    if arguments:
        raise UsageError(f"unexpected argument {arguments[0]!r}")
    config = recipes.from_flags(flag_values)
    with config.unlocked():
        config.synthetic_data = True
    import_tensorflow()
    from alexnet_tf.runs.workdir import WorkFolder

    with folders.scratch_folder() as name:
        with WorkFolder(Path(name) / "run") as folder:
            run = _initial(config, folder)
            report = _measure_export(
                run, Path(name) / "model", flag_values.batch_size, flag_values.calls
            )
    print(json.dumps(report))
    return 0


def _initial(config: recipes.ConfigDict, folder: WorkFolder) -> TrainedRun:
    """The recipe's network with its initial weights, as if it were trained."""
    from alexnet_tf.runs.restore import TrainedRun
    from alexnet_tf.train_loop.setup import set_up

    run = set_up(config, folder)
    state = {"step": 0, "epoch": 0, "best": None}
    return TrainedRun(
        folder.folder, config, run.data, run.table, run.model, run.prepare, "newest", state
    )


def _measure_export(run: TrainedRun, target: Path, batch_size: int, calls: int) -> dict[str, Any]:
    import numpy as np
    import tensorflow as tf

    from alexnet_tf.benchmarks import _measure
    from alexnet_tf.serving import saved_model

    began = time.monotonic()
    facts = saved_model.export(run, str(target), views=1)
    exported = time.monotonic()
    served = tf.saved_model.load(str(target)).signatures["images"]
    loaded = time.monotonic()
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())

    side = facts["image_size"]
    random = np.random.default_rng(0)
    images = tf.constant(random.integers(0, 256, (batch_size, side, side, 3), np.uint8))
    pixels = tf.random.Generator.from_seed(0).normal([batch_size, run.crop, run.crop, 3])
    bare = tf.function(lambda: run.model(pixels, training=False), autograph=False)

    def signature_block(count: int) -> None:
        for _ in range(count):
            outputs = served(images=images)
        outputs["probabilities"].numpy()

    def bare_block(count: int) -> None:
        for _ in range(count):
            logits = bare()
        logits.numpy()

    seconds = _measure.alternate(
        {"signature": signature_block, "bare_model": bare_block},
        steps=calls,
        block_steps=max(1, calls // 3),
    )
    return {
        "benchmark": "export",
        "config": run.config.name,
        "batch_size": batch_size,
        "seconds": {"export": round(exported - began, 2), "load": round(loaded - exported, 2)},
        "megabytes": round(size / 1e6, 1),
        "signature": _measure.speed(seconds["signature"], batch_size),
        "bare_model": _measure.speed(seconds["bare_model"], batch_size),
        "ratio": _measure.ratios(seconds["signature"], seconds["bare_model"]),
        "machine": _measure.machine(),
    }
