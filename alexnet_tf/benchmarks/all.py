"""All benchmarks, each beside the machine's limit, as one JSON and one table.

Example:
  python -m alexnet_tf.benchmark all --config.data_dir=DATASET --images=imagenet_sample
  ALEXNET_TORCH_PYTHON=/path/to/python python -m alexnet_tf.benchmark all

Runs step, loop, start, export, and with --config.data_dir input, with --images convert, one after
the other, each in a process of its own. Before and behind the step it measures what the machine can
do: a matrix product of float32 (on a GPU of bfloat16 too), and a copy. `of_limit` of the step is
its arithmetic (4.135 GFLOP for an image of the paper's network) over what the product reached at
best; its ratio to plain Keras is of blocks in turns, in one process. With ALEXNET_TORCH_PYTHON, a
Python that has PyTorch, the same network in PyTorch runs on the same device next to the step (on a
CPU eager, float32, batch 128). Prints JSON; the table is on stderr.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import Any

from absl import flags

from alexnet_common.errors import UsageError
from alexnet_common.messages import log
from alexnet_common.tensorflow_import import import_tensorflow
from alexnet_tf.benchmarks.step import define_config_flags

# Forward and backward pass of one image of the paper's network, two for a multiplication and sum.
GFLOP_PER_IMAGE = 4.135


def define_flags(flag_values: flags.FlagValues) -> None:
    """Defines the benchmark's flags."""
    define_config_flags(flag_values, "alexnet_paper")
    flags.DEFINE_string(
        "images", None, "Class folders or a tar of them, for convert.", flag_values=flag_values
    )
    flags.DEFINE_bool("quick", False, "Fewer steps and rounds.", flag_values=flag_values)


def main(flag_values: flags.FlagValues, arguments: list[str]) -> int:
    """Runs all benchmarks."""
    if arguments:
        raise UsageError(f"unexpected argument {arguments[0]!r}")
    recipe = [f"--config={flag_values.config}"]
    recipe += [f"--config.{override}" for override in flag_values.config_override]
    has_data = any(o.startswith("data_dir=") for o in flag_values.config_override)
    import_tensorflow()
    report: dict[str, Any] = {"benchmark": "all", "limits": limits(flag_values.quick)}
    for name, options in _parts(flag_values.quick, has_data, flag_values.images).items():
        report[name] = _run(name, [*options, *(recipe if name != "convert" else [])])
        if name == "step":
            again = limits(flag_values.quick)
            report["limits"] = {key: max(v, again[key]) for key, v in report["limits"].items()}
            if python := os.environ.get("ALEXNET_TORCH_PYTHON"):
                report["pytorch"] = _pytorch(python)
    for line in table(report):
        log(line)
    print(json.dumps(report))
    return 0


def _parts(quick: bool, has_data: bool, images: str | None) -> dict[str, list[str]]:
    loop = [] if has_data else ["--config.synthetic_data=True"]
    parts = {
        "step": ["--steps=4", "--block_steps=2"] if quick else [],
        "loop": [*loop, *(["--steps=6"] if quick else [])],
        "start": [],
        "export": ["--calls=3"] if quick else [],
    }
    if has_data:
        parts["input"] = ["--images=256", "--rounds=1"] if quick else []
    if images:
        parts["convert"] = [f"--images={images}", *(["--rounds=1", "--repeat=1"] if quick else [])]
    return parts


def _run(name: str, options: list[str]) -> dict[str, Any]:
    log(f"benchmark {name} ...")
    completed = subprocess.run(
        [sys.executable, "-m", "alexnet_tf.benchmark", name, *options],
        capture_output=True,
        text=True,
        check=False,
    )
    if completed.returncode:
        lines = completed.stderr.strip().splitlines()
        return {"error": lines[-1] if lines else f"status {completed.returncode}"}
    return json.loads(completed.stdout)


def limits(quick: bool = False) -> dict[str, float]:
    """What this machine's first device reaches: TFLOP/s of matrix products, GB/s of a copy."""
    import tensorflow as tf

    gpu = bool(tf.config.list_logical_devices("GPU"))
    side = 8192 if gpu else 1024 if quick else 4096
    measured = {}
    for name, dtype in (("float32", tf.float32), ("bfloat16", tf.bfloat16)):
        if dtype == tf.bfloat16 and not gpu:
            continue
        a = tf.cast(tf.random.normal([side, side], seed=1), dtype)
        product = tf.function(lambda a=a: tf.matmul(a, a)[0, 0], autograph=False)
        measured[f"{name}_tflops"] = 2 * side**3 / _seconds(product) / 1e12
    x = tf.random.normal([1 << (28 if gpu else 24)], seed=1)
    copy = tf.function(lambda: (x + 1.0)[0], autograph=False)
    measured["copy_gb_per_second"] = 2 * 4 * x.shape[0] / _seconds(copy) / 1e9
    return {name: round(value, 3) for name, value in measured.items()}


