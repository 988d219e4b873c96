"""Checks and measures this machine's GPU, and writes a report to paste into docs/performance.md.

Example:
  make gpu-check
  python -m tools.gpu_check --output=gpu-check.md
  python -m tools.gpu_check --device=CPU --quick       # tries the script itself

Each part runs in a process of its own, so that one that fails leaves the others their chance:
  gradients  every kernel of response normalisation, and the whole paper's network, against float64
             on the CPU
  columns    two columns on two GPUs, or two logical ones of one, against one device, with XLA and
             without; images/s of the paper's network each way
  mirrored   two replicas on two logical GPUs against one
  resume     a run that was stopped and resumed against one that was not
  tests      the project's tests of devices and placement
  benchmark  python -m alexnet_tf.benchmark all
Exit status: 0 if everything passed. Takes about ten minutes.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from alexnet_common import command, files
from alexnet_common.errors import UsageError
from alexnet_common.messages import log
from alexnet_common.tensorflow_import import import_tensorflow

if TYPE_CHECKING:
    from alexnet_tf.tables.table import Table

PARTS = ("gradients", "columns", "mirrored", "resume", "tests", "benchmark")
# Largest difference relative to the largest value, with exact float32 products.
BOUND = 2e-4
# Small enough for ten minutes, with both normalisations and both columns.
NETWORK = (
    "network.input_size=67",
    "network.filters=(16,32,32,32,32)",
    "network.hidden=(64,64)",
    "batch_size=16",
    "precision=float32_exact",
    "log.tensorboard=False",
)


def define_flags(flag_values: flags.FlagValues) -> None:
    """Defines the command's flags."""
    flags.DEFINE_string("output", "gpu-check.md", "Where the report goes.", flag_values=flag_values)
    flags.DEFINE_enum("device", "GPU", ["GPU", "CPU"], "What is checked.", flag_values=flag_values)
    flags.DEFINE_bool("quick", False, "Fewer steps and tests.", flag_values=flag_values)
    flags.DEFINE_enum(
        "part", None, PARTS, "Only this part, and its result on stdout.", flag_values=flag_values
    )


def main(flag_values: flags.FlagValues, arguments: list[str]) -> int:
    """Runs all parts, or one."""
    if arguments:
        raise UsageError(f"unexpected argument {arguments[0]!r}")
    device, quick = flag_values.device, flag_values.quick
    if flag_values.part:
        import_tensorflow()
        print(json.dumps(_PARTS[flag_values.part](device, quick)))
        return 0
    results = {}
    for part in PARTS:
        log(f"{part} ...")
        results[part] = _run(part, device, quick)
        log(f"{part}: {'passed' if results[part]['passed'] else 'FAILED'}")
    files.write_atomically(flag_values.output, report(results, device).encode())
    log(f"wrote {flag_values.output}")
    return 0 if all(result["passed"] for result in results.values()) else 1


