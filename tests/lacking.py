"""What a test needs besides Python, and how to say that it is not there.

`make system` installs it. Without it a test is skipped with the reason, except in continuous integration.
"""

from __future__ import annotations

import os

import pytest

IN_CI = bool(os.environ.get("CI") or os.environ.get("STREAMTRANS_CI"))


def lacking(*parts: str | None) -> None:
    """Skip the test with the first of these reasons that is not None; fail in continuous integration."""
    for reason in filter(None, parts):
        if IN_CI:
            pytest.fail(f"{reason}; `make system` installs it")
        pytest.skip(f"{reason}; `make system` installs it")
