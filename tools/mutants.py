"""Mutation check: do the tests notice when one operator or number of the core is wrong?

    make mutants                                   # 200 mutants, a report on stdout
    .venv/bin/python -m tools.mutants --count=20 --module=resize --seed=3

Changes one place of one module, such as `<` to `<=` or 5 to 6, in memory only, and runs that
module's own fast tests. A mutant that no test notices shows a line that no test pins down.
Messages, annotations, assertions and the making of errors are left alone, and so are arguments
that only check or only make things faster (`strict=True`).

TensorFlow is imported once: every mutant is a fork of this process, which then imports the changed
module and runs pytest. So it needs a system that can fork, and takes seconds per mutant.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import importlib.machinery
import importlib.util
import os
import random
import select
import signal
import sys
import tempfile
import time
import types
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.mutant_tables import EXPLAINED, TESTS

ROOT = Path(__file__).resolve().parent.parent
# What the forks need in any case, and what no mutant is made of.
PREIMPORTED = (
    "tensorflow",
    "keras",
    "numpy",
    "PIL.Image",
    "pytest",
    "ml_collections",
    "absl.flags",
)

_COMPARISONS = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_OPERATORS = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Div,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
}
# Arguments that only check what is right anyway, or only make things faster.
_IDLE_KEYWORDS = frozenset(["strict", "maxsize", "stateful", "parallel_iterations"])
_CALLS = {"min": "max", "max": "min", "maximum": "minimum", "minimum": "maximum", "any": "all",
          "all": "any", "floor": "ceil", "ceil": "floor"}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """One change of a module.

    Attributes:
        path: of the module, from the root.
        number: of the place that is changed, in the order of `places`; None: nothing is.
        line: where that is.
        description: of the change.
    """

    path: str
    number: int | None
    line: int = 0
    description: str = "as it is"


def places(tree: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """Nodes that can be changed, each with what the change is, in a fixed order."""
    for node in _walk(tree):
        if isinstance(node, ast.Compare) and type(node.ops[0]) in _COMPARISONS:
            new = _COMPARISONS[type(node.ops[0])]
            yield node, f"{type(node.ops[0]).__name__} -> {new.__name__}"
        elif isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in _OPERATORS:
            other = _OPERATORS[type(node.op)]
            yield node, f"{type(node.op).__name__} -> {other.__name__}"
        elif isinstance(node, ast.BoolOp):
            yield node, "and <-> or"
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
            yield node, f"without {type(node.op).__name__}"
        elif isinstance(node, ast.IfExp):
            yield node, "condition reversed"
        elif isinstance(node, ast.Call) and _called(node) in _CALLS:
            yield node, f"{_called(node)} -> {_CALLS[_called(node)]}"
        elif isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float):
            yield node, f"{node.value!r} -> {_other(node.value)!r}"


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    """As ast.walk, depth first, without what tells people something or tells types."""
    if isinstance(node, ast.Raise | ast.Assert | ast.JoinedStr | ast.AnnAssign):
        value = getattr(node, "value", None)
        if isinstance(node, ast.AnnAssign) and value is not None:
            yield from _walk(value)
        return
    if isinstance(node, ast.Call) and _called(node) in ("log", "warn"):
        return
    if isinstance(node, ast.FunctionDef):
        # Neither decorators nor annotations.
        yield from (n for part in (*node.args.defaults, *node.body) for n in _walk(part))
        yield from (n for part in node.args.kw_defaults if part for n in _walk(part))
        return
    if isinstance(node, ast.ClassDef):
        yield from (n for part in node.body for n in _walk(part))
        return
    if isinstance(node, ast.keyword) and node.arg in _IDLE_KEYWORDS:
        return
    yield node
    for child in ast.iter_child_nodes(node):
        yield from _walk(child)


def _called(node: ast.Call) -> str:
    function = node.func
    return getattr(function, "id", "") or getattr(function, "attr", "")


def _other(value: bool | int | float) -> bool | int | float:
    if isinstance(value, bool):
        return not value
    # One more than a large number is often as good.
    small = isinstance(value, int) and abs(value) < 1000
    return value + 1 if small else (value * 2 or 1.0)


class _Change(ast.NodeTransformer):
    """Replaces one node, found by its identity."""

    def __init__(self, target: ast.AST):
        self._target = target

    def visit(self, node: ast.AST) -> ast.AST:
        """As generic_visit, but for the one node."""
        return _changed(node) if node is self._target else self.generic_visit(node)


def _changed(node: ast.AST) -> ast.AST:
    match node:
        case ast.UnaryOp():
            return node.operand
        case ast.Compare():
            node.ops[0] = _COMPARISONS[type(node.ops[0])]()
        case ast.BinOp() | ast.AugAssign():
            node.op = _OPERATORS[type(node.op)]()
        case ast.BoolOp():
            node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        case ast.IfExp():
            node.body, node.orelse = node.orelse, node.body
        case ast.Call(func=ast.Name() as function):
            function.id = _CALLS[function.id]
        case ast.Call(func=ast.Attribute() as function):
            function.attr = _CALLS[function.attr]
        case ast.Constant(value=bool() | int() | float() as value):
            node.value = _other(value)
    return node


def mutate(source: str, number: int) -> ast.Module:
    """The syntax tree of `source` with the place of that number changed."""
    tree = ast.parse(source)
    node, _ = list(places(tree))[number]
    _Change(node).visit(tree)
    ast.fix_missing_locations(tree)
    return tree


def all_mutants(path: str) -> list[Mutant]:
    """Every mutant of a module, by its path from the root."""
    tree = ast.parse((ROOT / path).read_text())
    return [
        Mutant(path, number, getattr(node, "lineno", 0), description)
        for number, (node, description) in enumerate(places(tree))
    ]


def sample(count: int, seed: int, words: Sequence[str] = ()) -> list[Mutant]:
    """`count` mutants of the modules whose path has one of `words` in it; no words: of all."""
    paths = [path for path in TESTS if not words or any(word in path for word in words)]
    mutants = [mutant for path in paths for mutant in all_mutants(path)]
    return random.Random(seed).sample(mutants, min(count, len(mutants)))


class _Loader(importlib.machinery.SourceFileLoader):
    """Loads a module from another file than its own."""

    changed: Path

    def get_code(self, fullname: str) -> types.CodeType:
        """The code of the other file, whatever lies in __pycache__."""
        return compile(self.changed.read_text(), str(self.changed), "exec")


class _Finder:
    """Finds one module, by its name, and makes it of a changed syntax tree.

    The tree is written to a file: AutoGraph reads the source of what it compiles again.
    """

    def __init__(self, path: str, tree: ast.Module, folder: str):
        self._name = path.removesuffix(".py").replace("/", ".")
        self._loader = _Loader(self._name, str(ROOT / path))
        self._loader.changed = Path(folder) / "changed.py"
        self._loader.changed.write_text(ast.unparse(tree))

    def find_spec(self, name: str, *_: object) -> importlib.machinery.ModuleSpec | None:
        """Python's question for every import."""
        if name != self._name:
            return None
        return importlib.util.spec_from_loader(name, self._loader)


