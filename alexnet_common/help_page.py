"""The page that `--help` prints, as wide as the terminal."""

from __future__ import annotations

import inspect
import re
import shutil
import textwrap
from typing import Any

from absl import flags

from alexnet_common.errors import one_line

# Narrower, words stand below one another; wider, the eye loses the line.
MIN_COLUMNS, MAX_COLUMNS = 40, 100

_COLUMNS = re.compile(r"\S {2,}\S")
# What absl adds to the help of such flags.
_REPEATED = re.compile(r"\.?;\s*repeat this option to specify a list of values$")


def text(flag_values: flags.FlagValues, doc: str | None, columns: int | None = None) -> str:
    """What a command does, and its flags.

    Args:
        flag_values: the flags.
        doc: docstring of the command. Its paragraphs fill the lines; what stands in columns or is
            indented keeps its lines; commands are broken as a shell reads them.
        columns: that a line may have; None: as many as the terminal has, or COLUMNS says.
    """
    if columns is None:
        columns = shutil.get_terminal_size().columns
    columns = max(MIN_COLUMNS, min(columns, MAX_COLUMNS))
    lines = [_about(doc or "", columns), "", "Flags:"]
    # Flags with short names are in there under both.
    for name in sorted({flag_values[name].name for name in flag_values}):
        lines.append(_fill(f"  --{name}: {_meaning(flag_values[name])}", columns, " " * 6))
    return "\n".join(lines)


def _meaning(flag: flags.Flag[Any]) -> str:
    words = _REPEATED.sub(" (may be given several times)", one_line(flag.help))
    choices = getattr(flag.parser, "enum_values", None)
    if choices:
        # absl puts them there itself, with a colon.
        kind = f"<{'|'.join(choices)}>"
        words = f"{kind} {words.removeprefix(f'{kind}: ')}"
    if flag.default is None or flag.default is False or flag.default in ("", []):
        return words
    return f"{words} [default: {str(flag.default_as_str).strip(chr(39))}]"


def _about(doc: str, columns: int) -> str:
    joined: list[str] = []
    for line in inspect.cleandoc(doc).splitlines():
        if joined and _goes_on(joined[-1], line):
            joined[-1] += f" {line.lstrip()}"
        else:
            joined.append(line)
    result = []
    for line in joined:
        fill = _broken if _is_code(line) else _fill
        result.append(fill(line, columns, _hanging(line)))
    return "\n".join(result)


def _goes_on(above: str, line: str) -> bool:
    """Whether a line goes on with the paragraph or the list's entry above it."""
    if not above.strip() or not line.strip() or _is_code(above):
        return False
    if line.startswith(" "):
        indent = len(line) - len(line.lstrip())
        return _COLUMNS.search(above) is not None and indent == len(_hanging(above))
    return not any(_COLUMNS.search(part) or part.startswith(" ") for part in (above, line))


def _hanging(line: str) -> str:
    """The blanks before the second line of one that is wrapped: below its last column."""
    indent = len(line) - len(line.lstrip())
    columns = None if _is_code(line) else _COLUMNS.search(line)
    return " " * (columns.end() - 1 if columns else indent)


def _fill(line: str, columns: int, hanging: str) -> str:
    if len(line) <= columns:
        return line
    return textwrap.fill(
        line, columns, subsequent_indent=hanging, break_long_words=False, break_on_hyphens=False
    )


def _broken(line: str, columns: int, indent: str) -> str:
    """A command whose lines end as a shell goes on with them, at its flags."""
    end = line.rfind(" --", len(indent) + 1, columns - 1)
    if len(line) <= columns or end < 0:
        return line
    begin, rest = line[:end], line[end + 1 :]
    indent = indent if begin.lstrip().startswith("--") else f"{indent}    "
    return f"{begin} \\\n{_broken(indent + rest, columns, indent)}"


def _is_code(line: str) -> bool:
    """Whether a line is to be copied as it stands: of what is indented, all but lists."""
    if not line.startswith(" "):
        return False
    return "python -m " in line or line.lstrip().startswith("--") or not _COLUMNS.search(line)
