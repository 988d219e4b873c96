"""What every command of the project shares: flags, exit status, one-line errors, atomic files.

A command is a module with `define_flags(flag_values)` and `main(flag_values, arguments)`. Its flags
live in a `FlagValues` of their own, so that one process (a test, a notebook) can import and call
many commands.

Exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted from the keyboard.
"""

from __future__ import annotations

import contextlib
import glob
import importlib
import os
import re
import sys
import tempfile
from collections.abc import Callable
from typing import NoReturn

from absl import flags

DefineFlags = Callable[[flags.FlagValues], None]
Main = Callable[[flags.FlagValues, list[str]], "int | None"]

FAILED = 1
WRONG_USAGE = 2
INTERRUPTED = 130


class UserError(Exception):
    """Bad input: one line that says what is wrong, where, and what would be right."""

    exit_status = FAILED


class UsageError(UserError):
    """A wrong flag, argument or config value."""

    exit_status = WRONG_USAGE


def log(text: str) -> None:
    """Writes one line to stderr at once; stdout is kept for results that scripts read.

    A log that cannot be written (a full disk, a pipe whose reader is gone) ends no work of days.
    """
    # On a terminal the cursor may stand behind a progress bar, which is drawn again later.
    terminal = sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    with contextlib.suppress(OSError):
        print(f"\r\033[K{text}" if terminal else text, file=sys.stderr, flush=True)


def run(define_flags: DefineFlags, main: Main, doc: str | None) -> NoReturn:
    """Runs a command with the arguments of this process and exits with its status."""
    sys.exit(call(define_flags, main, doc, sys.argv[1:]))


def call(define_flags: DefineFlags, main: Main, doc: str | None, argv: list[str]) -> int:
    """Runs a command with `argv` (without the program's name) and returns its exit status."""
    flag_values = flags.FlagValues()
    flags.DEFINE_bool("help", False, "Show this help.", short_name="h", flag_values=flag_values)
    define_flags(flag_values)
    if any(argument in ("-h", "--h", "-help", "--help") for argument in argv):
        print(_help(flag_values, doc))
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
    except OSError as error:
        # A full disk, a missing permission: the system's own words and the file say it all.
        where = f": {error.filename}" if error.filename else ""
        log(f"error: {error.strerror or error}{where}")
        return FAILED


def _parse(flag_values: flags.FlagValues, argv: list[str]) -> list[str]:
    argv = [_as_override(flag_values, argument) for argument in argv]
    try:
        return flag_values(["command", *argv])[1:]
    except flags.Error as error:
        raise UsageError(f"{one_line(error)} (--help lists the flags)") from error


def _as_override(flag_values: flags.FlagValues, argument: str) -> str:
    """Rewrites `--NAME.key=value` to `--NAME_override=key=value` where that flag is defined."""
    match = re.fullmatch(r"--?(\w+)\.([^=]+)(=.*)?", argument, re.DOTALL)
    if match is None or f"{match[1]}_override" not in flag_values:
        return argument
    return f"--{match[1]}_override={match[2]}{match[3] or ''}"


def _help(flag_values: flags.FlagValues, doc: str | None) -> str:
    lines = [(doc or "").strip(), "", "Flags:"]
    seen = set()
    for name in sorted(flag_values):
        flag = flag_values[name]
        if flag.name in seen:
            continue
        seen.add(flag.name)
        default = "" if flag.default is None else f" [default: {flag.default_as_str}]"
        choices = getattr(flag.parser, "enum_values", None)
        kind = f" ({'|'.join(choices)})" if choices else ""
        lines.append(f"  --{flag.name}{kind}: {one_line(flag.help)}{default}")
    return "\n".join(lines)


def one_line(message: object) -> str:
    """A message without its line breaks."""
    return " ".join(str(message).split())


def write_atomically(path: str | os.PathLike[str], data: bytes) -> None:
    """Writes `data` to `path` so that the file is whole or is not there, also after a power cut.

    Raises:
        OSError: the disk is full or the folder cannot be written; `path` is left as it was.
    """
    folder = os.path.dirname(os.fspath(path)) or "."
    os.makedirs(folder, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(
        prefix=f".{os.path.basename(path)}.", suffix=".tmp", dir=folder
    )
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files private; the usual permissions are what others expect of output.
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
        sync_folder(folder)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise


def sync_folder(folder: str) -> None:
    """Makes a rename in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def import_tensorflow() -> None:
    """Imports TensorFlow without the notes that it writes to stderr whatever its settings say.

    Commands call this before they import modules that need TensorFlow. If the import fails,
    the notes are shown.
    """
    if not glob.glob("/dev/nvidia*") and not os.path.exists("/dev/dxg"):
        # Without a GPU driver every process would report a failed call into CUDA as an error.
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    if "tensorflow" in sys.modules:
        return
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as notes:
        os.dup2(notes.fileno(), 2)
        try:
            importlib.import_module("tensorflow")
        except BaseException:
            notes.seek(0)
            os.write(stderr, notes.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
