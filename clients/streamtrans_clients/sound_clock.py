"""When the sound of each word went out.

This file knows pieces of PCM and where words end in them, in ms. It does not know sockets and takes the time from its
caller.
"""

from __future__ import annotations

from collections import deque

from streamtrans.messages import Source


class SoundClock:
    """Times in seconds of whatever clock the caller uses. rate: samples a second, of 16 bits.

    Words end in their order, so of the sound that went out only what lies behind the last word is kept.
    """

    def __init__(self, rate: int) -> None:
        self._ms = 500 / rate  # of a byte
        self._bytes = 0
        self._pieces: deque[tuple[float, float]] = deque()  # (its end in ms, when it went out)
        self._times: list[float] = []  # of the words that were READ

    def sent(self, piece: bytes, now: float) -> None:
        """The next piece of sound."""
        self._bytes += len(piece)
        self._pieces.append((self._bytes * self._ms, now))

    def read(self, word: Source) -> None:
        """The next word that was READ. Raises ValueError when no sound was sent."""
        if not self._pieces:
            raise ValueError("no sound was sent")
        end = (word.at if word.end is None else word.end) - self._ms  # times are rounded
        while len(self._pieces) > 1 and self._pieces[0][0] < end:
            self._pieces.popleft()
        self._times.append(self._pieces[0][1])

    def cut(self, now: float) -> None:
        """The end of the sound: where words end in it is told by the server."""

    def of(self, number: int) -> float:
        """When the piece went out in which source word `number` (from 1) ended; the last one READ when there are fewer.

        Raises ValueError when no word was READ.
        """
        if not self._times:
            raise ValueError("no source word was READ")
        return self._times[min(max(number, 1), len(self._times)) - 1]