def _run_tests(mutant: Mutant) -> int:
    """In a fork: the exit status of pytest."""
    import pytest

    # Of other packages that happen to be installed: they take longer to import than to test.
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        if mutant.number is not None:
            tree = mutate((ROOT / mutant.path).read_text(), mutant.number)
            sys.meta_path.insert(0, _Finder(mutant.path, tree, folder))
        options = ["-x", "-q", "-p", "no:cacheprovider", "-m", "not slow"]
        return int(pytest.main([*options, f"--basetemp={folder}/pytest", *TESTS[mutant.path]]))


@dataclass
class Fork:
    """A fork that runs tests.

    Attributes:
        mutant: what it tests.
        process: its number.
        handle: becomes readable when it ends.
        began: when, in seconds of `time.monotonic`.
    """

    mutant: Mutant
    process: int
    handle: int
    began: float


def start(mutant: Mutant) -> Fork:
    """Forks; the child runs the tests of a mutant, silently, and ends with pytest's status."""
    process = os.fork()
    if not process:
        status = 99
        with contextlib.suppress(BaseException):
            # A group of its own, which is ended whole.
            os.setsid()
            silence = os.open(os.devnull, os.O_RDWR)
            for descriptor in (0, 1, 2):
                os.dup2(silence, descriptor)
            status = _run_tests(mutant)
        os._exit(status)
    return Fork(mutant, process, os.pidfd_open(process), time.monotonic())


