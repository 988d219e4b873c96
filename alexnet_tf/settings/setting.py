"""What is said about one config key, and what follows from it: parsing, checking, words."""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Callable, Mapping
from typing import Any

from alexnet_common.errors import UsageError
from alexnet_common.suggestions import did_you_mean

AUTO = "what was measured to be fastest where the run begins, and said there"


class Resume(enum.Enum):
    """Whether a run may go on with another value."""

    REFUSED = "no"
    """The value decides what the run computes."""
    ROUNDING = "up to rounding"
    """It says where and how the run computes: the same but for the order of additions."""
    FREE = "yes"
    """It says how the run is watched, prepared and kept: the same bits."""


@dataclasses.dataclass(frozen=True)
class Form:
    """What a value that is not a single number or word must look like.

    Attributes:
        words: what would be right, after "must be".
        wrong: returns the part of a value that is wrong, in words; empty where it is right.
    """

    words: str
    wrong: Callable[[Any], str]


@dataclasses.dataclass(frozen=True)
class Setting:
    """A config key.

    Attributes:
        key: with its section, such as "optimizer.momentum".
        meaning: Markdown; what it does, with its unit and source.
        resume: whether a run may go on with another value.
        choices: the allowed values and what they mean. Beside words they may hold True and False:
            a key with the choices {"auto": ..., True: ..., False: ...} is made in
            configs/default.py by `config_dict.FieldReference("auto", field_type=object)`, so that
            it takes both types.
        least, most: limits of a number that may be reached.
        above, below: limits of a number that may not be reached.
        zero: what 0 means, where it does not mean a quantity ("dynamic", "never").
        form: of values that are not a single number or word.
    """

    key: str
    meaning: str
    resume: Resume = Resume.REFUSED
    choices: Mapping[str | bool, str] = dataclasses.field(default_factory=dict)
    least: float = -math.inf
    most: float = math.inf
    above: float = -math.inf
    below: float = math.inf
    zero: str = ""
    form: Form | None = None

    def parse(self, text: str) -> str | bool:
        """The choice that `text` names, for keys whose choices are not all words."""
        truths = {"true": True, "1": True, "false": False, "0": False}
        value = truths.get(text.lower())
        return text if value is None or value not in self.choices else value

    def check(self, value: Any) -> None:
        """Refuses a value that means nothing.

        Raises:
            UsageError: names the key, what would be right, and near misses of a choice.
        """
        if self.choices:
            if not any(type(value) is type(one) and value == one for one in self.choices):
                names = [word(choice) for choice in self.choices]
                raise UsageError(
                    f"config.{self.key} must be {_one_of(names)}, not {value!r}"
                    f"{did_you_mean(str(value), names)}"
                )
        elif self.form is not None:
            if wrong := self.form.wrong(value):
                raise UsageError(f"config.{self.key} must be {self.form.words}, not {wrong}")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            if not math.isfinite(value):
                raise UsageError(f"config.{self.key} must be a finite number, not {value}")
            reached = self.least <= value <= self.most
            if not (reached and self.above < value < self.below):
                raise UsageError(f"config.{self.key} must be {self.limits()}, not {value:g}")

    def limits(self) -> str:
        """The limits in words, after "must be": "at least 1"; empty where there are none."""
        words = []
        if self.zero and self.least == 0:
            words.append(f"0 ({self.zero}) or above")
        elif self.least > -math.inf:
            words.append(f"at least {self.least:g}")
        if self.above > -math.inf:
            words.append(f"above {self.above:g}")
        if self.most < math.inf:
            words.append(f"at most {self.most:g}")
        if self.below < math.inf:
            words.append(f"below {self.below:g}")
        return " and ".join(words)


def word(choice: str | bool) -> str:
    """A choice as the command line takes it."""
    return str(choice).lower() if isinstance(choice, bool) else choice


def _one_of(names: list[str]) -> str:
    return f"one of {', '.join(names)}" if len(names) > 2 else " or ".join(names)


def device_names(value: Any) -> str:
    """Wrong in a tuple of device names: what is not a name, or comes twice."""
    if not isinstance(value, tuple | list):
        return repr(value)
    names = all(isinstance(name, str) for name in value)
    return "" if names and len(set(value)) == len(value) else repr(tuple(value))


def epochs(value: Any) -> str:
    """Wrong in a tuple of numbers of epochs."""
    if not isinstance(value, tuple | list):
        return repr(value)
    good = all(_is_number(epoch) and epoch >= 0 for epoch in value)
    return "" if good else repr(tuple(value))


def first_and_last_step(value: Any) -> str:
    """Wrong in an interval of steps, counted from 1; an empty one is right."""
    if not isinstance(value, tuple | list):
        return repr(value)
    whole = all(isinstance(step, int) and step > 0 for step in value)
    good = not value or (len(value) == 2 and whole and value[0] <= value[1])
    return "" if good else repr(tuple(value))


def diary_entries(value: Any) -> str:
    """Wrong in the entries of a diary: the first that is not (epoch, what, value)."""
    if not isinstance(value, tuple | list):
        return repr(value)
    for entry in value:
        good = isinstance(entry, tuple | list) and len(entry) == 3
        if good:
            epoch, what, number = entry
            good = _is_number(epoch) and epoch == int(epoch) and epoch >= 0
            good = good and isinstance(what, str) and _is_number(number) and number >= 0
            # A rate of 0 for all would stop the run's learning without a word.
            good = good and not (what == "rate" and number == 0)
        if not good:
            return repr(tuple(entry) if isinstance(entry, list) else entry)
    return ""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
