"""Prints or checks docs/settings.md: every config key, what it means, and what it may be.

Example:
  python -m tools.settings --output=docs/settings.md
  python -m tools.settings --check=docs/settings.md

The tables are made from alexnet_tf/settings, configs/default.py and the networks in
alexnet_tf/tables.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import re
from collections.abc import Iterable, Mapping
from typing import Any

from alexnet_common import command
from alexnet_tf import recipes
from alexnet_tf.settings import checks
from alexnet_tf.settings.catalog import SETTINGS
from alexnet_tf.settings.setting import Setting
from alexnet_tf.tables import table
from tools import generated_page

_INTRODUCTION = """# Settings

Made by `python -m tools.settings --output=docs/settings.md` from `alexnet_tf/settings`,
`configs/default.py` and the networks in `alexnet_tf/tables`; a test fails when it is out of date.

`--config.KEY=VALUE` changes one on the command line. Whether a run may be resumed with another
value is in the last column: **yes** (it computes the same bits), **up to rounding** (the same
numbers, added up in another order; the run says so), or **no** (it would be another run, and is
refused).

"""

_NETWORK = """## network

`network.name` picks a network; its options follow it. `--print_network` shows what they make of
it. None of them may change when a run resumes.

"""
# Its options are read from files, and described with them.
_ELSEWHERE = {
    "cuda_convnet": "Krizhevsky's definition files of 2012: see "
    "[definition_files.md](definition_files.md)."
}


def page() -> str:
    """The whole page as Markdown."""
    defaults = dict(checks.values(recipes.load("default")))
    sections: dict[str, list[Setting]] = {}
    for setting in SETTINGS.values():
        section = setting.key.rpartition(".")[0]
        sections.setdefault("" if section == "promised" else section, []).append(setting)
    parts = [_INTRODUCTION]
    for section, settings in sections.items():
        parts.append(f"## {section or 'The run'}\n\n")
        rows = [_row(setting, defaults[setting.key], section) for setting in settings]
        parts.append(_table(("key", "default", "meaning", "may be", "resume"), rows))
        if not section:
            parts.append(_NETWORK + "".join(_network(name) for name in table.RECIPES))
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


def _row(setting: Setting, default: Any, section: str) -> list[str]:
    key = setting.key.removeprefix(f"{section}.")
    return [
        f"`{key}`",
        _code(default),
        setting.meaning,
        _may_be(setting, default),
        setting.resume.value,
    ]


def _may_be(setting: Setting, default: Any) -> str:
    if setting.choices:
        return "<br>".join(
            f"{_code(choice)}: {meaning}" for choice, meaning in setting.choices.items()
        )
    if setting.form:
        return setting.form.words
    kinds = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
    return ", ".join(part for part in (kinds[type(default)], setting.limits()) if part)


def _network(name: str) -> str:
    """One network's options: names, defaults, and what its docstring says of them."""
    lines = [f"### network.name={name}\n\n"]
    if name in _ELSEWHERE:
        return f"{lines[0]}{_ELSEWHERE[name]}\n\n"
    defaults = table.options(name)
    module, _, function = table.RECIPES[name].partition(":")
    maker = getattr(importlib.import_module(module), function)
    lines.append(f"{inspect.cleandoc(maker.__doc__).splitlines()[0]}\n\n")
    rows = [
        [
            ", ".join(f"`{option}`" for option in options),
            ", ".join(_code(defaults[option]) for option in options),
            meaning,
        ]
        for options, meaning in documented(maker.__doc__)
        if "num_classes" not in options
    ]
    return "".join(lines) + _table(("option", "default", "meaning"), rows) + "\n"


def documented(doc: str) -> list[tuple[list[str], str]]:
    """The arguments that a docstring describes: (names, meaning) as they stand in it."""
    entries: list[tuple[list[str], str]] = []
    described = False
    for line in inspect.cleandoc(doc).splitlines():
        if not line.startswith(" "):
            described = line in ("Args:", "Attributes:")
        elif described and (match := re.match(r"    (\w+(?:, \w+)*): (.*)", line)):
            entries.append((match[1].split(", "), match[2]))
        elif described:
            names, meaning = entries[-1]
            entries[-1] = (names, f"{meaning} {line.strip()}")
    return entries


def _table(heading: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [heading, ["---"] * len(list(heading)), *rows]
    return "".join(f"| {' | '.join(_cell(cell) for cell in line)} |\n" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _code(value: Any) -> str:
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, Mapping | list | tuple) and value and not _short(value):
        return "see `configs/default.py`"
    return (
        f"`{value!r}`" if isinstance(value, tuple | list) else f"`{value}`" if value != "" else ""
    )


def _short(value: Any) -> bool:
    return len(repr(value)) < 60


main = functools.partial(generated_page.main, page, "tools.settings")


def run() -> None:
    """Console entry point."""
    command.run(generated_page.define_flags, main, __doc__)


if __name__ == "__main__":
    run()
