"""A file of finished work, one JSON line each, that survives a stop at any moment.

It knows lines and keys. It does not know what was measured.
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

Record = dict[str, Any]


class JournalError(ValueError):
    """A line in the middle of a journal that is none of its own."""


class Journal:
    """Records by their `key`; the last one counts where a key comes twice."""

    def __init__(self, path: Path) -> None:
        """Read what is there. A last line that a stop cut off is removed. Raises JournalError, OSError."""
        self.path = path
        self.records: dict[str, Record] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        whole, newline, torn = (path.read_bytes() if path.exists() else b"").rpartition(b"\n")
        if torn:
            os.truncate(path, len(whole) + len(newline))
        for number, line in enumerate(whole.splitlines() if newline else (), 1):
            try:
                record = json.loads(line)
                self.records[record["key"]] = record
            except (ValueError, TypeError, KeyError) as error:
                raise JournalError(f"{path}, line {number} is no record: {error!r}") from error

    def append(self, record: Record) -> None:
        """Add a record; when this returns, it is on disk."""
        record = finite(record)
        line = json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n"
        with self.path.open("ab") as file:
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())
        self.records[record["key"]] = record


def finite(value: Any) -> Any:
    """For JSON, which has no NaN and no infinity: both become null."""
    if isinstance(value, dict):
        return {name: finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
