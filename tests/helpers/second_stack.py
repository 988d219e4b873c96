"""Test files that the second stack leaves out: what they test is the same on both stacks.

`pytest --second-stack` leaves them out. `tests/test_second_stack.py` holds the rule: no code that
such a file reaches imports TensorFlow or Keras, unless it is in `REPOSITORY`.
"""

from __future__ import annotations

import ast
import functools
import pathlib
import re
from collections.abc import Iterator

# Neither they nor what they import touches TensorFlow or Keras.
WITHOUT_TENSORFLOW = (
    "tests/alexnet_common/test_progress.py",
    "tests/alexnet_common/test_tfrecord.py",
    "tests/analysis/test_history.py",
    "tests/analysis/test_plots.py",
    "tests/analysis/test_statistics.py",
    "tests/claims/test_rules.py",
    "tests/claims/test_statistics.py",
    "tests/data_prep/pixels/test_resize.py",
    "tests/data_prep/shards/test_statistics.py",
    "tests/data_prep/sources/test_matlab.py",
    "tests/pictures/test_kernels.py",
    "tests/serving/http/test_batching.py",
    "tests/serving/http/test_limits.py",
    "tests/serving/http/test_tensorflow_json.py",
    "tests/tables/cuda_convnet/test_cost_layers.py",
    "tests/tables/cuda_convnet/test_page_rules.py",
    "tests/tables/cuda_convnet/test_rates.py",
    "tests/tables/cuda_convnet/test_run_114.py",
    "tests/tables/cuda_convnet/test_shipped_files.py",
    "tests/tables/test_plain.py",
    "tests/tables/test_row_checks.py",
    "tests/tables/test_schedules.py",
    "tests/tables/test_table.py",
    "tests/tools/test_mutants.py",
    "tests/train_loop/logging/test_metrics_file.py",
    "tests/train_loop/logging/test_progress.py",
)
# About the files of the repository, which are the same whatever is installed; they name modules
# that use TensorFlow, so the rule cannot tell.
REPOSITORY = (
    "tests/test_deploy.py",
    "tests/test_docs.py",
    "tests/test_layers.py",
    "tests/test_packaging.py",
    "tests/tools/test_settings_page.py",
    "tests/tools/test_fidelity_page.py",
    "tests/tools/test_fidelity_table.py",
)
OURS = ("alexnet_common", "alexnet_tf", "data_prep", "configs", "tools", "tests")
LIBRARIES = ("tensorflow", "keras", "tensorflow_addons", "tensorboard")
# A module or file of ours in a string: what a subprocess is told to run.
NAMED = re.compile(rf"\b(?:{'|'.join(OURS)})(?:[./]\w+)+")


def is_left_out(path: str) -> bool:
    """Whether the second stack leaves out a test file, a path from the root."""
    return any(
        path == entry or path.startswith(f"{entry}/")
        for entry in (*WITHOUT_TENSORFLOW, *REPOSITORY)
    )


@functools.cache
def _names(path: pathlib.Path) -> frozenset[str]:
    """Dotted names that a file imports, also within its functions, or that a test starts."""
    is_test = "tests" in path.parts

    def of(node: ast.AST) -> Iterator[str]:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif is_test and isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from (name.replace("/", ".") for name in NAMED.findall(node.value))
            if node.value in LIBRARIES or re.search(r"import (tensorflow|keras)", node.value):
                yield "tensorflow"

    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(name for node in ast.walk(tree) for name in of(node))


def _file_of(root: pathlib.Path, name: str) -> pathlib.Path | None:
    """The file of a module of ours; that of `a.b` where `a.b.c` is something within it."""
    for module in (name, name.removesuffix(".py"), name.rpartition(".")[0]):
        base = root.joinpath(*module.split("."))
        for path in (base.with_suffix(".py"), base / "__init__.py"):
            if module and path.is_file():
                return path
    return None


def way_to_tensorflow(root: pathlib.Path, start: pathlib.Path) -> list[str]:
    """The files from `start` to one that imports TensorFlow or Keras; none if there is no way."""
    before: dict[pathlib.Path, pathlib.Path | None] = {start: None}
    waiting = [start]
    while waiting:
        path = waiting.pop(0)
        for name in sorted(_names(path)):
            if name.split(".")[0] in LIBRARIES:
                way: list[str] = []
                at: pathlib.Path | None = path
                while at is not None:
                    way.insert(0, at.relative_to(root).as_posix())
                    at = before[at]
                return way
            other = _file_of(root, name) if name.split(".")[0] in OURS else None
            if other is not None and other not in before:
                before[other] = path
                waiting.append(other)
    return []
