"""The page in a real browser: what a user does and sees, with our server and with a scripted one."""

from __future__ import annotations

import asyncio
import re
import threading
from pathlib import Path
from typing import Any

import pytest
from chromium import page_at
from conftest import our_server
from scripted_site import Site
from streamtrans_clients.captions import CaptionFile
from streamtrans_clients.source_words import sentence

from streamtrans.messages import Segment, Target


def until_words(page: Any, side: str, expected: str) -> None:
    """Wait until just these words stand on the page, committed."""
    page.wait_for_function(
        """([side, expected]) => [...document.querySelectorAll(`.segment .${side} .committed`)]
            .map((line) => line.textContent).filter(Boolean).join(" ") === expected""",
        arg=[side, expected],
    )


def until_state(page: Any, state: str) -> None:
    page.wait_for_selector(f"#state[data-state={state}]")


def test_typed_words_are_translated_while_they_are_typed(chromium: Any, site: str) -> None:
    with page_at(chromium, site) as page:
        until_state(page, "idle")
        assert page.inner_text("#pair option") == "English → French"
        page.keyboard.type("the cat sat on ")  # the field has the focus
        until_words(page, "target", "THE CAT")  # wait-3: the sentence is not over
        assert page.input_value("#field") == ""
        page.keyboard.type("the mat")
        page.keyboard.press("Enter")
        until_words(page, "target", "THE CAT SAT ON THE MAT")
        until_words(page, "source", "the cat sat on the mat")
        assert page.inner_text("#state") == "Live"
        assert re.fullmatch(r"\d+ ms", page.inner_text("#lag-text"))
        assert 0 < page.evaluate("document.getElementById('lag').value") < 1000
        page.click("#finish")
        until_state(page, "ended")


def test_pasted_text_and_a_second_session(chromium: Any, site: str) -> None:
    """The words of two sessions stand one after the other, even when the first is still finishing."""
    with page_at(chromium, site) as page:
        until_state(page, "idle")
        text = "one two three. " * 300  # longer than one message may be
        page.fill("#field", text)
        page.click("#finish")
        page.fill("#field", "a new one. ")
        until_words(page, "target", (text + "A NEW ONE.").upper().strip())


def test_the_knob_acts_in_the_middle_of_a_sentence(chromium: Any, site: str) -> None:
    with page_at(chromium, site) as page:
        until_state(page, "idle")
        page.keyboard.type("one two three four ")
        until_words(page, "target", "ONE TWO")
        page.focus("#k")
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("ArrowLeft")
        until_words(page, "target", "ONE TWO THREE FOUR")
        assert page.inner_text("#policy") == "wait-1"
        page.keyboard.press("ArrowRight")
        page.focus("#field")
        page.keyboard.type("five ")
        until_words(page, "source", "one two three four five")
        page.keyboard.type("six ")
        until_words(page, "target", "ONE TWO THREE FOUR FIVE")


def test_a_model_of_text_says_that_it_cannot_hear(chromium: Any) -> None:
    with our_server(0, "deaf") as (url, _), page_at(chromium, url) as page:
        until_state(page, "idle")
        for way in ("microphone", "file"):
            page.check(f"[value={way}]", force=True)
            said = page.inner_text(f"#{way}-cannot")
            assert said == "This server's model (en-fr) reads text only: it cannot hear."
        assert page.is_disabled("#listen") and page.is_disabled("#file")
        assert page.is_hidden("#text-cannot") and page.is_enabled("#field")


def test_a_model_of_speech_says_that_it_cannot_read(chromium: Any) -> None:
    with our_server(0, "blind") as (url, _), page_at(chromium, url) as page:
        until_state(page, "idle")
        assert page.inner_text("#text-cannot").startswith("This server's model (en-fr) hears only")
        assert page.is_disabled("#field")
        page.check("[value=microphone]", force=True)
        assert page.is_hidden("#microphone-cannot") and page.is_enabled("#listen")


def test_a_named_error_is_shown_and_what_was_not_read_is_given_back(
    chromium: Any, site: str
) -> None:
    with page_at(chromium, site) as page:
        until_state(page, "idle")
        page.fill("#field", "well boom again ")  # the engine fails at the second word
        until_state(page, "failed")
        assert "(internal)" in page.inner_text("#alert")
        assert page.input_value("#field").strip() == "boom again"
        assert "The session ended here" in page.inner_text(".gap")
        page.fill("#field", "a new start. ")
        until_words(page, "target", "A NEW START.")


def test_a_reconnect_is_shown_and_survived(chromium: Any) -> None:
    site = Site()
    with site.serving() as url, page_at(chromium, url) as page:
        until_state(page, "idle")
        page.keyboard.type("one two ")
        until_words(page, "target", "ONE TWO")
        site.drop(closed=True)
        until_state(page, "reconnecting")
        assert page.inner_text("#state") == "Connection lost, coming back…"
        page.keyboard.type("three ")
        assert page.inner_text(".segment .pending").strip() == "three"  # on its way, and marked so
        site.reopen()
        until_words(page, "target", "ONE TWO THREE")
        until_state(page, "open")
        assert page.inner_text(".segment .pending").strip() == ""
        assert page.locator(".gap").count() == 0
        page.console_errors.clear()  # Chromium writes one for each attempt


