"""Source text as it is typed or piped, cut into words to READ and into segments.

A word is what stands between white space. A Chinese character is a word by itself, READ as soon as it is there; so are
the full-width stops behind it, with the closing quotes and brackets that follow them.
It knows characters and sentence ends. It does not know pieces (it is told how many a word has), sessions or policies.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from streamtrans.text.normalize import HAN

_CLOSING = "\"'”’»)]」』）】》〉"
_CLOSED = f"[{re.escape(_CLOSING)}]*"
SENTENCE_END = re.compile(f"[.!?…。！？｡]{_CLOSED}$")
CLAUSE_END = re.compile(f"[,;:—–，、；：-]{_CLOSED}$")
INITIAL = re.compile(r"""^["'“‘«(\[]*(?:[A-Za-z]\.)+$""")
ABBREVIATIONS = frozenset(
    "mr mrs ms dr prof st jr sr messrs vs etc e.g i.e cf nos vol pp fig approx dept est inc ltd co corp gen col"
    " capt lt sgt rev hon gov sen rep pres jan feb mar apr jun jul aug sep sept oct nov dec".split()
)
LONGEST_WORD = 256  # characters without white space that are waited for
_STOPS = "。！？，、；：｡"  # full width: those of other languages may stand within a word
WORD = re.compile(rf"[{HAN}]|[{_STOPS}]+{_CLOSED}|[^\s{HAN}{_STOPS}]+")
_WHOLE = re.compile(rf"[\s{HAN}]")
BLANK_LINE = re.compile(r"\n[^\S\n]*\n\s*")


def ends_sentence(word: str) -> bool:
    """Does a sentence end with this word? Abbreviations and initials do not end one."""
    if not SENTENCE_END.search(word):
        return False
    bare = word.rstrip(_CLOSING)
    if not bare.endswith("."):
        return True
    return bare.strip("\"'“‘«([.").lower() not in ABBREVIATIONS and not INITIAL.match(bare)


def words(line: str) -> list[str]:
    """The words of a whole line."""
    return WORD.findall(line)


class Words:
    """Text in pieces of any size becomes whole words; None among them is a blank line, which ends a segment."""

    def __init__(self) -> None:
        self.half = ""
        self._blank = False  # a blank line came last: however long it grows, it is one

    def feed(self, text: str) -> list[str | None]:
        """The words this text completes. The last one waits, if more signs could still belong to it."""
        text = self.half + text
        whole = len(text)
        while whole and not _WHOLE.match(text[whole - 1]):
            whole -= 1
        for last in WORD.finditer(text, whole):
            whole = last.start()
        if len(text) - whole > LONGEST_WORD:
            whole = len(text)
        self.half = text[whole:]
        if not self.half and "\n" in text[len(text.rstrip()) :]:
            self.half = "\n"  # it may turn out to be half of a blank line
        return self._split(text[:whole])

    def flush(self) -> list[str | None]:
        """The word that was waiting, if any."""
        text, self.half = self.half, ""
        return self._split(text)

    def _split(self, text: str) -> list[str | None]:
        found: list[str | None] = []
        for number, paragraph in enumerate(BLANK_LINE.split(text)):
            if number and not self._blank:
                found.append(None)
                self._blank = True
            if some := words(paragraph):
                found += some
                self._blank = False
        return found


@dataclass
class Segmenter:
    """Counts the open segment and says when it is over. limits: the most words and pieces a segment may have."""

    words: int
    pieces: int
    open_words: int = 0
    open_pieces: int = 0

    def fits(self, pieces: int) -> bool:
        """May a word of so many pieces still join the open segment?"""
        return self.open_words < self.words and self.open_pieces + pieces <= self.pieces

    def add(self, word: str, pieces: int) -> bool:
        """Count a word in; True if the segment ends with it.

        A segment ends with its sentence, after two thirds of the most words at the end of a clause, and with the last
        word it may have: the next one would only tell later what is known now.
        """
        self.open_words += 1
        self.open_pieces += pieces
        long = 3 * self.open_words >= 2 * self.words
        full = self.open_words >= self.words
        return full or ends_sentence(word) or (long and CLAUSE_END.search(word) is not None)

    def close(self) -> None:
        """The segment is over."""
        self.open_words = self.open_pieces = 0
