"""What a source word is, as the engine has it (a test holds that), and how words make a line again.

A word stands between white space; a Chinese character is a word by itself, and so are full-width stops with what closes
behind them. What still stands of a draft is here, too. This file knows characters. It does not know sessions or times.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from msgspec.structs import replace

from streamtrans.messages import Draft, Event, Segment, Source, Target

_HAN = "\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_STOPS = "。！？，、；：｡"
_CLOSING = re.escape("\"'”’»)]」』）】》〉")
HAN = re.compile(f"[{_HAN}]")
WORD = re.compile(rf"[{_HAN}]|[{_STOPS}]+[{_CLOSING}]*|[^\s{_HAN}{_STOPS}]+")
_NO_BLANK = re.compile(rf"(?<=[{_HAN}{_STOPS}]) | (?=[{_HAN}{_STOPS}])")


def sentence(words: Iterable[str]) -> str:
    """Words as one writes them: a blank between two, none beside a Chinese character or a full-width stop."""
    return _NO_BLANK.sub("", " ".join(words))


def rest(draft: Draft, event: Event) -> Draft:
    """What still stands of a draft after an event: a committed word takes its place, or that of its first word."""
    if isinstance(event, Source):
        return replace(draft, source=_behind(draft.source, event.text))
    if isinstance(event, Target):
        return replace(draft, target=_behind(draft.target, event.text))
    return Draft((), ()) if isinstance(event, Segment) else draft


def _behind(words: tuple[str, ...], first: str) -> tuple[str, ...]:
    return words[1:] if words[:1] == (first,) else ()
