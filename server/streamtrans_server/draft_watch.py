"""Which sessions get a draft, and when: something changed, a while has passed, and there is time.

This file knows times and what was sent last. It does not know how drafts are made, nor how they get to clients. A draft
is asked for only while there is nothing to READ or WRITE and no sound whose round has come, so sessions that commit
words are never behind one. A session that lags gets none, from its first Lag event until it has caught up.
"""

from __future__ import annotations

from streamtrans.engine import Engine
from streamtrans.messages import Draft, Event, Segment, Source, Target
from streamtrans_server.channel import Channel
from streamtrans_server.metrics import EngineMetrics

INTERVAL = 0.2  # s between two drafts of one session
NOTHING = Draft((), ())


class DraftWatch:
    """Used in the engine thread, with the channels whose clients want drafts."""

    def __init__(self, engine: Engine, metrics: EngineMetrics) -> None:
        self._engine = engine
        self._metrics = metrics
        self._channels: dict[int, Channel] = {}  # by id() of the session

    def add(self, channel: Channel) -> None:
        """Its session is open."""
        channel.drafted = NOTHING
        self._channels[id(channel.session)] = channel

    def remove(self, channel: Channel) -> None:
        """Its session is over; nothing happens to one that wants no drafts."""
        self._channels.pop(id(channel.session), None)

    def again(self, channel: Channel) -> None:
        """Its client reads again and may lack the last draft: that one is asked for once more."""
        channel.draft_of, channel.drafted = None, None

    def look(self, now: float) -> float | None:
        """Ask for those that are due. In how many seconds the next one is; None: not before something happens."""
        waits: list[float] = []
        for channel in self._channels.values():
            session = channel.session
            if session is None or session.paused or not channel.drafts:
                continue
            stands = session.seq, session.heard
            if stands == channel.draft_of:
                continue
            if (wait := channel.draft_asked + INTERVAL - now) > 0:
                waits.append(wait)
                continue
            channel.draft_of, channel.draft_asked = stands, now
            if channel.lags:
                self._metrics.skipped_draft()
            else:
                self._engine.drafts.ask(session)
                waits.append(0.0)
        return min(waits, default=None)

    def passed(self, channel: Channel, event: Event) -> None:
        """What is committed takes the place of the draft of its side, the end of a segment of both."""
        if isinstance(event, Segment):
            channel.drafted = NOTHING
        elif isinstance(event, (Source, Target)):
            channel.drafted = None

    def fresh(self, channel: Channel, draft: Draft) -> bool:
        """Is it another one than the client has? Then it is sent."""
        if draft == channel.drafted or not channel.drafts:
            return False
        channel.drafted = draft
        self._metrics.drafted()
        return True