COLOUR = "(of) => getComputedStyle(document.querySelector(of)).color"
KINDS = ("draft", "committed")


def luminance(colour: str) -> float:
    """Of `rgb(r, g, b)`: WCAG 2.1, relative luminance."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    red, green, blue = (p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, two: str) -> float:
    dark, light = sorted((luminance(one), luminance(two)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_draft_is_grey_and_gives_way_to_what_is_committed(chromium: Any, scheme: str) -> None:
    seen = threading.Event()

    class Drafting(Site):
        async def answer(self, peer: Any, messages: list[dict[str, Any]]) -> None:
            for message in messages:
                if message["type"] == "target" and message["text"] == "TWO":
                    await super().answer(
                        peer, [{"type": "draft", "source": ["thr"], "target": ["TWO", "MUCH"]}]
                    )
                    await asyncio.to_thread(seen.wait, 10)
                await super().answer(peer, [message])

    site = Drafting()
    with site.serving() as url, page_at(chromium, url, color_scheme=scheme) as page:
        until_state(page, "idle")
        page.keyboard.type("one two ")
        page.wait_for_function(
            "() => document.querySelector('.target .draft')?.textContent === ' TWO MUCH'"
        )
        until_words(page, "target", "ONE")
        assert page.inner_text(".source .draft").strip() == "thr"
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        for side in ("source", "target"):
            draft, committed = (page.evaluate(COLOUR, f".{side} .{kind}") for kind in KINDS)
            assert draft != committed
            assert contrast(draft, paper) >= 4.5  # WCAG 2.1, 1.4.3
            assert page.get_attribute(f".{side} .draft", "aria-hidden") == "true"
        assert page.locator("#spoken p").all_inner_texts() == []  # nothing of it is read out
        rows = page.evaluate(
            "[...document.querySelectorAll('#captions p')].map((p) => p.innerHTML)"
        )
        assert '<span class="draft" aria-hidden="true"> TWO MUCH</span>' in rows[-1]
        seen.set()
        until_words(page, "target", "ONE TWO")
        page.wait_for_function("() => document.querySelectorAll('.source .word').length === 2")
        assert page.inner_text(".target .draft").strip() == "MUCH"  # the rest of it still stands
        page.click("#finish")
        until_state(page, "ended")
        assert page.locator(".draft").all_inner_texts() == ["", ""]
        page.click("summary")
        with page.expect_download() as saved:
            page.click("[data-save=srt]")
        assert Path(saved.value.path()).read_text().splitlines()[2] == "ONE TWO"
    assert site.starts[0]["drafts"] is True


def test_drafts_of_our_server_can_be_switched_off(chromium: Any, site: str) -> None:
    drafts = "() => document.querySelector('.target .draft')?.textContent"
    with page_at(chromium, site) as page:
        until_state(page, "idle")
        overlay = page.context.new_page()
        overlay.goto(f"{site}?overlay=1")
        page.bring_to_front()
        page.keyboard.type("the cat sat ")
        until_words(page, "target", "THE")
        page.wait_for_function(f"{drafts} === ' CAT? SAT?'")
        overlay.wait_for_function(
            "() => document.querySelector('.draft')?.textContent === ' CAT? SAT?'"
        )
        page.uncheck("#drafts")
        assert page.evaluate(drafts) == ""
        overlay.wait_for_function("() => !document.querySelector('.draft')")
        page.focus("#field")
        page.keyboard.type("on ")
        until_words(page, "target", "THE CAT")
        page.wait_for_timeout(400)
        assert page.evaluate(drafts) == ""
        page.check("#drafts")
        page.focus("#field")
        page.keyboard.type("the ")
        page.wait_for_function(f"{drafts} === ' ON? THE?'")


def test_chinese_words_stand_without_blanks(chromium: Any, site: str) -> None:
    """On the page and in the captions, by the rule of the Python client."""
    words = "你 好 ， 我 是 Anna 。 Hello 你 们 （ 好 ） 。 ok a b".split()
    with page_at(chromium, site) as page:
        until_state(page, "idle")
        page.keyboard.type(" ".join(words) + " ")
        page.wait_for_function("() => document.querySelectorAll('.source .word').length === 17")
        assert page.inner_text(".source .committed") == sentence(words)
        same = "async (words) => (await import('/words.js')).sentence(words)"
        assert page.evaluate(same, words) == sentence(words)
        page.keyboard.press("Enter")
        until_words(page, "target", sentence([word.upper() for word in words]))
        assert page.locator(".lines p").last.inner_text() == sentence([w.upper() for w in words])


@pytest.mark.parametrize("format", ["srt", "vtt"])
def test_subtitles_are_what_the_python_client_writes(
    chromium: Any, site: str, tmp_path: Path, format: str
) -> None:
    """The same events through both writers, and the button saves them."""
    with page_at(chromium, site) as page:
        until_state(page, "idle")
        page.fill("#field", "the <cat> & the dog sat on the mat until the evening came. and then? ")
        page.keyboard.press("Enter")
        page.wait_for_function("() => document.querySelectorAll('.word').length === 30")
        page.click("#finish")
        until_state(page, "ended")
        page.click("summary")
        with page.expect_download() as saved:
            page.click(f"[data-save={format}]")
        assert saved.value.suggested_filename == f"translation.fr.{format}"
        text = Path(saved.value.path()).read_text()
    assert "&lt;CAT&gt; &amp;" in text if format == "vtt" else "<CAT> &" in text
    assert text.count("-->") == 2


def test_both_writers_agree_on_any_events(chromium: Any, site: str, tmp_path: Path) -> None:
    words = (
        "ça 日本語の字幕 你 好 ， 我 们 supercalifragilisticexpialidociousness" * 2
        + " — 😀 a<b> c&d, e. "
    )
    events = []
    for index, word in enumerate((words * 6).split()):
        at = 130.5 * index + (3000 if index > 30 else 0)
        events.append(Target(len(events) + 1, word, index, index, at))
        if index % 17 == 16:
            events.append(Segment(len(events) + 1, index, index))
    for suffix in ("srt", "vtt"):
        path = tmp_path / f"talk.{suffix}"
        with CaptionFile(path) as captions:
            for event in events:
                captions.show(event)
        plain = [
            {
                "type": type(e).__name__.lower(),
                "text": getattr(e, "text", ""),
                "at": getattr(e, "at", 0),
            }
            for e in events
        ]
        with page_at(chromium, site + "icon.svg") as page:
            text = page.evaluate(
                """async ([events, format]) => {
                    const captions = await import("/captions.js");
                    return captions[format](captions.cuesOf(events));
                }""",
                [plain, suffix],
            )
        assert text == path.read_text()


def test_large_captions_and_the_overlay_of_another_window(chromium: Any, site: str) -> None:
    with page_at(chromium, site) as page:
        until_state(page, "idle")
        overlay = page.context.new_page()
        overlay.goto(f"{site}?overlay=1&lines=2&background=%2300b140")
        page.fill("#field", "the quick brown fox jumps over the lazy dog and runs into the dark. ")
        last = "() => [...document.querySelectorAll('.lines p')].at(-1)?.textContent === 'DARK.'"
        overlay.wait_for_function(last)
        lines = overlay.locator(".lines p").all_inner_texts()
        assert len(lines) == 2 and max(map(len, lines)) <= 32
        background = "getComputedStyle(document.documentElement).backgroundColor"
        assert overlay.evaluate(background) == "rgb(0, 177, 64)"
        late = page.context.new_page()  # opened in mid-talk: it asks, and is transparent by default
        late.goto(f"{site}?overlay=1")
        late.wait_for_function(last)
        assert late.evaluate(background) == "rgba(0, 0, 0, 0)"
        page.bring_to_front()
        page.keyboard.press("Alt+c")
        page.wait_for_selector("#captions[open]")
        assert page.inner_text("#captions .lines").split("\n")[-1] == "DARK."
        page.keyboard.press("Escape")
        page.wait_for_selector("#captions:not([open])", state="attached")


def test_keyboard_and_screen_reader(chromium: Any, site: str) -> None:
    """Every control is reached with Tab, has a name, and phrases are spoken, not single words."""
    with page_at(chromium, site) as page:
        until_state(page, "idle")
        page.keyboard.type("the cat sat on the mat. ")
        until_words(page, "target", "THE CAT SAT ON THE MAT.")
        assert page.locator("#spoken[aria-live=polite] p").all_inner_texts() == [
            "THE CAT SAT ON THE MAT."
        ]
        assert page.get_attribute("#spoken", "lang") == "fr"
        assert page.get_attribute(".segment .target", "lang") == "fr"
        page.evaluate("document.activeElement.blur()")
        reached = []
        for _ in range(15):
            page.keyboard.press("Tab")
            reached.append(
                page.evaluate(
                    "document.activeElement.id || document.activeElement.name || document.activeElement.tagName"
                )
            )
        for name in ("pair", "segments", "way", "field", "k", "finish", "large", "SUMMARY"):
            assert name in reached, reached
        unnamed = page.evaluate("""[...document.querySelectorAll("button, input, select, textarea, meter, progress")]
            .filter((each) => !(each.labels?.length || each.ariaLabel || each.textContent.trim()))
            .map((each) => each.outerHTML)""")
        assert unnamed == []


@pytest.mark.parametrize("width", [360, 800, 1280])
def test_nothing_is_wider_than_the_window(chromium: Any, site: str, width: int) -> None:
    with page_at(chromium, site, viewport={"width": width, "height": 700}) as page:
        until_state(page, "idle")
        page.keyboard.type(f"a {'long' * 15} word. ")
        until_words(page, "target", f"A {'LONG' * 15} WORD.")
        for way in ("file", "microphone", "text"):
            page.check(f"[value={way}]", force=True)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert (
                page.evaluate("document.querySelector('footer').getBoundingClientRect().right")
                <= width
            )
