"""PYTHONPATH for processes that tests start."""

import os


def extended(*folders: object) -> str:
    """The folders, before those that the tests themselves were started with."""
    theirs = os.environ.get("PYTHONPATH", "")
    return os.pathsep.join([*map(str, folders), *filter(None, [theirs])])
