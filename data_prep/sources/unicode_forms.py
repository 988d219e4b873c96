"""Names that look the same and are not: the composed and decomposed forms of accented letters.

Disks of macOS often decompose names (NFD); most other systems keep them composed (NFC).
"""

import unicodedata
from collections.abc import Iterable


def twins(names: Iterable[str], others: Iterable[str]) -> tuple[str, str] | None:
    """A name of each that differ in their Unicode form only, or None."""
    composed: dict[str, list[str]] = {}
    for other in others:
        composed.setdefault(unicodedata.normalize("NFC", other), []).append(other)
    for name in names:
        for other in composed.get(unicodedata.normalize("NFC", name), ()):
            if other != name:
                return name, other
    return None


def told_apart(name: str, other: str) -> str:
    """Both names with their letters spelt out, and the form of each."""
    return f"{_shown(name)} and {_shown(other)} look the same but differ in their Unicode form"


def _shown(name: str) -> str:
    for form in ("NFC", "NFD"):
        if unicodedata.normalize(form, name) == name:
            return f"{ascii(name)} ({form})"
    return ascii(name)


def is_utf8(name: str) -> bool:
    """Whether a name of the file system is text; other bytes come as lone surrogates."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_one_line(name: str) -> bool:
    """Whether a name has neither line breaks nor control characters.

    Lists of classes have a line for each, here and in the files of other libraries.
    """
    return not any(unicodedata.category(character) in ("Cc", "Zl", "Zp") for character in name)