def wait(forks: Sequence[Fork], limit: float) -> tuple[Fork, int | None]:
    """The first fork that ends, and its status; None: it took more than `limit` seconds."""
    oldest = min(forks, key=lambda fork: fork.began)
    left = max(oldest.began + limit - time.monotonic(), 0)
    ended, _, _ = select.select([fork.handle for fork in forks], [], [], left)
    fork = next((fork for fork in forks if fork.handle in ended), oldest)
    if not ended:
        os.killpg(fork.process, signal.SIGKILL)
    _, status = os.waitpid(fork.process, 0)
    with contextlib.suppress(ProcessLookupError):
        # What the tests have left running.
        os.killpg(fork.process, signal.SIGKILL)
    os.close(fork.handle)
    return fork, os.waitstatus_to_exitcode(status) if ended else None


def check(mutants: Sequence[Mutant], jobs: int, limit: float) -> tuple[list[Mutant], int]:
    """Runs the tests of every mutant, a line each on stdout.

    The tests of a module run once without any change, before its first mutant.

    Returns:
        The mutants that no test noticed, and how many were run.

    Raises:
        RuntimeError: tests fail without any change, so that they cannot judge.
    """
    unchanged = {mutant.path: Mutant(mutant.path, None) for mutant in mutants}
    waiting: list[Mutant] = []
    for mutant in mutants:
        waiting += [unchanged.pop(mutant.path)] if mutant.path in unchanged else []
        waiting.append(mutant)
    waiting.reverse()
    running: list[Fork] = []
    survivors, done = [], 0
    while waiting or running:
        while waiting and len(running) < jobs:
            running.append(start(waiting.pop()))
        fork, status = wait(running, limit)
        running.remove(fork)
        mutant, seconds = fork.mutant, time.monotonic() - fork.began
        done += mutant.number is not None
        verdict = "too slow" if status is None else "survived" if status == 0 else "caught"
        place = f"{mutant.path}:{mutant.line}: {mutant.description}"
        print(f"{done:4} {verdict:8} {seconds:6.1f} s  {place}", flush=True)
        if mutant.number is None and status != 0:
            raise RuntimeError(f"{' '.join(TESTS[mutant.path])}: fail without any mutant")
        if mutant.number is not None and status == 0:
            survivors.append(mutant)
    return survivors, done


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the check; exit status 1: too few are caught, of those that make a difference."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--count", type=int, default=200, help="how many mutants to sample")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--jobs", type=int, default=1, help="how many at a time")
    parser.add_argument("--limit", type=float, default=180, help="seconds that one may take")
    parser.add_argument("--least", type=float, default=0.95, help="share that must be caught")
    parser.add_argument("--module", action="append", default=[], help="word in a path; repeatable")
    options = parser.parse_args(arguments)
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    mutants = sample(options.count, options.seed, options.module)
    for name in PREIMPORTED:
        __import__(name)
    try:
        survivors, done = check(mutants, options.jobs, options.limit)
    except RuntimeError as error:
        print(f"error: {error}")
        return 2
    explained = 0
    for mutant in sorted(survivors, key=lambda mutant: (mutant.path, mutant.line)):
        line = (ROOT / mutant.path).read_text().splitlines()[mutant.line - 1].strip()
        reason = EXPLAINED.get((line, mutant.description), "")
        explained += bool(reason)
        verdict = f"makes no difference ({reason})" if reason else "survived"
        print(f"{verdict}: {mutant.path}:{mutant.line}: {mutant.description}: {line}")
    caught, rest = done - len(survivors), done - explained
    print(f"{caught} of {rest} mutants caught ({caught / max(rest, 1):.1%})", end="")
    print(f"; {explained} more make no difference" if explained else "")
    return int(caught < options.least * rest)


if __name__ == "__main__":
    sys.exit(main())
