"""What commands and events mean for the counters of a session and for the metrics.

This file knows channels, arrivals and metrics. It does not know when the engine runs or who gets events. Used in the
engine thread.
"""

from __future__ import annotations

from streamtrans.messages import Audio, Changed, Event, Marked, Source, Target, Text
from streamtrans_server.arrivals import SpokenArrivals
from streamtrans_server.channel import Channel
from streamtrans_server.metrics import EngineMetrics


class Accounts:
    """`fed` after a command, `heard` after a tick that may have heard sound, `said` for each event."""

    def __init__(self, metrics: EngineMetrics) -> None:
        self._metrics = metrics

    def fed(self, channel: Channel, command: object, arrived: float) -> None:
        """The engine has the command, which came at `arrived`."""
        session = channel.session
        if session is None:
            return
        if isinstance(channel.arrivals, SpokenArrivals):
            if isinstance(command, Audio) and command.data:
                channel.arrivals.sound(session.clock, arrived)
            channel.waiting_ms = session.waiting_ms
        elif isinstance(command, Text):
            channel.arrivals.fed(session.backlog, arrived)
        channel.backlog = session.backlog + channel.unanswered

    def heard(self, channel: Channel) -> bool:
        """Silence is heard without an event, so each session that hears is asked. Has it heard more?"""
        session, arrivals = channel.session, channel.arrivals
        assert session is not None and isinstance(arrivals, SpokenArrivals)
        heard = max(channel.heard_ms, session.clock - session.waiting_ms)
        if heard <= channel.heard_ms and not session.unread:
            return False
        self._metrics.heard((heard - channel.heard_ms) / 1000)
        arrivals.heard(heard, session.unread)
        channel.heard_ms = heard
        channel.waiting_ms = session.waiting_ms
        channel.backlog = session.backlog + channel.unanswered
        return True

    def said(self, channel: Channel, event: Event, now: float) -> None:
        """An event of the session."""
        if isinstance(event, Source):
            channel.last_arrival = channel.arrivals.read() or channel.last_arrival
        elif isinstance(event, Target):
            self._metrics.committed(now - channel.last_arrival)
            if channel.arrivals.first is not None:
                self._metrics.began(now - channel.arrivals.first)
                channel.arrivals.first = None
        elif isinstance(event, Changed):
            if not event.lag:
                channel.unanswered -= 1
                channel.asked_policy, channel.relieved = event.policy, False
        elif isinstance(event, Marked):
            channel.unanswered -= 1
        if channel.session is not None:
            channel.backlog = channel.session.backlog + channel.unanswered
