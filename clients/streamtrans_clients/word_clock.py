"""When each source word went out.

This file counts words as the engine does, in the same way. It does not know sockets and takes the time from its caller.
"""

from __future__ import annotations

from streamtrans.messages import Source
from streamtrans_clients.source_words import HAN, WORD


class WordClock:
    """Times of completed words, in seconds of whatever clock the caller uses."""

    def __init__(self) -> None:
        self._times: list[float] = []
        self._half = ""  # a word that has begun and may go on

    def sent(self, piece: str, now: float) -> None:
        """Each word that this piece of the text completes."""
        text = self._half + piece
        words = list(WORD.finditer(text))
        whole = not words or words[-1].end() < len(text) or HAN.match(words[-1][0]) is not None
        self._half = "" if whole else words.pop()[0]
        self._times += [now] * len(words)

    def read(self, word: Source) -> None:
        """A word that was READ: when it was completed is known already."""

    def cut(self, now: float) -> None:
        """The end of the text, or a flush, completes an open word."""
        if self._half:
            self._times.append(now)
            self._half = ""

    def of(self, number: int) -> float:
        """When source word `number` (from 1) went out; the last one known when there are fewer."""
        if not self._times:
            raise ValueError("no source word was sent")
        return self._times[min(max(number, 1), len(self._times)) - 1]
