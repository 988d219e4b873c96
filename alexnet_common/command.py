"""What every command of the project shares: flags, help, one-line errors, exit status.

A command is a module with `define_flags(flag_values)` and `main(flag_values, arguments)`. Its flags
live in a `FlagValues` of their own, so that one process (a test, a notebook) can import and call
many commands.

Exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted from the keyboard.
"""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Callable
from typing import NoReturn

from absl import flags

from alexnet_common import __version__, environment, flag_errors, help_page, installed, signals
from alexnet_common.errors import FAILED, INTERRUPTED, UsageError, UserError, one_line
from alexnet_common.messages import log

DefineFlags = Callable[[flags.FlagValues], None]
Main = Callable[[flags.FlagValues, list[str]], "int | None"]

# Seconds after which a key that was pressed has been heard of by the thread that listens.
_HEARD_WITHIN = 0.2
_STDOUT_GONE = "error: stdout cannot be written: "


def run(define_flags: DefineFlags, main: Main, doc: str | None) -> NoReturn:
    """Runs a command with the arguments of this process and exits with its status.

    Whoever prints a result that does not arrive has failed.
    """
    status = call(define_flags, main, doc, sys.argv[1:])
    try:
        sys.stdout.flush()
    except OSError as error:
        log(_STDOUT_GONE + str(error.strerror))
        # What could not be written must not be tried again, with a traceback, at Python's end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = status or FAILED
    sys.exit(status)


def run_until_interrupted(define_flags: DefineFlags, main: Main, doc: str | None) -> NoReturn:
    """As `run`, for commands that compute for long: Ctrl-C ends them within a second."""
    with signals.ends_on_interrupt() as pressed:
        try:
            status = call(define_flags, main, doc, sys.argv[1:])
        except Exception:
            if not pressed.wait(_HEARD_WITHIN):
                raise
            status = FAILED
        if status and status != INTERRUPTED and pressed.wait(_HEARD_WITHIN):
            log("interrupted")
            status = INTERRUPTED
    signals.leave(status)


def call(define_flags: DefineFlags, main: Main, doc: str | None, argv: list[str]) -> int:
    """Runs a command with `argv` (without the program's name) and returns its exit status."""
    environment.prepare_streams()
    flag_values = flags.FlagValues()
    flags.DEFINE_bool("help", False, "Show this help.", short_name="h", flag_values=flag_values)
    define_flags(flag_values)
    if "version" not in flag_values:  # A command may have another use for it.
        flags.DEFINE_bool(
            "version", False, "Print the version of this program and stop.", flag_values=flag_values
        )
    own = argv[: argv.index("--")] if "--" in argv else argv
    if any(argument in ("-h", "--h", "-help", "--help") for argument in own):
        print(help_page.text(flag_values, doc))
        return 0
    if own == ["--version"] or ("--version" in own and flag_values["version"].boolean):
        print(version())
        return 0
    try:
        arguments = _parse(flag_values, argv)
        return main(flag_values, arguments) or 0
    except UserError as error:
        log(f"error: {one_line(error)}")
        return error.exit_status
    except KeyboardInterrupt:
        log("interrupted")
        return INTERRUPTED
    except BrokenPipeError as error:
        log(_STDOUT_GONE + str(error.strerror))
        return FAILED
    except OSError as error:
        # A full disk, a missing permission: the system's own words and the file say it all.
        where = f": {error.filename}" if error.filename else ""
        if "usable temporary directory" in str(error.strerror):
            # What `tempfile` says; TensorFlow compiles Python by way of files.
            where = "; set TMPDIR to a folder that can be written"
        log(f"error: {error.strerror or error}{where}")
        return FAILED


def version() -> str:
    """The version of this program and of the libraries that decide what it computes."""
    parts = [f"Python {platform.python_version()}"]
    for name in ("tensorflow", "keras", "numpy"):
        if found := installed.version(name):
            parts.append(f"{name} {found}")
    return f"alexnet-tf {__version__} ({', '.join(parts)})"


def _parse(flag_values: flags.FlagValues, argv: list[str]) -> list[str]:
    # What follows "--" belongs to another command, which reads it itself.
    own = argv.index("--") if "--" in argv else len(argv)
    argv = [_as_override(flag_values, _from_home(word)) for word in argv[:own]] + argv[own:]
    _check_values(flag_values, argv[:own])
    try:
        return flag_values(["command", *argv])[1:]
    except flags.Error as error:
        raise UsageError(flag_errors.in_plain_words(error, flag_values)) from error


def _from_home(argument: str) -> str:
    """`--flag=~/x`, or a list of such, with the home folder: there no shell puts it in."""
    flag, equals, value = argument.partition("=")
    if not (equals and flag.startswith("-")):
        return argument
    parts = [
        os.path.expanduser(part) if part == "~" or part.startswith("~/") else part
        for part in value.split(",")
    ]
    return f"{flag}={','.join(parts)}"


def _check_values(flag_values: flags.FlagValues, argv: list[str]) -> None:
    """Refuses `--workdir --check`, which absl would take for a work folder called --check."""
    for argument, following in zip(argv, argv[1:], strict=False):
        name = argument.lstrip("-")
        if argument == name or name not in flag_values or flag_values[name].boolean:
            continue
        if re.match(r"--?[A-Za-z]", following):
            dashed = f"--{name}={following}"
            raise UsageError(
                f"--{name} needs a value; for one that begins with a dash write {dashed}"
            )


def _as_override(flag_values: flags.FlagValues, argument: str) -> str:
    """Rewrites `--NAME.key=value` to `--NAME_override=key=value` where that flag is defined."""
    match = re.fullmatch(r"--?(\w+)\.([^=]+)(=.*)?", argument, re.DOTALL)
    if match is None or f"{match[1]}_override" not in flag_values:
        return argument
    return f"--{match[1]}_override={match[2]}{match[3] or ''}"
