"""When the source words that are not yet READ arrived.

This file knows counts and times of one session. It does not know words, nor what time it is.
"""

from __future__ import annotations

from collections import deque


class Arrivals:
    """A queue of arrival times, one entry for each message that brought words."""

    __slots__ = ("_queue", "_read", "_total")

    def __init__(self) -> None:
        self._queue: deque[tuple[int, float]] = deque()  # (words with this message, time)
        self._read = 0
        self._total = 0

    def fed(self, backlog: int, arrived: float) -> None:
        """A message came at `arrived`; now `backlog` words are not yet READ."""
        if self._read + backlog > self._total:
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
