"""One session as the event loop and the engine thread both see it.

This file knows the counters that each side publishes to the other and who may write them; a plain
int needs no lock. It does not know sockets, and it does not run anything.
"""

from __future__ import annotations

from collections.abc import Callable

from streamtrans.engine import Session
from streamtrans.messages import FromServer
from streamtrans_server.arrivals import Arrivals


class Channel:
    """Counters in units of work: a source word, or a message that is answered once.

    `level` is what was posted and is not yet done. It may be late by one turn of the engine thread
    but is never wrong for good: the thread publishes `fed` and `backlog` and then looks at
    `blocked`; the loop sets `blocked` and then looks at `level` once more.
    """

    __slots__ = (
        "arrivals",
        "asked_policy",
        "backlog",
        "blocked",
        "deliver",
        "fed",
        "first_arrival",
        "lag_policy",
        "lag_sent",
        "lags",
        "last_arrival",
        "posted",
        "relieved",
        "session",
        "unanswered",
    )

    def __init__(self, deliver: Callable[[list[FromServer]], None]) -> None:
        self.deliver = deliver  # called in the loop
        # written by the loop
        self.posted = 0
        self.blocked = False  # the loop has stopped reading and wants to hear of every change
        # written by the engine thread
        self.fed = 0
        self.backlog = 0
        # known to the engine thread alone
        self.session: Session | None = None
        self.unanswered = 0  # Mark and SetPolicy still without their Marked and Changed
        self.arrivals = Arrivals()
        self.first_arrival: float | None = None  # s, of the first word; None once one is committed
        self.last_arrival = 0.0  # s, of the last word READ
        self.lag_sent = 0.0  # s
        self.lags = 0  # Lag events in a row, LAG_INTERVAL apart
        self.asked_policy = ""  # the one the client chose last
        self.lag_policy: str | None = None  # the one it allows while the session lags
        self.relieved = False  # lag_policy is in force

    @property
    def level(self) -> int:
        return self.posted - self.fed + self.backlog
