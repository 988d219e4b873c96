"""Commands that README and docs show in their code blocks."""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Iterator

# What stands directly before a block that no test runs.
NOT_RUN = re.compile(r"<!-- not run: (.+?) -->\n+\Z")
CODE = re.compile(r"```(?:bash|sh|console)?\n(.*?)```", re.DOTALL)
_COMMAND = re.compile(r"python -m ((?:alexnet_tf|data_prep)\.\w+)([^|;&>]*)")


@dataclasses.dataclass(frozen=True)
class Command:
    """One `python -m` command.

    Attributes:
        module: what is run.
        arguments: what follows it.
        not_run: why no test runs it; "" where one must.
    """

    module: str
    arguments: tuple[str, ...]
    not_run: str = ""

    @property
    def flags(self) -> list[str]:
        """Names of flags, without values; what follows `--` belongs to another command."""
        arguments = list(self.arguments)
        own = arguments[: arguments.index("--")] if "--" in arguments else arguments
        return [part.lstrip("-").partition("=")[0] for part in own if part.startswith("--")]


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """(content, reason why it is not run or "") of the code blocks of a page."""
    for match in CODE.finditer(text):
        marked = NOT_RUN.search(text[: match.start()])
        yield match[1], marked[1] if marked else ""


def commands(text: str) -> Iterator[Command]:
    """The `python -m` commands in the code blocks of a page, in their order."""
    for block, reason in blocks(text):
        for line in block.replace("\\\n", " ").splitlines():
            for match in _COMMAND.finditer(line):
                try:
                    arguments = shlex.split(match[2], comments=True)
                except ValueError:
                    arguments = match[2].split()
                yield Command(match[1], tuple(arguments), reason)
