"""Words that were heard, as a text model READs them best: as a sentence begins in print.

A recogniser writes lower-case words. A text model has read few sentences without a capital, and writes those without
one, too. What cannot be heard, the punctuation, is its to add. Chinese has no capitals.
"""

from __future__ import annotations

import re

_I = re.compile(r"^i(?=$|')")  # "i", "i'm", "i'll"


def as_printed(word: str, language: str, first: bool) -> str:
    """A heard word in a sentence; first: it begins one."""
    if language == "en":
        word = _I.sub("I", word)
    return word[:1].upper() + word[1:] if first else word
