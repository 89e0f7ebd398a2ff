"""What is spoken and what is written of a text: numbers as words, nothing but words; what cannot be spelt is left."""

from __future__ import annotations

import sys

import pytest

from streamtrans.training.transcript import NumbersMissing, heard, printed, spoken, transcript


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don’t you — ever — do THAT again!", "don't you ever do that again"),
        ("It's five o'clock; the students' books.", "it's five o'clock the students books"),
        ("A well-known café, 'tis said", "a well known cafe tis said"),
        ("...", ""),
    ],
)
def test_a_transcript_is_lower_case_words(text: str, words: str) -> None:
    assert transcript(text, "en") == words


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("I have 3 books, and 21.", "I have three books, and twenty-one."),
        ("It was 1997 then, not 2005.", "It was nineteen ninety-seven then, not two thousand and five."),
        ("1,500 people (12%) came", "one thousand, five hundred people (twelve percent) came"),
        ("3.5 % of it", "three point five percent of it"),
        ("the 21st of May", "the twenty-first of May"),
        ("at 10:30, 7:05 or 9:00.", "at ten thirty, seven oh five or nine o'clock."),
        ("$1 or €20.", "one dollar or twenty euros."),
    ],
)  # fmt: skip
def test_numbers_are_spelt_out(text: str, says: str) -> None:
    pytest.importorskip("num2words", reason="the extra speech-training is not installed")
    assert spoken(text, "en") == says


@pytest.mark.parametrize(
    "text",
    [
        "Regulation 1408/71", "the 1990s", "from 5-10", "Call 555-1234.", "€3 million", "100 000 people",
        "B2 and 4x4", "U.S. law", "Rock & roll", "a@b", "version 1.2.3", "at 25:61:00", "¿?", "",
    ],
)  # fmt: skip
def test_what_cannot_be_spelt_is_left_out(text: str) -> None:
    """Half a number in a transcript teaches that what is heard need not be written."""
    assert spoken(text, "en") is None


def test_chinese_characters_are_words() -> None:
    assert spoken("今天天气很好。", "zh") == "今天天气很好。"
    assert transcript("今天天气很好。", "zh") == "今 天 天 气 很 好"
    assert transcript("二〇二六年", "zh") == "二 〇 二 六 年"


@pytest.mark.parametrize("text", ["设定29度", "汤姆叫Tom。", "。", "かな和汉字"])
def test_chinese_with_anything_else_in_it_is_left_out(text: str) -> None:
    """A name in letters is heard, but a transcript of characters had nothing for it."""
    assert spoken(text, "zh") is None


def test_a_transcript_is_printed_as_a_sentence() -> None:
    assert printed("i'm sure that i am in italy", "en") == "I'm sure that I am in italy."
    assert printed("今 天 天 气 很 好", "zh") == "今天天气很好。"


def test_numbers_cannot_be_spelt_without_num2words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "num2words", None)
    assert spoken("No number.", "en") == "No number."
    with pytest.raises(NumbersMissing, match=r"pip install streamtrans\[speech-training\]"):
        spoken("5 men", "en")


def test_what_is_heard_is_what_is_printed_but_for_the_end() -> None:
    assert heard("what i say is", "en") + "." == printed("what i say is", "en")
    assert heard("今 天", "zh") == "今 天"
