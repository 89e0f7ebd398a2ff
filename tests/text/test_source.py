"""Typed text becomes words and segments, wherever the network cuts it."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streamtrans.text.source import LONGEST_WORD, Segmenter, Words, ends_sentence

TEXT = st.text(st.sampled_from("ab.é中 \n\t\r\u00a0\u3000"), max_size=40)


def cut(text: str, places: list[int]) -> list[str]:
    at = [0, *sorted(p % (len(text) + 1) for p in places), len(text)]
    return [text[a:b] for a, b in zip(at, at[1:], strict=False)]


def read(parts: list[str]) -> list[str | None]:
    words = Words()
    found = [word for part in parts for word in words.feed(part)]
    return found + words.flush()


@settings(max_examples=400, deadline=None)
@given(TEXT, st.lists(st.integers(0, 100), max_size=8))
@example("a\n\n\nb", [3])
@example("a\n \nb", [2, 3])
@example("a\r\n\r\nb", [2, 3, 4])
def test_any_cutting_gives_the_same_words_and_blank_lines(text: str, places: list[int]) -> None:
    """A blank line that arrived in three parts was two blank lines."""
    assert read(cut(text, places)) == read([text])


@settings(max_examples=200, deadline=None)
@given(TEXT)
def test_no_word_is_lost(text: str) -> None:
    assert [word for word in read([text]) if word is not None] == text.split()


def test_blank_lines_end_segments() -> None:
    assert read(["a b\nc\n\nd\n \t\n\n\ne"]) == ["a", "b", "c", None, "d", None, "e"]
    assert read(["\n\na"]) == [None, "a"]
    assert read(["a\n"]) == ["a"]


def test_a_word_waits_for_its_end() -> None:
    words = Words()
    assert words.feed("I am hun") == ["I", "am"]
    assert words.feed("gry") == []
    assert words.feed(" now") == ["hungry"]
    assert words.flush() == ["now"]
    assert words.flush() == []


def test_text_without_white_space_does_not_wait_for_ever() -> None:
    """Anyone can send a gigabyte without a space; after LONGEST_WORD signs it is taken as it came,
    and this is the one case in which the cutting of the text shows in the words.
    """
    words = Words()
    found = []
    for _ in range(100):
        found += words.feed("x" * 50)
        assert len(words.half) <= LONGEST_WORD
    found += words.flush()
    assert "".join(word for word in found if word) == "x" * 5000
    assert read(["x" * LONGEST_WORD]) == ["x" * LONGEST_WORD]


@pytest.mark.parametrize(
    "word",
    ["mat.", "mat!", "mat?", "what?!", "so...", "so…", 'mat."', "mat.”", "mat.’", "(mat.)", "mat!»"]
    + [
        "3.",
        "1984.",
        "好。",
        "好！",
        "好？",
        "no.",
        "No.",
        "art.",
        '"why?"',
        "U.S.?",
        "Ph.D.",
        ".",
    ],
)
def test_ends_a_sentence(word: str) -> None:
    """`No.` answers far more often than it numbers, and it kept dialogues in one segment."""
    assert ends_sentence(word)


@pytest.mark.parametrize(
    "word",
    [
        "",
        "mat",
        "mat,",
        "3.5",
        "3,000",
        "a.b",
        "Mr.",
        "(Mr.",
        "“Dr.",
        "e.g.",
        "i.e.",
        "etc.",
        "U.S.",
    ]
    + [
        "J.",
        "J.R.R.",
        '"J.',
        "a.m.",
        "Jan.",
        "MRS.",
        "etc.)",
        "(U.S.)",
        'Mr."',
        "vs.",
        "it's",
        "?a",
    ],
)
def test_does_not_end_a_sentence(word: str) -> None:
    """A closing bracket or quote behind `etc.` or `U.S.` made it the end of a sentence."""
    assert not ends_sentence(word)


def segments(text: str, words: int, pieces: int = 1000) -> list[list[str]]:
    """Cut as a session cuts, each word one piece a letter."""
    segmenter = Segmenter(words, pieces)
    found: list[list[str]] = [[]]
    for word in text.split():
        if not segmenter.fits(len(word)):
            segmenter.close()
            found.append([])
        found[-1].append(word)
        if segmenter.add(word, len(word)):
            segmenter.close()
            found.append([])
    return [segment for segment in found if segment]


def test_a_segment_ends_with_its_sentence() -> None:
    assert segments("Mr. A. Bee sat. So? He ran", 60) == [
        ["Mr.", "A.", "Bee", "sat."],
        ["So?"],
        ["He", "ran"],
    ]


def test_a_long_segment_ends_with_a_clause() -> None:
    """After two thirds of the most words a comma is enough; before, it is not."""
    assert segments("a, b c d, e f g", 6) == [["a,", "b", "c", "d,"], ["e", "f", "g"]]
    assert segments("a b c (d), e", 6) == [["a", "b", "c", "(d),"], ["e"]]


def test_a_segment_never_holds_more_than_its_limits() -> None:
    assert [len(s) for s in segments("a " * 100, 7)] == [7] * 14 + [2]
    assert segments("aaaa bbb cc d", 60, pieces=7) == [["aaaa", "bbb"], ["cc", "d"]]


def test_a_segment_ends_with_the_last_word_it_may_have() -> None:
    """It used to wait for a word more, which only told later what was known: under wait-100 nothing came of 60 words
    until somebody said a 61st.
    """
    segmenter = Segmenter(3, 10)
    assert [segmenter.add("a", 1) for _ in range(3)] == [False, False, True]


def test_a_closed_segment_counts_anew() -> None:
    segmenter = Segmenter(2, 10)
    segmenter.add("a", 9)
    assert not segmenter.fits(2)
    segmenter.close()
    assert segmenter.fits(10) and not segmenter.fits(11)
