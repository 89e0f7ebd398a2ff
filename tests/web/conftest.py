"""One Chromium and one server on the fake engine for all tests of the page."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from chromium import browser, engine

TESTS = Path(__file__).parents[1]
SERVER_TESTS = TESTS / "server"
sys.path.insert(0, str(TESTS / "clients"))  # its scripted server


@pytest.fixture(scope="session")
def playwright() -> Iterator[Any]:
    with engine() as one:
        yield one


@pytest.fixture(scope="session")
def chromium(playwright: Any) -> Iterator[Any]:
    with browser(playwright) as one:
        yield one


@contextmanager
def process(*command: str) -> Iterator[str]:
    """A server process; the http address of its page."""
    with subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            address = server.stdout.readline().removeprefix("listening on ").strip()
            yield address.replace("ws://", "http://").removesuffix("v1/translate")
        finally:
            server.terminate()


@pytest.fixture(scope="session")
def site() -> Iterator[str]:
    """Our server, capital letters for a model."""
    with process(str(SERVER_TESTS / "serve_fake.py"), "0") as url:
        yield url
