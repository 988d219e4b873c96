"""Typed values of a section, with errors that name file, line, section and key."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

from alexnet_common.counting import counted
from alexnet_common.suggestions import near_misses
from alexnet_tf.tables.cuda_convnet.ini import Section, cut
from alexnet_tf.tables.notation import LARGEST_NUMBER

T = TypeVar("T")
REQUIRED: Any = object()
_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}
_NAMES = """
    type inputs neuron gpu dataIdx channels filters filterSize padding stride groups randSparse
    filterChannels initW initB initWFunc initBFunc initCFunc weightSource partialSum sharedBiases
    outputs pool sizeX start outputsX size blocked keep coeffs stdev scale maxScale tgtSize center
    epsW epsB momW momB wc wball wcNormMin wcNormMax schedW schedB sched wcNorm superEps superMom
    quantF quantB pow minDiv enable doMax coeff topk setSize threads
"""
KEYS = {name.lower(): name for name in _NAMES.split()}
"""The keys of 2012 as its files spell them, by their names in lower case."""
LARGEST_INTEGER = 2**31 - 1
"""The largest C int, in which the 2012 code held whole numbers, places in arrays among them."""


def _number(text: str) -> float:
    value = float(text)
    # Not "nan" or "inf"; digits that overflow are out of range, which `_within` says.
    if not math.isfinite(value) and not any(map(str.isdigit, text)):
        raise ValueError(text)
    return value


class Values:
    """Reads the options of a section, which remembers which were asked for."""

    def __init__(self, section: Section):
        """Wraps `section`."""
        self.section = section

    def error(self, message: str, key: str = ""):
        """An error about the section, or about one of its keys."""
        return self.section.error(message, key)

    def line(self, key: str) -> int:
        """The line of `key`, or of the section that lacks it."""
        option = self.section.options.get(key.lower())
        return option.line if option else self.section.line

    def has(self, key: str) -> bool:
        """Whether the section has `key`."""
        self.section.asked.add(key.lower())
        return key.lower() in self.section.options

    def text(self, key: str, default: str = REQUIRED) -> str:
        """The value of `key` as text."""
        if self.has(key):
            return self.section.options[key.lower()].value
        if default is REQUIRED:
            raise self.error(f"is missing{self._instead_of(key)}", key)
        return default

    def _instead_of(self, key: str) -> str:
        """The words that point to a key of the section that may be `key` misspelt."""
        strangers = self.section.options.keys() - KEYS.keys()
        for near in near_misses(key.lower(), strangers, 1):
            option = self.section.options[near]
            return f"; line {option.line} has {option.name}, which is no key"
        return ""

    def _convert(self, key: str, text: str, convert: Callable[[str], T], what: str) -> T:
        try:
            # Python 2 had no underscores in numbers.
            if convert in (int, _number) and "_" in text:
                raise ValueError(text)
            return convert(text.strip())
        except (ValueError, KeyError):
            raise self.error(f"must be {what}, not {cut(text)!r}", key) from None

    def _within(self, key: str, value, low, high):
        whole = isinstance(value, int)
        largest = LARGEST_INTEGER if whole else LARGEST_NUMBER
        if abs(value) > largest:
            kind = "whole numbers" if whole else "numbers"
            raise self.error(f"is out of range: {kind} go up to {largest:.10g}", key)
        if (low is not None and value < low) or (high is not None and value > high):
            upper = f"{low} or more" if high is None else f"from {low} to {high}"
            raise self.error(f"must be {upper}", key)
        return value

    def integer(self, key: str, default: int = REQUIRED, low=None, high=None) -> int:
        """The value of `key` as an int between `low` and `high`."""
        if not self.has(key) and default is not REQUIRED:
            return default
        value = self._convert(key, self.text(key), int, "a whole number")
        return self._within(key, value, low, high)

    def number(self, key: str, default: float = REQUIRED, low=None, high=None) -> float:
        """The value of `key` as a float between `low` and `high`."""
        if not self.has(key) and default is not REQUIRED:
            return default
        value = self._convert(key, self.text(key), _number, "a number")
        return self._within(key, value, low, high)

    def boolean(self, key: str, default: bool = REQUIRED) -> bool:
        """The value of `key` as a bool."""
        if not self.has(key) and default is not REQUIRED:
            return default
        text = self.text(key).lower()
        if text not in _TRUE | _FALSE:
            raise self.error("must be true or false", key)
        return text in _TRUE

    def _list(self, key: str, count: int, default, convert, what: str) -> list:
        if not self.has(key) and default is not REQUIRED:
            return [default] * count
        return [self._convert(key, part, convert, what) for part in self.texts(key, count)]

    def texts(self, key: str, count: int) -> list[str]:
        """`count` texts, one per input."""
        parts = [part.strip() for part in self.text(key).split(",")]
        if len(parts) != count:
            wanted = counted(count, "value")
            raise self.error(f"must have {wanted}, one per input, not {len(parts)}", key)
        return parts

    def integers(
        self, key: str, count: int, default: int = REQUIRED, low=None, high=None
    ) -> list[int]:
        """`count` ints, one per input."""
        values = self._list(key, count, default, int, "whole numbers")
        return [self._within(key, value, low, high) for value in values]

    def numbers(
        self, key: str, count: int, default: float = REQUIRED, low=None, high=None
    ) -> list[float]:
        """`count` floats, one per input."""
        values = self._list(key, count, default, _number, "numbers")
        return [self._within(key, value, low, high) for value in values]

    def booleans(self, key: str, count: int) -> list[bool]:
        """`count` bools; in lists the 2012 code takes anything but `true` and 1 for false."""
        return self._list(key, count, False, lambda s: s.lower() in ("true", "1"), "")

    def names(self, key: str) -> list[str]:
        """The value of `key` as names; at least one."""
        names = [name.strip() for name in self.text(key).split(",")]
        if not all(names):
            raise self.error("has an empty name", key)
        return names
