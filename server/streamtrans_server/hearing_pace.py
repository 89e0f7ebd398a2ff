"""When sound is heard: in rounds, so that sessions whose sound comes at different moments are heard in one batch.

A step of the recogniser for one session costs about a tenth of a step for thirty, so hearing each piece of sound the
moment it comes leaves no time for many sessions. Nothing but sound waits, and for one session a round is short.
"""

from __future__ import annotations

EACH = 0.0006  # s between two rounds, for each session that hears
MOST = 0.06


class HearingPace:
    """`rest` until sound may be heard; `heard` tells it that a round began."""

    def __init__(self) -> None:
        self._next = 0.0

    def rest(self, now: float) -> float:
        """Seconds until the next round, 0: now."""
        return max(0.0, self._next - now)

    def heard(self, began: float, sessions: int) -> None:
        """A round began, while so many sessions hear."""
        self._next = began + min(MOST, EACH * sessions)
