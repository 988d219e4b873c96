"""Errors for the people who run a command, and the exit statuses that go with them."""

from __future__ import annotations

FAILED = 1
WRONG_USAGE = 2
INTERRUPTED = 130


class UserError(Exception):
    """Bad input: one line that says what is wrong, where, and what would be right."""

    exit_status = FAILED


class UsageError(UserError):
    """A wrong flag, argument or config value."""

    exit_status = WRONG_USAGE


def one_line(message: object) -> str:
    """A message without its line breaks; of an error without words its kind, as "EOFError"."""
    text = " ".join(str(message).split())
    return text or (type(message).__name__ if isinstance(message, BaseException) else "")
