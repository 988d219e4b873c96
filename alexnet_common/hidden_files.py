"""Which files systems leave in folders of images: the same for converting and for predicting."""

from __future__ import annotations

# What macOS puts into zips, Windows and network disks into folders, without a dot.
_SYSTEMS = frozenset(["__macosx", "thumbs.db", "desktop.ini", "@eadir"])


def is_hidden_part(part: str) -> bool:
    """Whether a file or folder of this name is left by a system, and not an image or a class."""
    return part.startswith(".") or part.casefold() in _SYSTEMS


def is_hidden(name: str) -> bool:
    """Whether any part of a relative path is hidden."""
    return any(map(is_hidden_part, name.split("/")))
