"""What the second stack leaves out touches neither TensorFlow nor Keras."""

from __future__ import annotations

import ast
import pathlib

import pytest

from tests.helpers import second_stack


def left_out(repository: pathlib.Path, entries: tuple[str, ...]) -> list[pathlib.Path]:
    files = []
    for entry in entries:
        path = repository / entry
        files += sorted(path.rglob("test_*.py")) if path.is_dir() else [path]
    return files


def fixtures(path: pathlib.Path) -> set[str]:
    """Names of the fixtures that a conftest.py defines."""
    return {
        node.name
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef)
        and any("fixture" in ast.unparse(decorator) for decorator in node.decorator_list)
    }


def arguments(path: pathlib.Path) -> set[str]:
    """Names of the arguments of a file's functions: fixtures, where they are tests."""
    return {
        argument.arg
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
        for argument in node.args.args
    }


def test_files_left_out_reach_no_tensorflow(repository: pathlib.Path) -> None:
    files = left_out(repository, second_stack.WITHOUT_TENSORFLOW)
    assert len(files) > 20
    ways = [second_stack.way_to_tensorflow(repository, path) for path in files]
    assert [" -> ".join(way) for way in ways if way] == []


def test_files_left_out_take_no_fixture_made_with_tensorflow(repository: pathlib.Path) -> None:
    shared = fixtures(repository / "tests" / "conftest.py") - {"repository", "real_data"}
    assert {"data_dir", "workdir"} <= shared
    for path in left_out(repository, second_stack.WITHOUT_TENSORFLOW):
        assert arguments(path) & shared == set(), path


def test_entries_exist(repository: pathlib.Path) -> None:
    entries = (*second_stack.WITHOUT_TENSORFLOW, *second_stack.REPOSITORY)
    assert [entry for entry in entries if not (repository / entry).exists()] == []


@pytest.mark.parametrize(
    ("files", "way"),
    [
        ({"tests/test_a.py": "import numpy\n"}, []),
        ({"tests/test_a.py": "import tensorflow as tf\n"}, ["tests/test_a.py"]),
        (
            {
                "tests/test_a.py": "from data_prep.pixels import one\n",
                "data_prep/pixels/one.py": "def f():\n    from data_prep import two\n",
                "data_prep/two.py": "def f():\n    import keras\n",
            },
            ["tests/test_a.py", "data_prep/pixels/one.py", "data_prep/two.py"],
        ),
        # What it starts counts as well.
        (
            {
                "tests/test_a.py": 'COMMAND = ["-m", "alexnet_tf.train"]\n',
                "alexnet_tf/train.py": "from tensorflow import data\n",
            },
            ["tests/test_a.py", "alexnet_tf/train.py"],
        ),
    ],
)
def test_the_way_is_found(tmp_path: pathlib.Path, files: dict[str, str], way: list[str]) -> None:
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert second_stack.way_to_tensorflow(tmp_path, tmp_path / "tests/test_a.py") == way


def test_only_the_second_stacks_run_leaves_them_out() -> None:
    assert second_stack.is_left_out("tests/test_docs.py")
    assert second_stack.is_left_out("tests/tables/test_table.py")
    assert not second_stack.is_left_out("tests/model/test_build.py")
    assert not second_stack.is_left_out("tests/tables_of_another/test_a.py")
