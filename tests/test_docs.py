"""What README and docs name exists, and what they tell to type is run by tests."""

from __future__ import annotations

import functools
import importlib.util
import pathlib
import re
import subprocess
import sys

import pytest
import yaml

from alexnet_tf import recipes
from tests.helpers import documented
from tools import docs_links

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
    text = page.read_text()
    code = "\n".join([*documented.CODE.findall(text), *re.findall(r"`[^`\n]+`", text)])
    assert sorted(set(TARGET.findall(code)) - targets) == []


def test_flags_in_commands_exist(page: pathlib.Path) -> None:
    unknown = []
    for command in documented.commands(page.read_text()):
        module = command.module
        verb = command.arguments[0] if module in WITH_VERBS and command.arguments else ""
        defined = flags_of(module, verb)
        for name in command.flags:
            plain = name.partition(".")[0]
            if not {plain, plain.removeprefix("no")} & defined:
                unknown.append(f"{module} {verb} --{name}")
    assert unknown == []


@pytest.fixture(scope="module")
def tests_of_commands(repository: pathlib.Path) -> dict[pathlib.Path, str]:
    """Files that start commands: the tests but this one, and what a test walks through."""
    walked = [repository / "tools" / "demo.sh", repository / "docs" / "own_photos.md"]
    paths = [*sorted((repository / "tests").rglob("*.py")), *walked]
    return {path: path.read_text() for path in paths if path != pathlib.Path(__file__)}


def starts(module: str, text: str) -> bool:
    """Whether a file names a command's module as one to run or import."""
    package, _, name = module.rpartition(".")
    imported = rf"from {re.escape(package)} import (?:\([^)]*|[^\n(]*)\b{name}\b"
    return module in text or re.search(imported, text) is not None


def test_commands_are_run_by_tests(
    page: pathlib.Path, tests_of_commands: dict[pathlib.Path, str]
) -> None:
    """Each with each of its flags, in a test file that starts it, or `<!-- not run: WHY -->`."""
    missing = []
    for command in documented.commands(page.read_text()):
        if command.not_run:
            continue
        texts = [text for text in tests_of_commands.values() if starts(command.module, text)]
        used = {name for text in texts for name in re.findall(r"--([\w.]+)", text)}
        if not texts:
            missing.append(command.module)
        missing += [
            f"{command.module} --{name}"
            for name in command.flags
            if name not in used and not name.startswith("config.")
        ]
    assert missing == []


def test_a_command_without_a_test_is_seen() -> None:
    text = "```bash\npython -m alexnet_tf.train --a=1 \\\n    --b # why\n```\n"
    (command,) = documented.commands(text)
    assert (command.module, command.flags, command.not_run) == ("alexnet_tf.train", ["a", "b"], "")
    (marked,) = documented.commands(f"<!-- not run: no data -->\n\n{text}")
    assert marked.not_run == "no data"
    (far,) = documented.commands(f"<!-- not run: no data -->\n\nText.\n\n{text}")
    assert far.not_run == ""
    assert starts("alexnet_tf.train", "from alexnet_tf import evaluate, train\n")
    assert not starts("alexnet_tf.train", "from alexnet_tf import train_loop\n")


def nav_pages(entry: object) -> list[str]:
    """The pages in a part of the site's navigation."""
    if isinstance(entry, str):
        return [entry]
    parts = entry.values() if isinstance(entry, dict) else entry
    assert isinstance(entry, dict | list)
    return [page for part in parts for page in nav_pages(part)]


def test_every_page_has_its_place_on_the_site(repository: pathlib.Path) -> None:
    site = yaml.safe_load((repository / "mkdocs.yml").read_text())
    pages = nav_pages(site["nav"])
    assert sorted(pages) == sorted(path.name for path in (repository / "docs").glob("*.md"))
    assert site["strict"] is True
    # From the disk a browser shows the list of a folder, not its index.html.
    assert site["use_directory_urls"] is False
    # Nothing is fetched from elsewhere to read a page.
    assert site["theme"]["font"] is False


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("See the [README](../README.md).", "See the [README](index.md)."),
        ("[deploy/slurm.sh](../deploy/slurm.sh) starts", "`deploy/slurm.sh` starts"),
        ("the [changelog](../CHANGELOG.md#a)", "the changelog (`CHANGELOG.md`)"),
        ("[data](data.md) and ![a](images/a.png)", "[data](data.md) and ![a](images/a.png)"),
    ],
)
def test_links_out_of_the_site(text: str, expected: str) -> None:
    assert docs_links.inside(text) == expected


@functools.cache
def flags_of(module: str, verb: str) -> set[str]:
    """What a command's own --help lists."""
    text = subprocess.run(
        [sys.executable, "-m", module, *([verb] if verb else []), "--help"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return set(re.findall(r"^  --(\w+):", text, re.MULTILINE)) | {"help"}


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


def test_photographs_are_not_put_into_arguments(page: pathlib.Path) -> None:
    """Linux takes 128 KiB per argument of a program; `echo` is the shell's own and has no limit."""
    lines = [line for line in page.read_text().splitlines() if "$(base64" in line]
    assert [line for line in lines if not line.startswith("echo ")] == []
