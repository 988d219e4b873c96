"""What the commands that generate a page of docs/ share: write it, or check that it is of today."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from absl import flags

from alexnet_common import files
from alexnet_common.errors import UsageError, UserError


def define_flags(flag_values: flags.FlagValues) -> None:
    """Defines `--output` and `--check`."""
    flags.DEFINE_string("output", None, "Write the page to this file.", flag_values=flag_values)
    flags.DEFINE_string(
        "check", None, "Fail if this file is not the page of today.", flag_values=flag_values
    )


def main(
    page: Callable[[], str], module: str, flag_values: flags.FlagValues, arguments: list[str]
) -> int:
    """Prints, writes or checks a page.

    Args:
        page: makes it.
        module: its command, for the line that says how to renew it.
    """
    if arguments:
        raise UsageError(f"unexpected argument {arguments[0]!r}")
    text = page()
    if flag_values.check:
        path = Path(flag_values.check)
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            raise UserError(f"{path} is out of date; python -m {module} --output={path} renews it")
    elif flag_values.output:
        files.write_atomically(flag_values.output, text.encode())
    else:
        print(text, end="")
    return 0
