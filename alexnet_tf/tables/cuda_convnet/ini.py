"""The INI dialect of the 2012 files: that of Python 2's SafeConfigParser, with line numbers.

Python 3's `configparser` reads another dialect: it refuses repeated sections (which two of the 2012
parameter files have), and has neither `rem` comments nor the rule for comments after values.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from alexnet_common.errors import UserError

_SECTION = re.compile(r"\[([^]]+)\]")
_OPTION = re.compile(r"([^:=\s][^:=]*?)\s*[:=]\s*(.*)$")
_DEFAULTS = "DEFAULT"


class DefinitionError(UserError):
    """Something wrong or unsupported in a file; names the file, the line, section and key."""


@dataclass
class Option:
    """One value as written, its key as written, and the line that they stand in.

    `replaces` is the line of an earlier value of the same key, 0 where there is none.
    """

    value: str
    line: int
    name: str = ""
    replaces: int = 0


@dataclass
class Section:
    """The options of one section by their names in lower case, and which of them were read.

    `again` are the lines where the section begins again.
    """

    file: str
    name: str
    line: int
    again: list[int] = field(default_factory=list)
    options: dict[str, Option] = field(default_factory=dict)
    asked: set[str] = field(default_factory=set)

    def error(self, message: str, key: str = "") -> DefinitionError:
        """An error about this section, or about one of its keys."""
        option = self.options.get(key.lower())
        line = option.line if option else self.line
        value = f" {key}={cut(option.value)}" if option else f" {key}" if key else ""
        if option and "\n" in option.value:
            message += " (the indented lines below belong to this value)"
        if self.again:
            message += f" ({self.repeated()})"
        return DefinitionError(f"{self.file}:{line}: [{self.name}]{value}: {message}")

    def repeated(self) -> str:
        """Where the section begins, in words, for one that begins more than once."""
        lines = ", ".join(map(str, [self.line, *self.again[:-1]]))
        return f"[{self.name}] begins in lines {lines} and {self.again[-1]}, which are read as one"


def read(path: str, *, strict: bool = False) -> dict[str, Section]:
    """Sections of the file `path` in their order.

    Args:
        path: the file.
        strict: refuse what the 2012 code refused (a byte order mark).

    Raises:
        DefinitionError: there is no such file, or it is not in this dialect.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise DefinitionError(f"{path}: cannot be read: {error.strerror}") from error
    if b"\0" in data:
        raise DefinitionError(f"{path}: is not a text file (ASCII or UTF-8)")
    text = data.decode("utf-8", errors="replace")
    if not strict:
        text = text.removeprefix("\ufeff")
        # Lines of old editors end with a carriage return alone.
        text = text if "\n" in text else text.replace("\r", "\n")
    return parse(text, path)


def parse(text: str, file: str) -> dict[str, Section]:
    """Sections of `text` in their order; `file` is its name in errors.

    A section that comes again is merged into the first one; of a key that comes again the last
    value counts. Raises DefinitionError.
    """
    sections: dict[str, Section] = {}
    defaults = Section(file, _DEFAULTS, 0)
    section: Section | None = None
    option: Option | None = None
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip() or line[0] in "#;":
            continue
        if line[0] in "rR" and line.split(None, 1)[0].lower() == "rem":
            continue
        if line[0].isspace() and (option is None or _SECTION.fullmatch(line.strip())):
            raise DefinitionError(
                f"{file}:{number}: {_short(line)} is indented; sections, keys and comments "
                "begin in the first column"
            )
        if line[0].isspace() and option is not None:
            option.value += "\n" + line.strip()
            continue
        header = _SECTION.match(line)
        if header:
            name = header.group(1)
            if name == _DEFAULTS:
                section = defaults
            elif name in sections:
                section = sections[name]
                section.again.append(number)
            else:
                section = sections[name] = Section(file, name, number)
            option = None
        elif section is None:
            raise DefinitionError(f"{file}:{number}: {_short(line)} stands before any [section]")
        else:
            match = _OPTION.match(line.rstrip("\r"))
            if not match:
                raise DefinitionError(
                    f"{file}:{number}: [{section.name}] {_short(line)} is neither "
                    "key=value nor [section] nor a comment"
                )
            key = match.group(1).lower()
            earlier = section.options.get(key)
            option = Option(_value(match.group(2)), number, match.group(1))
            option.replaces = earlier.line if earlier else 0
            section.options[key] = option
    for section in sections.values():
        section.options = defaults.options | section.options
        for key in section.options:
            _interpolate(section, key, 0)
    return sections


def _value(text: str) -> str:
    # Only the first semicolon can begin a comment, and only after a blank.
    place = text.find(";")
    if place > 0 and text[place - 1].isspace():
        text = text[:place]
    text = text.strip()
    return "" if text == '""' else text


def _short(line: str) -> str:
    return repr(cut(line.strip()))


def cut(text: str) -> str:
    """A text as it stands in a message: not longer than a line."""
    return text if len(text) <= 60 else text[:60] + "..."


def unread(sections: dict[str, Section]) -> dict[str, tuple[Section, Option]]:
    """Keys that nothing read, with the first section and line that have them."""
    asked = {section.options[key].line for section in sections.values() for key in section.asked
             if key in section.options}  # fmt: skip
    first: dict[str, tuple[Section, Option]] = {}
    for section in sections.values():
        for key, option in section.options.items():
            # A key of [DEFAULT] need not mean something in every section.
            if key not in section.asked and option.line not in asked:
                first.setdefault(key, (section, option))
    return first


def _interpolate(section: Section, key: str, depth: int) -> str:
    """Puts other values in place of `%(name)s`, and % in place of %%."""
    option = section.options[key]
    if depth > 10:
        raise section.error("refers to itself", key)

    def substitute(match: re.Match[str]) -> str:
        if match.group(0) == "%%":
            return "%"
        name = (match.group(1) or "").lower()
        section.asked.add(name)
        if name not in section.options:
            raise section.error("a % must be %% or %(key of this section)s", key)
        return _interpolate(section, name, depth + 1)

    if "%" in option.value:
        value = re.sub(r"%%|%\(([^)]*)\)s|%", substitute, option.value)
        if depth == 0:
            section.options[key] = replace(option, value=value)
        return value
    return option.value
