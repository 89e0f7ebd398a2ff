"""A Chromium for each file of tests, one server on the fake engine for all."""

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
sys.path.insert(0, str(SERVER_TESTS))  # its fake speech


@pytest.fixture(scope="module")
def playwright() -> Iterator[Any]:
    """Its event loop runs as long as it lives; tests of other files bring their own."""
    with engine() as one:
        yield one


@pytest.fixture(scope="module")
def chromium(playwright: Any) -> Iterator[Any]:
    with browser(playwright) as one:
        yield one


@contextmanager
def our_server(port: int = 0, *more: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Our server with capital letters for a model: the address of its page, and the process."""
    command = [sys.executable, str(SERVER_TESTS / "serve_fake.py"), "0", str(port), *more]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            address = server.stdout.readline().removeprefix("listening on ").strip()
            yield address.replace("ws://", "http://").removesuffix("v1/translate"), server
        finally:
            server.terminate()


@pytest.fixture(scope="session")
def site() -> Iterator[str]:
    with our_server() as (url, _):
        yield url
