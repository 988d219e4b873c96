"""A hook of MkDocs: links from a page to files outside docs/, which the site does not have.

In the repository they lead somewhere; on the site README.md is the first page, and of every other
file the name is shown.
"""

from __future__ import annotations

import re
from typing import Any

_OUTSIDE = re.compile(r"\[([^\]]+)\]\(\.\./([^)#\s]+)(#[^)\s]*)?\)")


def inside(markdown: str) -> str:
    """The text of a page with its links to outside replaced."""

    def replaced(match: re.Match[str]) -> str:
        text, path = match[1], match[2]
        if path == "README.md":
            return f"[{text}](index.md)"
        return f"`{path}`" if text.strip("`") == path else f"{text} (`{path}`)"

    return _OUTSIDE.sub(replaced, markdown)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by MkDocs with the text of every page."""
    return inside(markdown)
