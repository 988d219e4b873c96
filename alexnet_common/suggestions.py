"""Near misses of a misspelt name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def near_misses(word: str, names: Iterable[str], most: int = 3) -> list[str]:
    """The names that `word` may have been meant for, best first."""
    return difflib.get_close_matches(word, sorted(names), n=most, cutoff=0.6)


def did_you_mean(word: str, names: Iterable[str], most: int = 3) -> str:
    """The words `; did you mean A or B?`, or nothing where no name is near."""
    matches = near_misses(word, names, most)
    return f"; did you mean {' or '.join(matches)}?" if matches else ""