def _run(part: str, device: str, quick: bool) -> dict[str, Any]:
    """The result of a part in a process of its own."""
    arguments = [f"--part={part}", f"--device={device}", *(["--quick"] if quick else [])]
    completed = subprocess.run(
        [sys.executable, "-m", "tools.gpu_check", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    if completed.returncode or not completed.stdout.strip():
        lines = completed.stderr.strip().splitlines()
        return {"passed": False, "error": lines[-1] if lines else f"status {completed.returncode}"}
    return json.loads(completed.stdout.strip().splitlines()[-1])


def report(results: dict[str, dict[str, Any]], device: str) -> str:
    """Markdown: what passed, and every figure."""
    lines = [
        f"# {device} check, {datetime.date.today().isoformat()}",
        "",
        f"`python -m tools.gpu_check --device={device}`",
        "",
        "| part | passed |",
        "|---|---|",
    ]
    lines += [f"| {part} | {'yes' if r['passed'] else 'NO'} |" for part, r in results.items()]
    for part, result in results.items():
        figures = {key: value for key, value in result.items() if key != "passed"}
        lines += ["", f"## {part}", "", "```json", json.dumps(figures, indent=1), "```"]
    return "\n".join(lines) + "\n"


def _gradients(device: str, quick: bool) -> dict[str, Any]:
    """Largest relative difference of gradients to float64 on the CPU."""
    import numpy as np
    import tensorflow as tf

    from alexnet_tf.model import build, grouped
    from alexnet_tf.model.ops import normalization, pooling
    from alexnet_tf.tables import rows, table

    tf.config.experimental.enable_tensor_float_32_execution(False)
    random = np.random.default_rng(0)

    def gradient(function: Any, where: str, jit: bool, *values: Any) -> list[np.ndarray]:
        @tf.function(jit_compile=jit, autograph=False)
        def compute() -> list[tf.Tensor]:
            with tf.GradientTape() as tape:
                inputs = [tf.convert_to_tensor(value) for value in values]
                tape.watch(inputs)
                result = function(*inputs)
            return tape.gradient(result, inputs or None)

        with tf.device(where):
            return [value.numpy() for value in compute()]

    settings: dict[str, Any] = {"size": 5, "alpha": 1e-4, "beta": 0.75, "k": 2.0}
    x = random.normal(0, 50, (4, 13, 13, 96)).astype(np.float32)
    upstream = random.normal(size=x.shape)

    def normalised(kernel: str) -> Any:
        return lambda x: tf.reduce_sum(
            normalization.across_maps(x, implementation=kernel, **settings)
            * tf.constant(upstream, x.dtype)
        )

    expected = gradient(normalised("banded"), "/CPU:0", False, x.astype(np.float64))
    differences = {}
    for kernel in ("tf", "tf_fast_gradient", "banded", "shifted"):
        for jit in (False, True):
            name = f"{kernel}{', XLA' if jit else ''}"
            differences[f"normalisation: {name}"] = _difference(
                gradient(normalised(kernel), f"/{device}:0", jit, x), expected
            )
    windows = rows.Pool(name="pool", inputs=("x",), kind="max", size=3, stride=2)

    def pooled(kernel: str) -> Any:
        return lambda x: tf.reduce_sum(
            pooling.pool(x, windows, kernel) * tf.constant(upstream[:, :6, :6], x.dtype)
        )

    expected = gradient(pooled("tf"), "/CPU:0", False, x.astype(np.float64))
    for kernel in ("tf", "shifted"):
        for jit in (False, True):
            name = f"max pooling: {kernel}{', XLA' if jit else ''}"
            computed = gradient(pooled(kernel), f"/{device}:0", jit, x)
            differences[name] = _difference(computed, expected)
    columns = table.from_config(
        {
            "name": "alexnet",
            "input_size": 67 if quick else 224,
            "filters": (16, 32, 32, 32, 32) if quick else (96, 256, 384, 384, 256),
            "hidden": (64, 64) if quick else (512, 512),
            "init_scale": 2.0,
            "input_scale": 1 / 60,
        },
        10,
    )
    columns = _smooth(columns)
    side = columns.input_size
    pixels = random.normal(0, 60, (4, side, side, 3)).astype(np.float32)
    labels = np.array([0, 3, 5, 9])

    def whole(where: str, jit: bool, **choices: Any) -> list[np.ndarray]:
        with tf.device(where):
            model = build.build(columns, seed=1, **choices)
            names = build.named_variables(model)

            @tf.function(jit_compile=jit, autograph=False)
            def compute() -> dict[str, tf.Tensor]:
                with tf.GradientTape() as tape:
                    logits = model(tf.constant(pixels), training=False)
                    loss = tf.reduce_mean(
                        tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
                    )
                return tape.gradient(loss, dict(names))

            values = {name: value.numpy() for name, value in compute().items()}
            merged = grouped.merged(columns, choices.get("implementation", "towers"))
            values = merged.to_towers(values) if merged else values
            return [value for _, value in sorted(values.items())]

    expected = whole("/CPU:0", False, policy="float64", lrn="banded")
    for jit in (False, True):
        for kernel in ("tf", "banded", "shifted"):
            for joint in (False, True):
                name = f"whole network: {kernel}{', joint and in blocks' * joint}{', XLA' * jit}"
                choices = {"lrn": kernel, "space_to_depth": joint}
                choices["implementation"] = "joint" if joint else "towers"
                differences[name] = _difference(whole(f"/{device}:0", jit, **choices), expected)
    return {"passed": max(differences.values()) < BOUND, "bound": BOUND, "differences": differences}


def _smooth(columns: Table) -> Table:
    """A network without decisions: ReLU rounded off, averages in place of maxima.

    Where a maximum or a ReLU is decided by the last bit of float32, the gradient is another one,
    whatever computes it.
    """
    from alexnet_tf.tables import rows

    def smooth(row: rows.Row) -> rows.Row:
        if row.neuron == "relu":
            row = dataclasses.replace(row, neuron="softrelu")
        return dataclasses.replace(row, kind="avg") if isinstance(row, rows.Pool) else row

    return dataclasses.replace(columns, layers=tuple(smooth(row) for row in columns.layers))


def _difference(computed: list[Any], expected: list[Any]) -> float:
    """Largest difference of arrays, relative to the largest value of each."""
    import numpy as np

    return max(
        float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-30))
        for a, b in zip(computed, expected, strict=True)
    )


