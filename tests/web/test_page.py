"""The page in a real browser against our server: what a user does and sees."""

from __future__ import annotations

from typing import Any

from chromium import page_at

TEXT = "the cat sat on the mat. "


def words(page: Any, side: str) -> str:
    return " ".join(page.locator(f".segment .{side} .committed").all_inner_texts())


def until_words(page: Any, side: str, expected: str) -> None:
    page.wait_for_function(
        """([side, expected]) => [...document.querySelectorAll(`.segment .${side} .committed`)]
            .map((line) => line.textContent).join(" ") === expected""",
        arg=[side, expected],
    )


def test_typed_words_are_translated_while_they_are_typed(chromium: Any, site: str) -> None:
    with page_at(chromium, site) as page:
        page.wait_for_selector("#state[data-state=idle]")
        page.keyboard.type("the cat sat on ")  # the field has the focus
        until_words(page, "target", "THE CAT")  # wait-3: the sentence is not over
        assert page.input_value("#field") == ""
        page.keyboard.type("the mat")
        page.keyboard.press("Enter")
        until_words(page, "target", "THE CAT SAT ON THE MAT")
        assert words(page, "source") == "the cat sat on the mat"
        assert page.inner_text("#state") == "Live"
        page.click("#finish")
        page.wait_for_selector("#state[data-state=ended]")
