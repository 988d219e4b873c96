"""The commands of a package: `python -m PACKAGE` lists them, `python -m PACKAGE NAME` runs one."""

from __future__ import annotations

import ast
import importlib.util
import pkgutil
import runpy
import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NoReturn

from absl import flags

from alexnet_common import command
from alexnet_common.errors import UsageError
from alexnet_common.suggestions import did_you_mean


def commands(folders: Iterable[str]) -> dict[str, str]:
    """The commands of a package by name, with the first line of what they say of themselves.

    Modules that can be run: none is imported, since that can take seconds.

    Args:
        folders: the package's `__path__`.
    """
    summaries = {}
    for module in pkgutil.iter_modules(list(folders)):
        path = Path(module.module_finder.path) / f"{module.name}.py"  # type: ignore[union-attr]
        if module.ispkg or module.name.startswith("_") or not path.is_file():
            continue
        source = path.read_text(encoding="utf-8")
        if '\nif __name__ == "__main__":\n' in source:
            doc = ast.get_docstring(ast.parse(source)) or ""
            summaries[module.name] = doc.partition("\n")[0]
    return summaries


def text(program: str, about: str, listed: Mapping[str, str], columns: int | None = None) -> str:
    """The list for people.

    Args:
        program: how it is called: "python -m PACKAGE", or the name of a console script.
        about: what it is; the first line is shown.
        listed: what `commands` found.
        columns: that a line may have; None: a command has one line, for programs that read them.
    """
    between = "." if program.startswith("python -m ") else " "
    width = max(map(len, listed))
    lines = [about.strip().partition("\n")[0], "", "Commands:"]
    for name, line in listed.items():
        start = f"  {program}{between}{name:{width}}  "
        # Narrower, the words would stand below one another.
        if columns is None or columns < len(start) + 20:
            lines.append(start + line)
        else:
            lines.append(textwrap.fill(start + line, columns, subsequent_indent=" " * len(start)))
    return "\n".join([*lines, "", f"{program}{between}COMMAND --help says more."])


def run(program: str, packages: Iterable[str], about: str | None) -> NoReturn:
    """Runs the command that the first argument names, or prints the list.

    Args:
        program: as for `text`.
        packages: names of packages; of commands of the same name the first package's counts.
        about: as for `text`.
    """
    modules: dict[str, str] = {}
    listed: dict[str, str] = {}
    for package in packages:
        spec = importlib.util.find_spec(package)
        folders = spec.submodule_search_locations if spec else None
        for name, line in commands(folders or []).items():
            if name not in listed:
                modules[name], listed[name] = f"{package}.{name}", line
    if sys.argv[1:]:
        name = sys.argv[1].replace("-", "_")
        if name in modules:
            _run_module(modules[name])

    def main(flag_values: flags.FlagValues, arguments: list[str]) -> None:
        if not arguments:
            print(page)
            return
        name = arguments[0]
        raise UsageError(
            f"there is no command {name!r}{did_you_mean(name, listed)} ({program} lists the "
            "commands)"
        )

    def define_flags(flag_values: flags.FlagValues) -> None:
        """None of its own."""

    columns = shutil.get_terminal_size().columns if sys.stdout and sys.stdout.isatty() else None
    page = text(program, about or "", listed, columns)
    command.run(define_flags, main, page)


def _run_module(module: str) -> NoReturn:
    """As `python -m MODULE` with this process' other arguments."""
    del sys.argv[1]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
    sys.exit(0)
