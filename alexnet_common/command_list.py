"""The commands of a package, as `python -m PACKAGE` prints them."""

from __future__ import annotations

import ast
import pkgutil
from collections.abc import Iterable
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


def text(package: str, about: str, listed: dict[str, str]) -> str:
    """The list for people."""
    width = max(map(len, listed))
    lines = [about.strip().partition("\n")[0], "", "Commands:"]
    lines += [f"  python -m {package}.{name:{width}}  {line}" for name, line in listed.items()]
    return "\n".join([*lines, "", f"python -m {package}.COMMAND --help says more."])


def run(package: str, folders: Iterable[str], about: str | None) -> NoReturn:
    """What `python -m PACKAGE` does: prints the list, or says how a command is called."""
    listed = commands(folders)
    page = text(package, about or "", listed)

    def main(flag_values: flags.FlagValues, arguments: list[str]) -> None:
        if not arguments:
            print(page)
            return
        name = arguments[0]
        if name in listed:
            raise UsageError(f"commands are modules: python -m {package}.{name}")
        raise UsageError(
            f"there is no command {name!r}{did_you_mean(name, listed)} "
            f"(python -m {package} lists the commands)"
        )

    def define_flags(flag_values: flags.FlagValues) -> None:
        """None of its own."""

    command.run(define_flags, main, page)
