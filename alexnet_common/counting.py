"""Counts in messages: singular and plural right."""

from __future__ import annotations


def counted(count: int, one: str, many: str = "") -> str:
    """`count` with its noun, such as "1 shard", "1,024 shards" or, with `many`, "2 matrices"."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
