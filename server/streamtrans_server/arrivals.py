"""When the source that is not yet READ arrived: words that were typed, or sound until it is words.

This file knows counts and times of one session. It does not know words, nor what time it is.
"""

from __future__ import annotations

from collections import deque


class Arrivals:
    """A queue of arrival times, one entry for each message that brought words."""

    __slots__ = ("_queue", "_read", "_total", "first")

    def __init__(self) -> None:
        self._queue: deque[tuple[int, float]] = deque()  # (words with this message, time)
        self._read = 0
        self._total = 0
        self.first: float | None = None  # of the session's first word, until somebody takes it

    def fed(self, backlog: int, arrived: float) -> None:
        """A message came at `arrived`; now `backlog` words are not yet READ."""
        if self._read + backlog > self._total:
            if not self._total:
                self.first = arrived
            self._total = self._read + backlog
            self._queue.append((self._total, arrived))

    def read(self) -> float | None:
        """One word was READ; when it arrived, if that is known."""
        self._read += 1
        arrived = self.oldest
        while self._queue and self._queue[0][0] <= self._read:
            self._queue.popleft()
        return arrived

    @property
    def oldest(self) -> float | None:
        """When the oldest word not yet READ arrived, None when all are READ."""
        return self._queue[0][1] if self._queue else None


class SpokenArrivals(Arrivals):
    """A word arrived with the piece of sound that was heard last when it was recognised."""

    __slots__ = ("_heard", "_last", "_sound")

    def __init__(self) -> None:
        super().__init__()
        self._sound: deque[tuple[float, float]] = deque()  # (its end in ms of the session, time)
        self._heard = 0.0  # ms
        self._last = 0.0  # time of the piece heard last

    def sound(self, end: float, arrived: float) -> None:
        """A piece of sound came at `arrived`; with it there are `end` ms of the session."""
        self._sound.append((end, arrived))

    def heard(self, until: float, backlog: int) -> None:
        """`until` ms of the session are heard now, and `backlog` words of it are not yet READ."""
        if self._sound and until > self._heard:
            while len(self._sound) > 1 and self._sound[0][0] < until:
                self._sound.popleft()
            end, self._last = self._sound[0]
            if end <= until:
                self._sound.popleft()
            self._heard = until
        self.fed(backlog, self._last)

    @property
    def oldest(self) -> float | None:
        """When the oldest word not yet READ, or else sound not yet heard, arrived."""
        word = super().oldest
        return self._sound[0][1] if word is None and self._sound else word
