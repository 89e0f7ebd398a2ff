"""One spelling for each sign, word by word as well as line by line."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamtrans.text.normalize import glue, normalize


@pytest.mark.parametrize(
    ("typed", "spelt"),
    [
        ("“It’s”", '"It\'s"'),
        ("‘a’ `b´", "'a' 'b'"),
        ("„so“", '"so"'),
        ("1914–18 — no\u2011break", "1914-18 - no-break"),
        ("co\u00adoperate", "cooperate"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("bell\x07 del\x7f", "bell del"),
        ("tab\tnew\nline\x85end", "tab\tnew\nline\x85end"),
        ("é 中文 🙂 « oui »", "é 中文 🙂 « oui »"),
    ],
)
def test_signs(typed: str, spelt: str) -> None:
    assert normalize(typed) == spelt


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(max_size=6), max_size=6))
def test_a_line_is_its_words(words: list[str]) -> None:
    """Training sees lines, a session sees words: spelling must not look across white space."""
    assert normalize(" ".join(words)) == " ".join(normalize(word) for word in words)


@settings(max_examples=200, deadline=None)
@given(st.text())
def test_twice_is_once_and_white_space_stays(text: str) -> None:
    once = normalize(text)
    assert normalize(once) == once
    assert [c for c in once if c.isspace()] == [c for c in text if c.isspace()]


@pytest.mark.parametrize(
    ("apart", "joined"),
    [
        ("Vraiment ?", "Vraiment?"),
        ("Non\u202f! Si\u00a0; ainsi :", "Non! Si; ainsi:"),
        ("« Oui »", '"Oui"'),
        ("«\u00a0Oui\u00a0», dit-il.", '"Oui", dit-il.'),
        ("John 's book , they 're here", "John's book , they're here"),
        ("she said 'so", "she said 'so"),
        ("Quoi ?!", "Quoi?!"),
    ],
)
def test_glue_joins_what_is_one_word(apart: str, joined: str) -> None:
    assert glue(apart) == joined
