"""Target pieces become whole words, which are committed and never revised.

It knows pieces, words and the typography of a language; nothing of sessions or events.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from streamtrans.text.normalize import normalize
from streamtrans.text.vocabulary import Vocabulary

WORD_PIECES = 24  # a word longer than this is committed as it is, so that none can grow for ever
_HIGH_SIGN = re.compile(r"""(?:(?<=[^\W_])|(?<=[.…"'»)\]%°]))([?!;:]+)(?=["'»)\]]*$)""")


def typography(word: str, language: str) -> str:
    """The spelling to show: French sets a narrow no-break space before ? ! ; and :."""
    if language != "fr":
        return word
    return _HIGH_SIGN.sub("\u202f\\1", word)


def spelling(vocabulary: Vocabulary, pieces: Sequence[int]) -> str:
    """What the pieces of one word spell, without the white space and control signs that single bytes can spell."""
    return "".join(normalize(vocabulary.decode(pieces)).split())


class Detokenizer:
    """Collects the pieces of one word at a time."""

    def __init__(self, vocabulary: Vocabulary, language: str) -> None:
        self.vocabulary, self.language = vocabulary, language
        self.pieces: list[int] = []

    def feed(self, piece: int) -> str | None:
        """Take a piece; the word, if it is now whole. An empty word (white space alone) is None as well."""
        self.pieces.append(piece)
        if self.vocabulary.ends_word[piece] or len(self.pieces) >= WORD_PIECES:
            return self.flush()
        return None

    def flush(self) -> str | None:
        """The word as far as it has come."""
        word = spelling(self.vocabulary, self.pieces)
        self.pieces = []
        return typography(word, self.language) or None
