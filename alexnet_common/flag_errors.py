"""What absl says of a wrong flag, in the words of the flag itself."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from absl import flags

from alexnet_common.errors import one_line
from alexnet_common.suggestions import did_you_mean


def in_plain_words(error: flags.Error, flag_values: flags.FlagValues) -> str:
    """One line: which flag is wrong, and what would be right.

    Args:
        error: as parsing raised it.
        flag_values: the command's flags.
    """
    text = one_line(error)
    if isinstance(error, flags.UnrecognizedFlagError):
        # absl counts --noFLAG of truth values among the near misses too.
        near = did_you_mean(error.flagname, list(flag_values))
        if full := [key for key in _settings(flag_values) if key.endswith(f".{error.flagname}")]:
            near = f"; did you mean {' or '.join(full)}?"
        return f"there is no flag --{error.flagname}{_with_dashes(near)} (--help lists the flags)"
    if match := re.search(r"Flag --(\w+) must have a value other than None", text):
        flag = flag_values[match[1]]
        return f"--{match[1]} is missing: {_first_sentence(flag.help)} (--help lists the flags)"
    if match := re.match(r"flag --(\w+)=(.*?): ", text):
        flag = flag_values[match[1]]
        return f"--{match[1]} must be {_right(flag)}, not {match[2]!r}{_near(flag, match[2])}"
    if match := re.match(r"Missing value for flag -*(\w+)", text):
        return f"--{match[1]} needs a value: --{match[1]}=VALUE (--help lists the flags)"
    return f"{text} (--help lists the flags)"


def name_settings(flag: Any, names: Iterable[str]) -> None:
    """Names what may be written as a flag without being one, such as `config.data_dir`.

    Args:
        flag: the one that stands for them.
        names: without dashes.
    """
    flag.settings = tuple(names)


def _settings(flag_values: flags.FlagValues) -> list[str]:
    every = (getattr(flag_values[name], "settings", ()) for name in flag_values)
    return [setting for settings in every for setting in settings]


def _right(flag: Any) -> str:
    """What a flag takes, after "must be"."""
    choices = getattr(flag.parser, "enum_values", None)
    if choices:
        return " or ".join(choices) if len(choices) == 2 else f"one of {', '.join(choices)}"
    low, high = (getattr(flag.parser, f"{end}_bound", None) for end in ("lower", "upper"))
    kinds = {"int": "a whole number", "float": "a number", "bool": "true or false"}
    words = kinds.get(flag.flag_type(), flag.parser.syntactic_help or "a value it can read")
    if low is not None and high is not None:
        return f"{words} from {low:g} to {high:g}"
    if low is not None:
        return f"{words}, at least {low:g}"
    return words if high is None else f"{words}, at most {high:g}"


def _near(flag: Any, value: str) -> str:
    return did_you_mean(value, getattr(flag.parser, "enum_values", None) or ())


def _with_dashes(near: str) -> str:
    """`; did you mean A or B?` with the flags' dashes."""
    return re.sub(r"(mean|or) ([\w.]+)", r"\1 --\2", near)


def _first_sentence(text: str) -> str:
    sentence = re.split(r"(?<=[.;]) ", one_line(text))[0].rstrip(".;")
    return sentence[:1].lower() + sentence[1:]
