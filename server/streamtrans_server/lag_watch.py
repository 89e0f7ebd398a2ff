"""Which sessions fall behind, and what is done about it: they are told, then change to the policy they allowed.

This file knows times and policies of sessions. It does not know how words get to clients.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from streamtrans.engine import Engine, Session
from streamtrans.messages import Lag
from streamtrans_server.channel import Channel

INTERVAL = 1.0  # s between two Lag events of one session
LOOK = 0.1  # s between two looks at all sessions
RELIEF = 2  # Lag events in a row after which the lag policy of a session comes into force
OVER = 5.0  # s without a Lag event after which its own policy comes back


class LagWatch:
    """A session lags when its oldest word not yet READ, or sound not yet heard, has waited `lag` seconds.

    Used in the engine thread.
    """

    def __init__(self, engine: Engine, lag: float) -> None:
        self._engine = engine
        self._lag = lag
        self._looked = 0.0

    def look(self, channels: Iterable[Channel], now: float) -> Iterator[tuple[Channel, Lag]]:
        """The Lag events that are due, at most one a second for each session."""
        if now - self._looked < LOOK:
            return
        self._looked = now
        for channel in channels:
            session = channel.session
            if session is None or session.paused or now - channel.lag_sent < INTERVAL:
                continue
            oldest = (
                channel.arrivals.oldest if session.backlog else None
            )  # less than a frame waits for ever
            if oldest is None or now - oldest < self._lag:
                self._recovered(channel, session, now)
                continue
            channel.lag_sent = now
            channel.lags += 1
            yield channel, Lag(session.next_seq(), round((now - oldest) * 1000, 1))
            if channel.lags >= RELIEF and channel.lag_policy and not channel.relieved:
                self._adopt(channel, session, channel.lag_policy)

    def _recovered(self, channel: Channel, session: Session, now: float) -> None:
        channel.lags = 0
        if channel.relieved and now - channel.lag_sent > OVER:
            self._adopt(channel, session, channel.asked_policy)

    def _adopt(self, channel: Channel, session: Session, policy: str) -> None:
        """The change is an event of the session and comes out of its next tick."""
        self._engine.adopt(session, policy)
        channel.relieved = not channel.relieved
