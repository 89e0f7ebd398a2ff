"""What a recogniser writes, and what has to be spoken so that it is heard: text in two spellings.

A transcript is lower-case words, with apostrophes within them and nothing else: "don't", "o'clock", "twenty five".
Case and punctuation cannot be heard; what a text model READs has a capital again (`heard`). Numbers are
spelt out, by num2words (extra `speech-training`), before a sentence is spoken, so that both spellings have the same
words. Chinese transcripts are characters, each a word. A text with anything that this file cannot spell (in Chinese
digits and letters, too) is left out: corpora have enough others.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from streamtrans.text.heard import as_printed
from streamtrans.text.normalize import HAN, normalize

_MONEY = {"$": "dollars", "€": "euros", "£": "pounds"}
_AMOUNT = r"(\d{1,3}(?:,\d{3})+|\d+)(\.\d+)?"
_NUMBERS = re.compile(
    rf"(?P<money>[$€£])\s?{_AMOUNT}(?![\d.,:/-]*\d|\s?(?:\d|[mb]illion|thousand))"
    rf"|(?<![\w$€£./:-])(?P<hour>\d{{1,2}}):(?P<minute>[0-5]\d)(?![\w:])"
    rf"|(?<![\w$€£./:-])(?P<rank>\d+)(?:st|nd|rd|th)\b"
    rf"|(?<![\w$€£./:-])(?P<number>{_AMOUNT})(?P<percent>\s?%)?(?![\d:/%]|[.,\s]\d|[A-Za-z])"
)
_SIGNS = re.compile(
    r"[^\W\d_]\.[^\W\d_]|[\d@#&%*+=<>|~^\\/_$€£°§]"
)  # "u.s." and all that is no word
_WORD = re.compile(r"[a-z]+(?:'[a-z]+)*")
_HAN = re.compile(rf"[{HAN}]")


class NumbersMissing(RuntimeError):
    """What spells numbers is not installed."""


def spoken(text: str, language: str) -> str | None:
    """A text with its numbers spelt out, punctuation and case as they were; None if there is more in it to spell.

    Raises NumbersMissing.
    """
    text = normalize(text)
    if language == "en":
        text = _NUMBERS.sub(_spelt, text)
    if _SIGNS.search(text) or not transcript(text, language):
        return None
    if language == "zh" and any(c.isalpha() for c in _HAN.sub("", text)):
        return None
    return text


def transcript(text: str, language: str) -> str:
    """The words of a text as a recogniser writes them, one space between two. Empty if it has none."""
    if language == "zh":
        return " ".join(_HAN.findall(text))
    letters = unicodedata.normalize("NFKD", normalize(text).lower())
    plain = "".join(c for c in letters if not unicodedata.combining(c))
    return " ".join(_WORD.findall(plain))


def printed(transcript: str, language: str) -> str:
    """A transcript as a text model reads sentences best: a capital, "I", a full stop."""
    if language == "zh":
        return transcript.replace(" ", "") + "。"
    return heard(transcript, language) + "."


def heard(transcript: str, language: str) -> str:
    """A transcript as the engine has a text model READ it: a capital, "I", no full stop."""
    return " ".join(as_printed(w, language, not i) for i, w in enumerate(transcript.split()))


def _spelt(match: re.Match[str]) -> str:
    try:
        from num2words import num2words
    except ImportError as error:
        text = "num2words is not installed: pip install streamtrans[speech-training]"
        raise NumbersMissing(text) from error

    say: Callable[..., str] = num2words
    if sign := match["money"]:
        amount = _value(match[2], match[3])
        unit = _MONEY[sign] if amount != 1 else _MONEY[sign].removesuffix("s")
        return f"{say(amount)} {unit}"
    if match["hour"]:
        hour, minute = int(match["hour"]), int(match["minute"])
        after = f"oh {say(minute)}" if minute < 10 else say(minute)
        return f"{say(hour)} {after}" if minute else f"{say(hour)} o'clock"
    if match["rank"]:
        return say(int(match["rank"]), to="ordinal")
    whole, rest = match[8], match[9]
    year = len(whole) == 4 and not rest and not match["percent"] and "1100" <= whole < "2100"
    words = say(int(whole), to="year") if year else say(_value(whole, rest))
    return f"{words} percent" if match["percent"] else words


def _value(whole: str, rest: str | None) -> int | float:
    number = whole.replace(",", "")
    return float(number + rest) if rest else int(number)
