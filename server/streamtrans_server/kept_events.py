"""The last events of a session, for a client that comes back and has missed some.

This file knows sequence numbers. It does not know what the events say.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from streamtrans.messages import Event


class KeptEvents:
    """Events in order, until they are acknowledged; at most `most` of them, then the oldest goes."""

    def __init__(self, most: int) -> None:
        self._events: deque[Event] = deque()
        self._most = most
        self._gone = 0  # the number of the last event that is no longer here

    @property
    def last(self) -> int:
        """The number of the last event of the session, 0 before the first."""
        return self._gone + len(self._events)

    def add(self, events: Iterable[Event]) -> None:
        """New events, numbered on from `last`."""
        for event in events:
            self._events.append(event)
            if len(self._events) > self._most:
                self._events.popleft()
                self._gone += 1

    def forget(self, seq: int) -> None:
        """All up to number `seq` have arrived."""
        while self._gone < seq:
            self._events.popleft()
            self._gone += 1

    def after(self, seq: int) -> list[Event] | None:
        """The events that follow number `seq`, or None when some of them are no longer here."""
        if not self._gone <= seq <= self.last:
            return None
        return list(self._events)[seq - self._gone :]
