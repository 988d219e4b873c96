"""Versions of installed packages."""

from __future__ import annotations

import importlib.metadata

# The same library, published under several names.
_OTHER_NAMES = {"tensorflow": ("tensorflow-cpu",)}


def version(package: str) -> str:
    """The installed version of a package; "" where it is not installed.

    Args:
        package: its name in the package index; "tensorflow" also finds tensorflow-cpu.
    """
    for name in (package, *_OTHER_NAMES.get(package, ())):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return ""
