"""When each source word went out.

This file counts words the way the engine does: white space completes one. It does not know sockets
and takes the time from its caller.
"""

from __future__ import annotations

import re

from streamtrans.messages import Source

_PARTS = re.compile(r"\s+|\S+")


class WordClock:
    """Times of completed words, in seconds of whatever clock the caller uses."""

    def __init__(self) -> None:
        self._times: list[float] = []
        self._open = False  # a word has begun and no white space followed yet

    def sent(self, piece: str, now: float) -> None:
        for part in _PARTS.findall(piece):
            if not part.isspace():
                self._open = True
            elif self._open:
                self.cut(now)

    def read(self, word: Source) -> None:
        """A word that was READ: when it was completed is known already."""

    def cut(self, now: float) -> None:
        """The end of the text, or a flush, completes an open word."""
        if self._open:
            self._times.append(now)
            self._open = False

    def of(self, number: int) -> float:
        """When source word `number` (from 1) went out; the last one known when there are fewer."""
        if not self._times:
            raise ValueError("no source word was sent")
        return self._times[min(max(number, 1), len(self._times)) - 1]