def _weights(*settings: str, stop: int = 0, steps: int = 6) -> list[Any]:
    """Weights after some steps of the small network; `stop`: stopped there and resumed."""
    from alexnet_tf import recipes
    from alexnet_tf.runs.workdir import WorkFolder
    from alexnet_tf.train_loop.loop import Loop
    from alexnet_tf.train_loop.setup import set_up
    from tests.helpers import small_dataset

    with tempfile.TemporaryDirectory() as place:
        data = small_dataset.make(Path(place) / "data", image_size=72, classes=10, train=64)
        folder = Path(place) / "run"
        for last in [stop, steps] if stop else [steps]:
            pairs = [
                s.split("=", 1)
                for s in (*NETWORK, *settings, f"train_steps={last}", f"data_dir={data}")
            ]
            config = recipes.resolve(recipes.load("alexnet_paper"), [(k, v) for k, v in pairs])
            with WorkFolder(folder) as work:
                run = set_up(config, work)
                Loop(run, quiet=True).train()
                weights = [
                    run.names.weights_out(run.variables)[name]
                    for name in sorted(run.names.weights_out(run.variables))
                ]
    return weights


def _split(device: str) -> str:
    """Two logical devices of one; their names as config.devices takes them."""
    import tensorflow as tf

    physical = tf.config.list_physical_devices(device)[0]
    memory = {"memory_limit": 4096} if device == "GPU" else {}
    parts = [tf.config.LogicalDeviceConfiguration(**memory) for _ in range(2)]
    tf.config.set_logical_device_configuration(physical, parts)
    return f"devices=('{device}:0','{device}:1')"


def _columns(device: str, quick: bool) -> dict[str, Any]:
    import tensorflow as tf

    count = len(tf.config.list_physical_devices(device))
    devices = f"devices=('{device}:0','{device}:1')" if count > 1 else _split(device)
    alone, apart = (f"devices=('{device}:0',)",), ("placement=two_devices", devices)
    differences = {}
    for xla in ("true",) if quick else ("false", "true"):
        choice = f"jit_compile={xla}"
        differences[choice] = _difference(_weights(choice, *apart), _weights(choice, *alone))
    variants: dict[str, tuple[str, ...]] = {"two devices": ("jit_compile=false", *apart)}
    if not quick:
        variants |= {
            "two devices, XLA": ("jit_compile=true", *apart),
            "one device, XLA": ("jit_compile=true", *alone),
        }
    return {
        "passed": max(differences.values()) < BOUND,
        "bound": BOUND,
        "differences": differences,
        "physical devices": count,
        "images per second": {
            name: _speed(*settings, *(NETWORK if quick else ()))
            for name, settings in variants.items()
        },
    }


def _speed(*settings: str) -> list[float]:
    """Images/s of blocks of updates of the paper's network from memory, compiled beforehand."""
    from alexnet_tf import recipes
    from alexnet_tf.benchmarks import _measure, step
    from alexnet_tf.runs.workdir import WorkFolder
    from alexnet_tf.train_loop.setup import set_up

    pairs = [s.split("=", 1) for s in ("synthetic_data=true", "num_classes=1000", *settings)]
    config = recipes.resolve(recipes.load("alexnet_paper"), [(k, v) for k, v in pairs])
    with tempfile.TemporaryDirectory() as place, WorkFolder(Path(place) / "run") as work:
        block = step.updates_of(set_up(config, work))
        seconds = _measure.alternate({"updates": block}, steps=30, block_steps=10)
    return _measure.speed(seconds["updates"], config.batch_size)["images_per_second_of_blocks"]


def _mirrored(device: str, quick: bool) -> dict[str, Any]:
    devices = _split(device)
    one = _weights("jit_compile=true", f"devices=('{device}:0',)")
    return _equal(_weights("jit_compile=true", "distribution=mirrored", devices), one)


def _resume(device: str, quick: bool) -> dict[str, Any]:
    devices = f"devices=('{device}:0',)"
    return _equal(_weights(devices, stop=2), _weights(devices))


def _equal(computed: list[Any], expected: list[Any]) -> dict[str, Any]:
    difference = _difference(computed, expected)
    return {"passed": difference < BOUND, "bound": BOUND, "difference": difference}


def _tests(device: str, quick: bool) -> dict[str, Any]:
    paths = ["tests/model/test_placement.py", "tests/devices"]
    chosen = paths[:1] if quick else paths
    completed = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *chosen],
        capture_output=True,
        text=True,
        check=False,
    )
    last = completed.stdout.strip().splitlines()[-1:]
    return {"passed": completed.returncode == 0, "tests": chosen, "result": last}


def _benchmark(device: str, quick: bool) -> dict[str, Any]:
    completed = subprocess.run(
        [sys.executable, "-m", "alexnet_tf.benchmark", "all", *(["--quick"] if quick else [])],
        capture_output=True,
        text=True,
        check=False,
    )
    if completed.returncode:
        return {"passed": False, "error": completed.stderr.strip().splitlines()[-1]}
    return {"passed": True} | json.loads(completed.stdout)


_PARTS = {
    "gradients": _gradients,
    "columns": _columns,
    "mirrored": _mirrored,
    "resume": _resume,
    "tests": _tests,
    "benchmark": _benchmark,
}


if __name__ == "__main__":
    command.run(define_flags, main, __doc__)
