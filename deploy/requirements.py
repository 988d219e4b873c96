"""Prints what a wheel requires, for `pip install -r`: python requirements.py WHEEL EXTRA,EXTRA.

The Dockerfile installs that list in a layer of its own, which changes of the code leave alone.
"""

from __future__ import annotations

import email
import re
import sys
import zipfile


def requirements(metadata: str, extras: set[str]) -> list[str]:
    """The lines of `Requires-Dist` that hold without an extra or with one of `extras`.

    Args:
        metadata: the text of a wheel's METADATA.
        extras: names of extras.

    Raises:
        ValueError: the wheel does not have one of the extras.
    """
    headers = email.message_from_string(metadata)
    unknown = extras - set(headers.get_all("Provides-Extra", []))
    if unknown:
        raise ValueError(f"the wheel does not have the extra {', '.join(sorted(unknown))}")
    lines = []
    for line in headers.get_all("Requires-Dist", []):
        requirement, _, marker = line.partition(";")
        extra = re.search(r"""extra == ["'](.+?)["']""", marker)
        if extra is None:
            lines.append(line)
        elif extra[1] in extras:
            lines.append(requirement.strip())
    return lines


def main() -> None:
    """Runs the script."""
    wheel, extras = sys.argv[1], set(filter(None, sys.argv[2].split(",")))
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        metadata = archive.read(name).decode("utf-8")
    print("\n".join(requirements(metadata, extras)))


if __name__ == "__main__":
    main()
