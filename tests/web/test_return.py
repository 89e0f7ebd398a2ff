"""The page and our server: a connection that breaks, a server that is killed. No word is lost or comes twice."""

from __future__ import annotations

from typing import Any

import pytest
from chromium import page_at
from conftest import our_server
from test_page import until_state, until_words


def test_a_network_that_goes_and_comes_back(chromium: Any, site: str) -> None:
    with page_at(chromium, site) as page:
        until_state(page, "idle")
        page.keyboard.type("one two three four ")
        until_words(page, "target", "ONE TWO")
        page.evaluate("dispatchEvent(new Event('offline'))")
        until_state(page, "reconnecting")
        page.keyboard.type("five six. ")
        until_words(page, "target", "ONE TWO THREE FOUR FIVE SIX.")
        until_words(page, "source", "one two three four five six.")
        until_state(page, "open")
        assert page.locator(".gap").count() == 0


@pytest.mark.parametrize("kill", [True, False])
def test_a_server_that_is_replaced_in_the_middle_of_a_sentence(chromium: Any, kill: bool) -> None:
    """Killed at once, or shut down: the next server takes over the open segment and nothing else."""
    with our_server() as (url, first):
        port = int(url.rstrip("/").rsplit(":", 1)[1])
        with page_at(chromium, url) as page:
            until_state(page, "idle")
            page.fill("#field", "a closed sentence. one two three four ")
            until_words(page, "target", "A CLOSED SENTENCE. ONE TWO")
            if kill:
                first.kill()
            else:
                first.terminate()
            first.wait(20)
            until_state(page, "reconnecting")
            page.keyboard.type("five six. ")
            with our_server(port):
                until_words(page, "target", "A CLOSED SENTENCE. ONE TWO THREE FOUR FIVE SIX.")
                until_words(page, "source", "a closed sentence. one two three four five six.")
                until_state(page, "open")
                assert page.locator(".gap").count() == 0
                page.click("#finish")
                until_state(page, "ended")
            page.console_errors.clear()  # Chromium writes one for each attempt
