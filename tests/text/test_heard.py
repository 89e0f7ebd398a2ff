"""Heard words as they stand in print."""

from __future__ import annotations

import pytest

from streamtrans.text.heard import as_printed


@pytest.mark.parametrize(
    ("words", "language", "printed"),
    [
        ("i think i'm in it i'd say", "en", "I think I'm in it I'd say"),
        ("what i say is", "en", "What I say is"),
        ("it", "en", "It"),
        ("i è un i", "it", "I è un i"),
        ("今 天", "zh", "今 天"),
    ],
)
def test_a_sentence_begins_with_a_capital(words: str, language: str, printed: str) -> None:
    found = [as_printed(word, language, not i) for i, word in enumerate(words.split())]
    assert " ".join(found) == printed
