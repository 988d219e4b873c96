"""The order of the folders: who may import whom. docs/architecture.md shows the same picture."""

from __future__ import annotations

import ast
import pathlib
from collections.abc import Iterator

import pytest

# From the ground up: a room imports rooms before it, and files of its own.
ORDER = (
    "alexnet_common",
    "data_prep/dataset.py",
    "data_prep/sources",
    "data_prep/pixels",
    "data_prep/shards",
    "data_prep",
    "alexnet_tf/tables",
    "alexnet_tf/settings",
    "alexnet_tf/recipes.py",
    "alexnet_tf/config.py",
    "alexnet_tf/pictures",
    "alexnet_tf/model",
    "alexnet_tf/weight_io",
    "alexnet_tf/input",
    "alexnet_tf/devices",
    "alexnet_tf/optim",
    "alexnet_tf/runs",
    "alexnet_tf/evaluation",
    "alexnet_tf/inference",
    "alexnet_tf/retrieval",
    "alexnet_tf/analysis",
    "alexnet_tf/claims",
    "alexnet_tf/train_loop",
    "alexnet_tf/serving",
    "alexnet_tf/benchmarks",
    "alexnet_tf",
    "tools",
)
TOPS = ("alexnet_common", "data_prep", "alexnet_tf", "tools")
# What the trainer takes from the converter: the dataset's format and the pixels' rule.
SHARED_WITH_THE_TRAINER = ("data_prep/dataset.py", "data_prep/pixels")
# Measures the converter itself.
MEASURES_THE_CONVERTER = "alexnet_tf/benchmarks/convert.py"
LARGEST_SHARE = 1 / 5


def room_of(path: str) -> str:
    """The room of a file: the longest entry of ORDER that it lies in."""
    rooms = [room for room in ORDER if path == room or path.startswith(f"{room}/")]
    return max(rooms, key=len)


def sources(root: pathlib.Path) -> dict[str, str]:
    """Python files by their path from the root."""
    return {
        path.relative_to(root).as_posix(): path.read_text()
        for top in TOPS
        for path in sorted((root / top).rglob("*.py"))
    }


def imports(path: str, text: str, files: dict[str, str]) -> Iterator[str]:
    """Files of ours that a file imports, anywhere in it."""

    def file_of(module: str) -> str | None:
        name = module.replace(".", "/")
        return next((f for f in (f"{name}.py", f"{name}/__init__.py") if f in files), None)

    for node in ast.walk(ast.parse(text)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert not node.level, f"{path}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            found = file_of(name) or file_of(name.rpartition(".")[0])
            if found and found != path:
                yield found


def upward(files: dict[str, str]) -> list[str]:
    """Imports against the order, as "FILE imports FILE"."""
    lines = []
    for path, text in files.items():
        for other in imports(path, text, files):
            if ORDER.index(room_of(other)) > ORDER.index(room_of(path)):
                lines.append(f"{path} imports {other}")
    return lines


def circles(files: dict[str, str]) -> list[str]:
    """A circle of imports among files, if there is one."""
    graph = {path: set(imports(path, text, files)) for path, text in files.items()}
    finished: set[str] = set()

    def visit(path: str, trail: tuple[str, ...]) -> list[str]:
        if path in trail:
            return [" -> ".join((*trail[trail.index(path) :], path))]
        if path in finished:
            return []
        circle = [line for other in sorted(graph[path]) for line in visit(other, (*trail, path))]
        finished.add(path)
        return circle

    return [line for path in sorted(graph) for line in visit(path, ())]


def shares(files: dict[str, str]) -> dict[str, float]:
    """Each folder's part of all lines; files in its subfolders are theirs."""
    lines = {path: len(text.splitlines()) for path, text in files.items()}
    total = sum(lines.values())
    found: dict[str, float] = {}
    for path, number in lines.items():
        folder = path.rpartition("/")[0]
        found[folder] = found.get(folder, 0.0) + number / total
    return found


@pytest.fixture(scope="module")
def files(repository: pathlib.Path) -> dict[str, str]:
    return sources(repository)


def test_imports_run_downwards(files: dict[str, str]) -> None:
    assert upward(files) == []


def test_there_is_no_circle(files: dict[str, str]) -> None:
    assert circles(files) == []


def test_no_folder_is_a_corridor(files: dict[str, str]) -> None:
    assert {f: s for f, s in shares(files).items() if s > LARGEST_SHARE} == {}


def test_the_trainer_takes_only_format_and_pixels_from_the_converter(
    files: dict[str, str],
) -> None:
    taken = {
        (path, other)
        for path, text in files.items()
        if path.startswith("alexnet_tf/") and path != MEASURES_THE_CONVERTER
        for other in imports(path, text, files)
        if other.startswith("data_prep/") and room_of(other) not in SHARED_WITH_THE_TRAINER
    }
    assert taken == set()


def test_tables_and_the_common_ground_need_no_tensorflow(files: dict[str, str]) -> None:
    needing = [
        path
        for path, text in files.items()
        if room_of(path)
        in ("alexnet_common", "alexnet_tf/tables", "alexnet_tf/settings", "alexnet_tf/recipes.py")
        and any(
            name.split(".")[0] in ("tensorflow", "keras")
            for node in ast.parse(text).body
            for name in (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
        )
    ]
    assert needing == []


def test_only_devices_know_what_a_strategy_is(files: dict[str, str]) -> None:
    making = [
        path
        for path, text in files.items()
        if "Strategy(" in text and room_of(path) != "alexnet_tf/devices"
    ]
    assert making == []


def test_breaking_the_order_is_noticed() -> None:
    broken = {
        "alexnet_tf/tables/table.py": "from alexnet_tf.train_loop import loop\n",
        "alexnet_tf/train_loop/loop.py": "def f():\n    from alexnet_tf.tables import table\n",
    }
    assert upward(broken) == ["alexnet_tf/tables/table.py imports alexnet_tf/train_loop/loop.py"]
    assert circles(broken) == [
        "alexnet_tf/tables/table.py -> alexnet_tf/train_loop/loop.py -> alexnet_tf/tables/table.py"
    ]
