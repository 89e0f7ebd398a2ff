"""One session as the event loop and the engine thread both see it.

This file knows the counters that each side publishes to the other and who may write them; a plain
int needs no lock. It does not know sockets, and it does not run anything.
"""

from __future__ import annotations

from collections.abc import Callable

from streamtrans.engine import Session
from streamtrans.messages import Draft, FromServer
from streamtrans_server.arrivals import Arrivals, SpokenArrivals


class Channel:
    """Counters in units of work: a source word, a step of sound, or a message that is answered once.

    `level` is what was posted and is not yet done, `unheard_ms` how much sound that is. They may be late by one turn of
    the engine thread but are never wrong for good: the thread publishes `fed` and `backlog` and then looks at
    `blocked`; the loop sets `blocked` and then looks at `level` once more.
    rate: samples a second of a session that hears, None for text.
    """

    __slots__ = (
        "arrivals",
        "asked_policy",
        "backlog",
        "blocked",
        "deliver",
        "draft_asked",
        "draft_of",
        "drafted",
        "drafts",
        "fed",
        "fed_bytes",
        "heard_ms",
        "lag_policy",
        "lag_sent",
        "lags",
        "last_arrival",
        "posted",
        "posted_bytes",
        "rate",
        "relieved",
        "session",
        "unanswered",
        "waiting_ms",
    )

    def __init__(
        self,
        deliver: Callable[[list[FromServer]], None],
        rate: int | None = None,
        drafts: bool = False,
    ) -> None:
        self.deliver = deliver  # called in the loop
        self.rate = rate
        # written by the loop
        self.posted = self.posted_bytes = 0
        self.drafts = drafts  # they are wanted, and somebody is there to read them
        self.blocked = False  # the loop has stopped reading and wants to hear of every change
        # written by the engine thread
        self.fed = self.fed_bytes = 0
        self.backlog = 0
        self.waiting_ms = 0.0  # sound that the engine has and has not heard
        # known to the engine thread alone
        self.session: Session | None = None
        self.unanswered = 0  # Mark and SetPolicy still without their Marked and Changed
        self.arrivals = Arrivals() if rate is None else SpokenArrivals()
        self.heard_ms = 0.0
        self.last_arrival = 0.0  # s, of the last word READ
        self.lag_sent = 0.0  # s
        self.lags = 0  # Lag events in a row, LAG_INTERVAL apart
        self.draft_asked = 0.0  # s
        self.draft_of: tuple[int, tuple[str, ...]] | None = None  # where the session stood then
        self.drafted: Draft | None = None  # what the client has; None: perhaps a part of one
        self.asked_policy = ""  # the one the client chose last
        self.lag_policy: str | None = None  # the one it allows while the session lags
        self.relieved = False  # lag_policy is in force

    @property
    def level(self) -> int:
        return self.posted - self.fed + self.backlog

    @property
    def unheard_ms(self) -> float:
        """Sound that was posted and is not yet heard."""
        if self.rate is None:
            return 0.0
        return (self.posted_bytes - self.fed_bytes) * 500 / self.rate + self.waiting_ms
