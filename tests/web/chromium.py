"""A real Chromium for tests of the page."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lacking import lacking

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
]


def executable() -> str:
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    lacking(
        None if importlib.util.find_spec("playwright") else "playwright is not installed",
        None if path else "chromium is not installed",
    )
    assert path is not None
    return path


@contextmanager
def engine() -> Iterator[Any]:
    """Playwright, of which a process can run one."""
    executable()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        yield playwright


@contextmanager
def browser(playwright: Any, microphone: Path | None = None) -> Iterator[Any]:
    """A browser; `microphone` is the WAV file that its fake microphone plays once."""
    flags = list(FLAGS)
    if microphone:
        flags.append(f"--use-file-for-fake-audio-capture={microphone.resolve()}%noloop")
    chromium = playwright.chromium.launch(executable_path=executable(), args=flags)
    try:
        yield chromium
    finally:
        chromium.close()


@contextmanager
def page_at(chromium: Any, url: str, **options: Any) -> Iterator[Any]:
    """A page whose uncaught errors and console errors fail the test, unless it clears `page.console_errors`."""
    visit = chromium.new_context(**options)
    page = visit.new_page()
    page.set_default_timeout(15_000)
    wrong: list[str] = []
    page.console_errors = wrong
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda line: line.type == "error" and wrong.append(line.text))
    page.route(
        "**/favicon.ico", lambda route: route.fulfill(status=204)
    )  # asked for by pages that name no icon
    page.goto(url)
    yield page
    visit.close()
    assert wrong == []
