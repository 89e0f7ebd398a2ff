"""One spelling for each sign, the same in training and live.

It works word by word as well as on whole lines: it never looks across white space, except `glue`, which is for
training targets only.
"""

from __future__ import annotations

import re

HAN = "\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Chinese characters, for use in [ ]
_SIGNS = str.maketrans(
    {"’": "'", "‘": "'", "`": "'", "´": "'", "“": '"', "”": '"', "„": '"', "–": "-", "—": "-"}
    | {"\u2010": "-", "\u2011": "-"}  # hyphen, no-break hyphen
    | {"\u2581": "_"}  # the mark of a word's end in the vocabulary
    # soft hyphen, zero-width space and non-joiner, direction marks, byte order mark: unseen, yet
    # all but the first would become white space within a word in the vocabulary's own normaliser
    | dict.fromkeys("\u00ad\u061c\u200b\u200c\u200e\u200f\ufeff", "")
)
_GLUE_BEFORE = re.compile(r"\s+([?!:;»])")
_GLUE_AFTER = re.compile(r"«\s+")
_SPLIT_CLITIC = re.compile(r"\s+('(?:s|re|ve|ll|d|m)\b)")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f]")


def normalize(text: str) -> str:
    """Map typographic variants of quotes, apostrophes and dashes to one, drop control characters."""
    return _CONTROL.sub("", text.translate(_SIGNS))


def glue(text: str) -> str:
    """Join French punctuation and English clitics that stand apart to their word, so that one word is one commit."""
    text = _GLUE_AFTER.sub("«", _GLUE_BEFORE.sub(r"\1", text))
    text = _SPLIT_CLITIC.sub(r"\1", text)
    return text.replace("«", '"').replace("»", '"')
