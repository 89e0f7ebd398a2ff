"""Typed text becomes words and segments, wherever the network cuts it."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streamtrans.text.source import CLAUSE_END, LONGEST_WORD, Segmenter, Words, ends_sentence, words

TEXT = st.text(st.sampled_from("ab.é \n\t\r\u00a0\u3000"), max_size=40)
CHINESE = st.text(st.sampled_from("a3.中文。？，”」“ \n\u3000"), max_size=40)


def cut(text: str, places: list[int]) -> list[str]:
    at = [0, *sorted(p % (len(text) + 1) for p in places), len(text)]
    return [text[a:b] for a, b in zip(at, at[1:], strict=False)]


def read(parts: list[str]) -> list[str | None]:
    typed = Words()
    found = [word for part in parts for word in typed.feed(part)]
    return found + typed.flush()


@settings(max_examples=400, deadline=None)
@given(TEXT | CHINESE, st.lists(st.integers(0, 100), max_size=8))
@example("a\n\n\nb", [3])
@example("a\n \nb", [2, 3])
@example("a\r\n\r\nb", [2, 3, 4])
@example("中。”文", [2])
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
    typed = Words()
    assert typed.feed("I am hun") == ["I", "am"]
    assert typed.feed("gry") == []
    assert typed.feed(" now") == ["hungry"]
    assert typed.flush() == ["now"]
    assert typed.flush() == []


@settings(max_examples=200, deadline=None)
@given(CHINESE)
def test_no_sign_of_chinese_is_lost(text: str) -> None:
    assert "".join(words(text)) == "".join(text.split())


def test_a_chinese_character_is_a_word_and_does_not_wait() -> None:
    """Its sentence's end waits for what may close behind it: a quote that came with the next sentence began it."""
    typed = Words()
    assert typed.feed("今") == ["今"]
    assert typed.feed("天很好") == ["天", "很", "好"]
    assert typed.feed("。") == typed.feed("”") == []
    assert typed.feed("我") == ["。”", "我"]
    assert typed.feed("叫Tom") == ["叫"]
    assert typed.feed("，") == ["Tom"]
    assert typed.flush() == ["，"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("今天天气很好。", "今 天 天 气 很 好 。"),
        ("他说：“好。”我走了！", "他 说 ： “ 好 。” 我 走 了 ！"),
        ("iPhone手机，3点。4点", "iPhone 手 机 ， 3 点 。 4 点"),
        ("《红楼梦》是书?是。", "《 红 楼 梦 》 是 书 ? 是 。"),
        ("二〇二六年，𠮷野家", "二 〇 二 六 年 ， 𠮷 野 家"),
        ("It’s “so…” (3,000).", "It’s “so…” (3,000)."),
    ],
)
def test_words_of_chinese_and_of_others(text: str, expected: str) -> None:
    assert words(text) == expected.split()


@pytest.mark.parametrize("word", ["，", "、", "；", "：", "，”"])
def test_a_full_width_comma_ends_a_clause(word: str) -> None:
    assert CLAUSE_END.search(word) and not ends_sentence(word)


def test_text_without_white_space_does_not_wait_for_ever() -> None:
    """Anyone can send a gigabyte without a space; after LONGEST_WORD signs it is taken as it came,
    and this is the one case in which the cutting of the text shows in the words.
    """
    typed = Words()
    found = []
    for _ in range(100):
        found += typed.feed("x" * 50)
        assert len(typed.half) <= LONGEST_WORD
    found += typed.flush()
    assert "".join(word for word in found if word) == "x" * 5000
    assert read(["x" * LONGEST_WORD]) == ["x" * LONGEST_WORD]


@pytest.mark.parametrize(
    "word",
    ["。", "。”", "？」", "！）", "?", "……"]
    + [
        "mat.",
        "mat!",
        "mat?",
        "what?!",
        "so...",
        "so…",
        'mat."',
        "mat.”",
        "mat.’",
        "(mat.)",
        "mat!»",
    ]
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
