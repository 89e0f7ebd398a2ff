"""Words that were committed elsewhere and that a new session has to write again before any other.

A session that takes over from a dead process gets the source of the open segment once more, and must not contradict
what was shown. It decodes as always, but only among the pieces that spell the next word of the prefix. The same model
would have chosen just these pieces, so it comes into the very state that was lost; another one is held to the words.
This file knows words and pieces. It does not know sessions, states or policies.
"""

from __future__ import annotations

from codecs import getincrementaldecoder
from collections import deque
from collections.abc import Sequence

from torch import Tensor

from streamtrans.text.normalize import normalize
from streamtrans.text.target import WORD_PIECES, spelling, typography
from streamtrans.text.vocabulary import Vocabulary

LIKELY = 64  # pieces looked at, best first, before the word is spelt as the vocabulary would


class Prefix:
    """The words that are left, first one next. False when none is."""

    def __init__(self, words: Sequence[str], vocabulary: Vocabulary, language: str) -> None:
        self._words = deque(words)
        self._vocabulary, self._language = vocabulary, language

    def __bool__(self) -> bool:
        return bool(self._words)

    def take(self) -> str:
        """The next word, which is committed now."""
        return self._words.popleft()

    def choose(self, scores: Tensor, begun: list[int], ended: bool) -> int:
        """The best piece that goes on with the next word.

        scores: (V,), one decoder step. begun: the pieces of the word so far. ended: the end of the source was READ;
        before it, the end of the target may win, which means one more READ.
        """
        best: list[int] = scores.topk(min(LIKELY, len(scores))).indices.tolist()
        for rank, piece in enumerate(best):
            if piece == self._vocabulary.eos:
                if not ended or self._is_last(begun):
                    return piece
            elif self._spells([*begun, piece], first=rank == 0):
                return piece
        return self._by_the_book(begun)

    def _is_last(self, pieces: list[int]) -> bool:
        """Is this the last word as it stands? Then the end of the target may end the word as well."""
        text = typography(spelling(self._vocabulary, pieces), self._language)
        return len(self._words) == 1 and text == self._words[0]

    def _spells(self, pieces: list[int], first: bool) -> bool:
        word = self._words[0]
        if self._vocabulary.ends_word[pieces[-1]] or len(pieces) >= WORD_PIECES:
            text = spelling(self._vocabulary, pieces)
            blank = not text and len(pieces) == 1  # white space alone commits nothing
            return (blank and first) or typography(text, self._language) == word
        text, half = self._spelt(pieces)
        if not first and (text, half) == self._spelt(pieces[:-1]):
            return False  # a control sign, as a single byte
        plain = _plain(word)
        return plain.startswith(text) and plain[len(text) :].encode().startswith(half)

    def _spelt(self, pieces: list[int]) -> tuple[str, bytes]:
        """The letters, and the bytes of the one that is not whole."""
        decoder = getincrementaldecoder("utf-8")("replace")
        text = decoder.decode(self._vocabulary.raw(pieces))
        return "".join(normalize(text).split()), decoder.getstate()[0]

    def _by_the_book(self, begun: list[int]) -> int:
        """The first piece of what the word still lacks."""
        text, half = self._spelt(begun)
        rest = _plain(self._words[0])[len(text) :]
        if half:
            return self._vocabulary.byte((rest.encode() + bytes(4))[len(half)])
        return next(iter(self._vocabulary.encode(rest)), self._vocabulary.mark)


def _plain(word: str) -> str:
    """Without what typography adds."""
    return word.replace("\u202f", "")