def _seconds(function: Any, repeat: int = 5) -> float:
    """The shortest of several calls."""
    function().numpy()
    times = []
    for _ in range(repeat):
        began = time.perf_counter()
        function().numpy()
        times.append(time.perf_counter() - began)
    return min(times)


def _pytorch(python: str) -> dict[str, Any]:
    """PyTorch's figures from a Python that has it; see _torch_net.py."""
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "_torch_net.py")
    completed = subprocess.run([python, script], capture_output=True, text=True, check=False)
    if completed.returncode:
        return {"error": (completed.stderr.strip().splitlines() or ["no output"])[-1]}
    return json.loads(completed.stdout)


def _export_line(export: dict[str, Any]) -> str:
    seconds = export["seconds"]
    return (
        f"{'export':24} {export['signature']['images_per_second']:12,.1f} images/s, "
        f"{export['ratio']['median']:.0%} of the bare model; {seconds['export']:.1f} s to export, "
        f"{seconds['load']:.1f} s to load, {export['megabytes']:.0f} MB"
    )


def table(report: dict[str, Any]) -> list[str]:
    """The report's main figures, a line each."""
    lines = [f"{name:24} {value:12,.2f}" for name, value in report["limits"].items()]
    for name in ("step", "loop", "start", "export", "input", "convert"):
        part = report.get(name, {})
        if "error" in part:
            lines.append(f"{name:24} failed: {part['error']}")
    if "ours" in report.get("step", {}):
        step = report["step"]
        speed = step["ours"]["images_per_second"]
        bound = 1e3 * report["limits"]["float32_tflops"] / GFLOP_PER_IMAGE
        step["of_limit"] = round(speed / bound, 3)
        lines.append(
            f"{'step':24} {speed:12,.1f} images/s, {speed / bound:.0%} of float32 products, "
            f"{step['ratio']['median']:.2f} times plain Keras"
        )
    if "loop" in report.get("loop", {}):
        loop = report["loop"]
        speed = loop["loop"]["images_per_second"]
        lines.append(
            f"{'loop':24} {speed:12,.1f} images/s, {1 / (1 + loop['overhead']):.0%} of the step"
        )
    if "seconds" in report.get("start", {}):
        first = report["start"]["to_the_first_update"]
        program = report["start"]["seconds"].get("import", 0.0)
        lines.append(
            f"{'start':24} {first:12,.1f} s to the first update, {program:.1f} of them the import "
            f"of this program; --help {report['start'].get('help', 0.0):.1f} s"
        )
    if "signature" in report.get("export", {}):
        lines.append(_export_line(report["export"]))
    for name, stage in report.get("input", {}).get("stages", {}).items():
        line = (
            f"{'input, ' + name:24} {stage['images_per_second']:12,.1f} images/s, "
            f"{stage['cpu_microseconds_per_image']:,.0f} µs of CPU time an image"
        )
        if "of_bare_decode" in stage:
            line += f": {stage['of_bare_decode']:.0%} of the speed of bare decoding by it"
        lines.append(line)
    if "per_core" in report.get("convert", {}):
        core = report["convert"]["per_core"]
        lines.append(
            f"{'convert':24} {core['converter_images_per_second']:12,.1f} images/s per core, "
            f"{core['ratio']:.0%} of a bare OpenCV loop"
        )
    pytorch = report.get("pytorch", {})
    if "error" in pytorch:
        lines.append(f"{'PyTorch':24} failed: {pytorch['error']}")
    ours = report.get("step", {}).get("ours", {}).get("images_per_second")
    batch = f"batch {report.get('step', {}).get('batch_size')} "
    for row in pytorch.get("rows", []):
        line = f"{'PyTorch, ' + row['name']:24} {row['images_per_second']:12,.1f} images/s"
        if ours and row["name"].startswith(batch) and "no LRN" not in row["name"]:
            line += f"; the step above: {ours / row['images_per_second']:.2f} times as many"
        lines.append(line)
    return lines
