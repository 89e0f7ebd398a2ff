"""When sound is heard: in rounds, so that sessions whose sound comes at different moments are heard in one batch.

A step of the recogniser for one session costs about a sixth of a step for thirty, so hearing each piece of sound the
moment it comes leaves no time for many sessions. A round goes on until all sound that is there is heard; then new sound
waits for the next one. Nothing but sound waits, and for one session the wait is short.
"""

from __future__ import annotations

EACH = 0.0006  # s from the begin of a round to that of the next, for each session that hears
MOST = 0.06


class HearingPace:
    """`rest` until sound may be heard; `heard` tells it of each step."""

    def __init__(self) -> None:
        self._began: float | None = None  # of the round that goes on
        self._next = 0.0

    def rest(self, now: float) -> float:
        """Seconds until the next round, 0: now."""
        return max(0.0, self._next - now)

    def heard(self, began: float, sessions: int, left: int) -> None:
        """A step began, while so many sessions hear; so many are left that have sound to hear."""
        if self._began is None:
            self._began = began
        if not left:
            self._next = self._began + min(MOST, EACH * sessions)
            self._began = None
