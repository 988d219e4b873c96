"""What must not be in the packages: ways for data to become code or to leave its folder."""

from __future__ import annotations

import ast
import pathlib

import pytest

PACKAGES = ("alexnet_common", "alexnet_tf", "data_prep")
# Where recipes, which are trusted programs, are run.
RUNS_RECIPES = "alexnet_tf/recipes.py"
# The reader that calls nothing but what rebuilds arrays: tests/weight_io/test_weight_files.py.
READS_PICKLES = "alexnet_tf/weight_io/pickles.py"
FORBIDDEN = {
    "eval": (),
    "exec": (),
    "compile": (),
    "__import__": (),
    "exec_module": (RUNS_RECIPES,),
    "pickle.load": (),
    "pickle.loads": (),
    "marshal.loads": (),
    "yaml.load": (),
    "os.system": (),
    "tempfile.mktemp": (),
    "extractall": (),
}


def offences(path: str, text: str) -> list[str]:
    """Calls in a file that are not allowed there, as "file:line: call"."""
    lines = []
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        for name, allowed in FORBIDDEN.items():
            bare = "." not in name and isinstance(node.func, ast.Attribute)
            hit = called == name or (
                bare and name in ("extractall", "exec_module") and node.func.attr == name
            )
            if hit and path not in allowed:
                lines.append(f"{path}:{node.lineno}: {called}")
        for keyword in node.keywords:
            value = keyword.value.value if isinstance(keyword.value, ast.Constant) else None
            if keyword.arg in ("shell", "allow_pickle") and value is not False:
                lines.append(f"{path}:{node.lineno}: {keyword.arg}")
        if called in ("np.load", "numpy.load") and not any(
            keyword.arg == "allow_pickle" for keyword in node.keywords
        ):
            lines.append(f"{path}:{node.lineno}: {called} without allow_pickle=False")
    return lines


def test_no_data_becomes_code(repository: pathlib.Path) -> None:
    found = [
        line
        for top in PACKAGES
        for path in sorted((repository / top).rglob("*.py"))
        for line in offences(path.relative_to(repository).as_posix(), path.read_text())
    ]
    assert found == []


def test_only_one_file_imports_pickle(repository: pathlib.Path) -> None:
    importing = [
        path.relative_to(repository).as_posix()
        for top in PACKAGES
        for path in (repository / top).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import)
        and any(a.name in ("pickle", "marshal", "shelve") for a in node.names)
    ]
    assert set(importing) <= {READS_PICKLES, "alexnet_tf/weight_io/pytorch.py"}


@pytest.mark.parametrize(
    "line",
    [
        "eval(text)",
        "pickle.loads(data)",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "subprocess.run(command, shell=True)",
        "archive.extractall(folder)",
        "spec.loader.exec_module(module)",
    ],
)
def test_the_rule_sees(line: str) -> None:
    assert len(offences("data_prep/some.py", f"def f():\n    {line}\n")) == 1


@pytest.mark.parametrize(
    "line", ["np.load(path, allow_pickle=False)", "re.compile(text)", "subprocess.run(command)"]
)
def test_the_rule_lets_pass(line: str) -> None:
    assert offences("data_prep/some.py", line) == []
