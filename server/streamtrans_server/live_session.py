"""One session of the native protocol, which outlives its connection.

This file knows what waits for the engine and the events a returning client has missed. What a client may say is in
intake.py. It does not know sockets (a connection is where events go) nor the engine (it posts to what runs one).
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from streamtrans.messages import (
    PROTOCOL_VERSION,
    Ack,
    Audio,
    Command,
    Done,
    Draft,
    Error,
    FromClient,
    FromServer,
    Ready,
    Source,
    Start,
    Target,
)
from streamtrans_server.admission import Lease
from streamtrans_server.channel import Channel
from streamtrans_server.config import ServerConfig
from streamtrans_server.engine_host import Close, EngineHost, Open, Pause
from streamtrans_server.failure import Failure
from streamtrans_server.intake import Intake
from streamtrans_server.kept_events import KeptEvents
from streamtrans_server.logs import say
from streamtrans_server.offer import Offer

log = logging.getLogger("streamtrans.server.session")


class Outlet(Protocol):
    """Where the events of a session go."""

    def send(self, messages: Sequence[FromServer]) -> None:
        """Write these, or hold them while the client does not read."""
        ...

    def block(self, blocked: bool) -> None:
        """Take no more messages of the client, or take them again."""
        ...

    def finish(self) -> None:
        """The last event was sent."""
        ...

    def end(self, failure: Failure) -> None:
        """Close with an error."""
        ...


class LiveSession:
    """From `start` until it is done, has failed, or nobody came back for it in `resume_timeout`."""

    def __init__(
        self,
        start: Start,
        lease: Lease,
        host: EngineHost,
        offer: Offer,
        config: ServerConfig,
        on_over: Callable[[LiveSession], None],
    ) -> None:
        """Raises Failure when the server does not do what `start` asks for."""
        offer.check(start, config.max_prefix_words)
        self.name = secrets.token_hex(8)
        self.lease = lease
        self.kept = start.keep
        self.failure: Failure | None = None
        self.done = False
        self.opened = time.monotonic()
        self._secret = secrets.token_urlsafe(16)
        self._host = host
        self._config = config
        self._on_over = on_over
        self._outlet: Outlet | None = None
        self._drafts = start.drafts and config.drafts
        self._channel = Channel(self._deliver, start.rate, self._drafts)
        self._events = KeptEvents(config.max_kept_events)
        self._expiry: asyncio.TimerHandle | None = None
        self._intake = Intake(start.rate is not None, config, self.clock)
        self._over = False
        self._ready = Ready(
            PROTOCOL_VERSION,
            self.name,
            offer.model,
            offer.source,
            offer.target,
            start.kind,
            start.policy or offer.policy,
            config.limits,
            f"{self.name}.{self._secret}" if self.kept else None,
        )
        self._start = start

    def open(self, outlet: Outlet) -> None:
        """Have the engine open it; `ready` goes to `outlet` first."""
        self._outlet = outlet
        start = self._start
        self._host.post(
            self._channel,
            Open(
                start.policy,
                self._ready,
                start.prefix,
                start.lag_policy,
                start.rate,
                self._drafts,
                start.pause,
            ),
        )

    @property
    def age(self) -> float:
        """Seconds since it was opened."""
        return time.monotonic() - self.opened

    @property
    def backlog(self) -> int:
        """Words and commands that the engine has not yet dealt with."""
        return self._channel.level

    @property
    def unheard_ms(self) -> float:
        """Sound that the engine has not yet heard."""
        return self._channel.unheard_ms

    @property
    def detached(self) -> bool:
        """Has it lost its connection and waits for the next?"""
        return self._outlet is None

    # in: a message of the client

    def take(self, message: FromClient | Audio) -> None:
        """Raises Failure for what may not come now."""
        if isinstance(message, Ack):
            if not self._events.last >= message.seq >= 0:
                raise Failure("bad_message", f"there is no event {message.seq} to acknowledge")
            self._events.forget(message.seq)
        elif work := self._intake.take(message):
            self._post(*work)

    def _post(self, command: Command, weight: int) -> None:
        channel = self._channel
        if isinstance(command, Audio):
            channel.posted_bytes += len(command.data)
        channel.posted += weight
        self._host.post(channel, command, weight)
        if self._fuller_than(1.0) and self._outlet is not None:
            channel.blocked = True
            self._outlet.block(True)
            asyncio.get_running_loop().call_soon(self._make_room)  # it may have room by now

    def _make_room(self) -> None:
        """Take messages again once half of the limit is free."""
        if self._channel.blocked and not self._fuller_than(0.5):
            self._channel.blocked = False
            if self._outlet is not None:
                self._outlet.block(False)

    def _fuller_than(self, share: float) -> bool:
        """Does so much of what may wait for the engine wait for it, or more?"""
        channel, config = self._channel, self._config
        return (
            channel.level >= share * config.max_backlog_words
            or channel.unheard_ms >= share * config.max_backlog_seconds * 1000
        )

    # out: called for each turn of the engine thread that concerns this session

    def _deliver(self, events: list[FromServer]) -> None:
        if self._over or self.failure:
            return
        if events:
            last = events[-1]
            if type(last) is Error:
                self.failure = Failure(last.code, last.text)
                events.pop()
            elif type(last) is Done:
                self.done = True
            if self._config.log_text:
                self._log_text(events)
            if self.kept:
                passing = (Ready, Error, Draft)
                self._events.add(event for event in events if not isinstance(event, passing))
            if self._outlet is not None:
                self._outlet.send(events)
                self._conclude(self._outlet)
        if self._channel.blocked:
            self._make_room()

    def _conclude(self, outlet: Outlet) -> None:
        if self.failure is not None:
            outlet.end(self.failure)
        elif self.done:
            outlet.finish()

    def _log_text(self, events: Sequence[FromServer]) -> None:
        for event in events:
            if isinstance(event, (Source, Target)):
                side = type(event).__name__.lower()
                say(log, logging.INFO, "word", session=self.name, side=side, text=event.text)

    def pause(self, paused: bool) -> None:
        """The client does not read (True) or reads again (False)."""
        self._host.post(self._channel, Pause(paused))

    def clock(self) -> float:
        """Milliseconds since the session opened."""
        return round((time.monotonic() - self.opened) * 1000, 1)

    # a connection goes, another comes

    def opens_with(self, secret: str) -> bool:
        """Is this the second half of the session's token? Compared in constant time."""
        return self.kept and hmac.compare_digest(self._secret.encode(), secret.encode())

    def attach(self, outlet: Outlet, after: int) -> None:
        """Go on over another connection, from the event that follows number `after`.

        Raises Failure resume_lost when these events are no longer kept.
        """
        missed = self._events.after(after)
        if missed is None:
            raise Failure(
                "resume_lost", f"the events after {after} are not here; open a new session"
            )
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        old, self._outlet = self._outlet, outlet
        if old is not None:
            old.end(Failure("replaced", "the client came back over another connection"))
        self._channel.drafts = self._drafts
        self._let_go()
        self._events.forget(after)
        ready = self._ready
        outlet.send([_again(ready, self._intake.received), *missed])
        self._conclude(outlet)
        say(log, logging.INFO, "session_resumed", session=self.name, missed=len(missed))

    def leave(self, outlet: Outlet, for_good: bool) -> None:
        """A connection is gone; the session is over, or waits for another one."""
        if self._outlet is not outlet:
            return
        self._outlet = None
        self._channel.drafts = False
        if for_good or not self.kept or self.failure is not None:
            self.close()
            return
        self._let_go()
        timeout = self._config.resume_timeout
        self._expiry = asyncio.get_running_loop().call_later(timeout, self._expire)
        say(log, logging.INFO, "session_detached", session=self.name, seconds=timeout)

    def stop(self, outlet: Outlet) -> None:
        """Free the engine's slot; the connection still has to close."""
        if self._outlet is outlet:
            self._host.post(self._channel, Close())

    def close(self) -> None:
        """It is over: free the engine's slot and the lease."""
        if self._over:
            return
        self._over = True
        if self._expiry is not None:
            self._expiry.cancel()
        self._host.post(self._channel, Close())
        self.lease.give_back()
        self._on_over(self)

    def _let_go(self) -> None:
        """What the lost connection held up must not be held up for ever; the next one gets a draft anew."""
        self._channel.blocked = False
        self.pause(False)

    def _expire(self) -> None:
        say(log, logging.INFO, "session_expired", session=self.name)
        self.close()


def _again(ready: Ready, received: int) -> Ready:
    fields = {name: getattr(ready, name) for name in ready.__struct_fields__}
    return Ready(**fields | {"received": received})
