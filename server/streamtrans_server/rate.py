"""How many messages a client may send in a second.

This file knows counts and times; it takes the time from its caller.
"""

from __future__ import annotations


class Rate:
    """A bucket of one second's worth: bursts pass, what goes on faster has to wait. 0 is without limit."""

    def __init__(self, per_second: float, now: float) -> None:
        self._per_second = per_second
        self._size = max(per_second, 1.0)
        self._left = self._size
        self._then = now

    def take(self, now: float) -> float:
        """Count one message. Returns how many seconds no further one may come."""
        if not self._per_second:
            return 0.0
        self._left = min(self._size, self._left + (now - self._then) * self._per_second) - 1
        self._then = now
        return 0.0 if self._left >= 0 else -self._left / self._per_second
