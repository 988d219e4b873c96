"""What README and docs name exists: links, files, modules, make targets, flags, config keys."""

from __future__ import annotations

import functools
import importlib.util
import pathlib
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator

import pytest

from alexnet_tf import config as recipes

PAGES = ("README.md", *(f"docs/{path.name}" for path in pathlib.Path("docs").glob("*.md")))
LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)")
# Paths in backticks that begin with a folder of the repository.
NAMED_FILE = re.compile(
    r"`((?:alexnet_common|alexnet_tf|data_prep|configs|tests|tools|deploy|docs|constraints)"
    r"/[\w./-]*)`"
)
MODULE = re.compile(r"python -m ((?:alexnet_tf|data_prep|tests|tools)(?:\.\w+)*)")
TARGET = re.compile(r"`?\bmake ([a-z][a-z-]+)\b(?=[`\s])")
# Commands whose first argument picks what they do, each with flags of its own.
WITH_VERBS = (
    "alexnet_tf.weights",
    "alexnet_tf.benchmark",
    "alexnet_tf.retrieve",
    "alexnet_tf.figures",
)
CODE = re.compile(r"```(?:bash|sh|console)?\n(.*?)```", re.DOTALL)


@pytest.fixture(params=PAGES)
def page(request: pytest.FixtureRequest, repository: pathlib.Path) -> pathlib.Path:
    return repository / request.param


def anchors(text: str) -> set[str]:
    """GitHub's anchors of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_lead_somewhere(page: pathlib.Path) -> None:
    broken = []
    for target, anchor in LINK.findall(page.read_text()):
        if "://" in target:
            continue
        other = page.parent / target if target else page
        if not other.exists() or (
            anchor and other.suffix == ".md" and anchor not in anchors(other.read_text())
        ):
            broken.append(f"{target}#{anchor}")
    assert broken == []


def test_named_files_exist(page: pathlib.Path, repository: pathlib.Path) -> None:
    named = set(NAMED_FILE.findall(page.read_text()))
    assert sorted(name for name in named if not (repository / name).exists()) == []


def test_named_modules_exist(page: pathlib.Path) -> None:
    modules = set(MODULE.findall(page.read_text()))
    assert sorted(m for m in modules if importlib.util.find_spec(m) is None) == []


def test_named_make_targets_exist(page: pathlib.Path, repository: pathlib.Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (repository / "Makefile").read_text(), re.MULTILINE))
    code = "\n".join([*CODE.findall(page.read_text()), *re.findall(r"`[^`\n]+`", page.read_text())])
    assert sorted(set(TARGET.findall(code)) - targets) == []


def commands(text: str) -> Iterator[tuple[str, list[str]]]:
    """(module, arguments) of every `python -m` command in code blocks."""
    for block in CODE.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            for match in re.finditer(r"python -m ((?:alexnet_tf|data_prep)\.\w+)([^|;&>]*)", line):
                try:
                    yield match[1], shlex.split(match[2], comments=True)
                except ValueError:
                    yield match[1], match[2].split()


def flag_names(arguments: list[str]) -> list[str]:
    """Names of flags, without values; what follows `--` belongs to another command."""
    own = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return [argument.lstrip("-").partition("=")[0] for argument in own if argument.startswith("--")]


def test_flags_in_commands_exist(page: pathlib.Path) -> None:
    unknown = []
    for module, arguments in commands(page.read_text()):
        verb = arguments[0] if module in WITH_VERBS and arguments else ""
        defined = flags_of(module, verb)
        for name in flag_names(arguments):
            plain = name.partition(".")[0]
            if not {plain, plain.removeprefix("no")} & defined:
                unknown.append(f"{module} {verb} --{name}")
    assert unknown == []


@functools.cache
def flags_of(module: str, verb: str) -> set[str]:
    """What a command's own --help lists."""
    text = subprocess.run(
        [sys.executable, "-m", module, *([verb] if verb else []), "--help"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return set(re.findall(r"^ *--(\w+)", text, re.MULTILINE)) | {"help"}


def test_config_keys_in_commands_exist(page: pathlib.Path) -> None:
    configs = [recipes.load(name) for name in ("default", *recipes.recipe_names())]
    unknown = []
    for key in re.findall(r"--config\.([\w.]+)(?==)", page.read_text()):
        # A network's options depend on its name, which only the recipe knows.
        if key.startswith("network.") or key in ("section.key", "KEY"):
            continue
        if not any(has_key(config, key) for config in configs):
            unknown.append(key)
    assert unknown == []


def has_key(config: recipes.ConfigDict, key: str) -> bool:
    first, _, rest = key.partition(".")
    return first in config and (not rest or has_key(config[first], rest))


def test_readme_lines_fit_a_page(repository: pathlib.Path) -> None:
    lines = (repository / "README.md").read_text().splitlines()
    assert len(lines) < 160
    prose = [line for line in lines if not line.startswith(("|", "["))]
    assert [line for line in prose if len(line) > 105] == []
