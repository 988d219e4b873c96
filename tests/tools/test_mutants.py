"""The mutation check: what it changes, what it leaves alone, and what it reports."""

import ast
import subprocess
import sys

import pytest

from tools import mutants

SOURCE = """
def f(a: int = 3, *, flag: bool = True) -> int:
    if not flag and a < 5:
        raise ValueError("a" * 3 if a > 4 else f"{a + 1}")
    assert a != 7
    log(a * 2)
    cached = cache(f, maxsize=4096)
    return -min(a, 2.5) // 2
"""


def variants(source):
    count = len(list(mutants.places(ast.parse(source))))
    return [ast.unparse(mutants.mutate(source, number)) for number in range(count)]


def test_each_place_is_changed_alone():
    original = ast.unparse(ast.parse(SOURCE))
    changes = [
        ("a: int=3", "a: int=4"),
        ("flag: bool=True", "flag: bool=False"),
        ("not flag and a", "not flag or a"),
        ("not flag", "flag"),
        ("a < 5", "a <= 5"),
        ("a < 5", "a < 6"),
        ("-min(a, 2.5) // 2", "-min(a, 2.5) / 2"),
        ("-min(a, 2.5)", "min(a, 2.5)"),
        ("min(", "max("),
        ("2.5", "5.0"),
        ("// 2", "// 3"),
    ]
    assert sorted(variants(SOURCE)) == sorted(original.replace(*change) for change in changes)


def test_a_sample_is_drawn_by_its_seed_from_the_modules_that_are_named():
    one = mutants.sample(20, 0, ["resize"])
    assert len(one) == 20 and one == mutants.sample(20, 0, ["resize"])
    assert one != mutants.sample(20, 1, ["resize"])
    assert {mutant.path for mutant in one} <= {path for path in mutants.TESTS if "resize" in path}


@pytest.mark.parametrize("path", mutants.TESTS)
def test_modules_and_tests_are_there(repository, path):
    assert (repository / path).is_file()
    assert all((repository / tests).exists() for tests in mutants.TESTS[path])


COMMAND = """
import pathlib, sys
from tools import mutants
mutants.ROOT = pathlib.Path(sys.argv[1])
mutants.TESTS = {"core.py": ("test_core.py",)}
mutants.PREIMPORTED = ()
sys.exit(mutants.main(sys.argv[2:]))
"""
CORE = """
def clamp(x):
    while x < 0:
        x = x + 1
    return x
"""


def checked(folder, repository, *arguments):
    return subprocess.run(
        [sys.executable, "-c", COMMAND, str(folder), *arguments],
        cwd=repository, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def test_the_report_names_what_no_test_noticed(tmp_path, repository):
    (tmp_path / "core.py").write_text(CORE)
    test = "from core import clamp\n\ndef test_clamp():\n    assert clamp(-2) == 0\n"
    (tmp_path / "test_core.py").write_text(test)
    # 0 -> 1 gives 1, - for + never ends, 1 -> 2 gives 0 as well; so does <= for <: 1.
    done = checked(tmp_path, repository, "--limit=20", "--jobs=2")
    lines = done.stdout.splitlines()
    assert done.returncode == 1, done.stderr
    assert lines[-2:] == [
        "survived: core.py:4: 1 -> 2: x = x + 1",
        "3 of 4 mutants caught (75.0%)",
    ]
    assert sum(" too slow " in line for line in lines) == 1
    assert checked(tmp_path, repository, "--limit=20", "--jobs=2", "--least=0.75").returncode == 0


def test_those_who_read_the_source_see_the_change(tmp_path, repository):
    """AutoGraph compiles what inspect gives it, not the code that was imported."""
    (tmp_path / "core.py").write_text("def one():\n    return 1\n")
    test = "from core import one\nfrom inspect import getsource\n\n"
    test += "def test_it():\n    assert getsource(one).endswith('return 1\\n')\n"
    (tmp_path / "test_core.py").write_text(test)
    assert checked(tmp_path, repository).stdout.splitlines()[-1] == "1 of 1 mutants caught (100.0%)"


def test_what_makes_no_difference_does_not_count(tmp_path, repository, monkeypatch):
    (tmp_path / "core.py").write_text("def double(x):\n    return x * 2 if x >= 0 else x + x\n")
    test = "from core import double\n\ndef test_it():\n    assert double(3) == 6 == -double(-3)\n"
    (tmp_path / "test_core.py").write_text(test)
    line = "return x * 2 if x >= 0 else x + x"
    reason = f"mutants.EXPLAINED = {{({line!r}, 'GtE -> Gt'): 'x + x is x * 2'}}\nsys.exit("
    monkeypatch.setattr(sys.modules[__name__], "COMMAND", COMMAND.replace("sys.exit(", reason))
    done = checked(tmp_path, repository, "--limit=20", "--jobs=2")
    lines = done.stdout.splitlines()
    change = f"makes no difference (x + x is x * 2): core.py:2: GtE -> Gt: {line}"
    assert change in lines and lines[-1].endswith("; 1 more make no difference")


@pytest.mark.parametrize("place", mutants.EXPLAINED)
def test_lines_that_are_explained_are_there(repository, place):
    text = "".join((repository / path).read_text() for path in mutants.TESTS)
    assert place[0] in text


def test_tests_that_fail_anyway_cannot_judge(tmp_path, repository):
    (tmp_path / "core.py").write_text(CORE)
    (tmp_path / "test_core.py").write_text("def test_nothing():\n    assert False\n")
    done = checked(tmp_path, repository, "--count=1")
    assert done.returncode == 2
    assert "error: test_core.py: fail without any mutant" in done.stdout
