"""A table in Markdown, line by line. It does not know what is in it."""

from __future__ import annotations

from collections.abc import Collection, Iterable


def head(columns: Collection[str]) -> str:
    """The two lines above the rows."""
    return f"{row(columns)}\n|{'---|' * len(columns)}"


def row(cells: Iterable[str]) -> str:
    """One line."""
    return f"| {' | '.join(cells)} |"
