"""One session of the native protocol: what a client may say and when, and how the session ends.

This file knows the order of messages, their limits and both clocks of a session. It does not know
the engine (it posts to the engine thread), nor who was admitted. It logs no text of a user.
"""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
import time
from dataclasses import dataclass

from websockets.frames import Opcode

from streamtrans.messages import (
    PROTOCOL_VERSION,
    Command,
    Done,
    End,
    Error,
    Flush,
    FromClient,
    FromServer,
    Mark,
    Ready,
    Start,
    Text,
)
from streamtrans_server.channel import Channel
from streamtrans_server.codec import decode, encode
from streamtrans_server.config import ServerConfig
from streamtrans_server.engine_thread import Close, EngineThread, Open, Pause
from streamtrans_server.failure import Failure
from streamtrans_server.outbox import Outbox
from streamtrans_server.websocket import Payload, Websocket

log = logging.getLogger("streamtrans.server.session")

CHARACTERS = 8  # of one unit of work, at least: a text may hold words that no white space parts


@dataclass(frozen=True)
class Offer:
    """What the server translates."""

    model: str
    source: str
    target: str
    kind: str
    policy: str


class Connection:
    """`await serve()` lasts as long as the session; `end` ends it early with a named error."""

    def __init__(
        self, socket: Websocket, thread: EngineThread, offer: Offer, config: ServerConfig
    ) -> None:
        self._socket = socket
        self._thread = thread
        self._offer = offer
        self._config = config
        self._channel = Channel(self._deliver)
        self._outbox = Outbox(
            socket, self._clock, self._pause, self._starved, config.slow_reader_timeout
        )
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._failure: Failure | None = None
        self._reason = "done"
        self._closing = False
        self._name = secrets.token_hex(8)
        self._opened = time.monotonic()
        self._at = 0.0  # ms, source clock of the last Text
        self._started = False
        self._ended = False
        self._unflushed = False  # text came after the last flush

    async def serve(self) -> None:
        """Run the session to its end and close the websocket."""
        socket, config = self._socket, self._config
        starting = asyncio.get_running_loop().call_later(config.start_timeout, self._not_started)
        socket.listen(self._receive)
        try:
            await self._over
            await self._outbox.flush()
        finally:
            self._closing = True
            starting.cancel()
            self._outbox.drop()
            self._thread.post(self._channel, Close())
        socket.deafen()
        await self._close()

    def lost(self) -> None:
        """The socket is gone; free the engine's slot before another client can be let in."""
        self._thread.post(self._channel, Close())
        if not self._over.done():
            self._reason = "lost"
            self._over.set_result(None)

    def end(self, failure: Failure) -> None:
        """End the session now, unless it closes already: only the error still goes out."""
        if self._closing:
            return
        self._failure = failure
        self._outbox.drop()
        if not self._over.done():
            self._over.set_result(None)

    @property
    def silent_for(self) -> float:
        """Seconds since the client was last heard or was sent something."""
        return time.monotonic() - self._socket.heard

    # in: called for each frame

    def _receive(self, opcode: Opcode, frame: Payload) -> None:
        if self._over.done():
            return
        try:
            if opcode is Opcode.BINARY:
                raise Failure("unexpected_audio", "this session takes text, not binary frames")
            message = decode(frame)
            if type(message) is Text and self._started and not self._ended:
                self._text(message)
            else:
                self._control(message)
        except Failure as failure:
            self.end(failure)

    def _text(self, message: Text) -> None:
        text, at = message.text, message.at
        limit = self._config.max_text_bytes
        if len(text) * 4 > limit and len(text.encode()) > limit:
            raise Failure("bad_text", f"one text message holds at most {limit} bytes")
        if at is None:
            at = max(self._at, self._clock())
            message = Text(text, at)
        elif not (math.isfinite(at) and at >= self._at):
            raise Failure("bad_clock", f"at = {at}: must be finite and at least {self._at}")
        self._at = at
        words = len(text.split())
        if words:
            self._unflushed = True
        # without white space, too, a text is work: an engine cuts what is too long for a word
        self._post(message, max(words, len(text) // CHARACTERS, 1))

    def _control(self, message: FromClient) -> None:
        if isinstance(message, Start):
            self._start(message)
            return
        if not self._started:
            raise Failure("bad_order", "the first message must be start")
        if self._ended:
            raise Failure("bad_order", "nothing may follow end")
        if isinstance(message, Flush):
            if not self._unflushed:
                return  # a flood of these would leave no trace in the events and so have no bound
            self._unflushed = False
        elif isinstance(message, Mark):
            limit = self._config.max_mark_bytes
            if len(message.id.encode()) > limit:
                raise Failure("bad_message", f"a mark's id holds at most {limit} bytes")
        elif isinstance(message, End):
            self._ended = True
        self._post(message, 1)

    def _start(self, start: Start) -> None:
        if self._started:
            raise Failure("bad_order", "start may come only once")
        offer = self._offer
        if start.version != PROTOCOL_VERSION:
            text = f"this server speaks version {PROTOCOL_VERSION}, not {start.version}"
            raise Failure("unsupported_version", text)
        if start.kind != offer.kind:
            raise Failure("unsupported_kind", f"this server takes {offer.kind}")
        if (start.source, start.target) != (offer.source, offer.target):
            text = f"this server translates {offer.source} to {offer.target}"
            raise Failure("unsupported_language", text)
        self._started = True
        self._opened = time.monotonic()
        policy = start.policy or offer.policy
        ready = Ready(
            PROTOCOL_VERSION,
            self._name,
            offer.model,
            offer.source,
            offer.target,
            offer.kind,
            policy,
            self._config.limits,
        )
        self._thread.post(self._channel, Open(start.policy, ready))

    def _post(self, command: Command, weight: int) -> None:
        channel = self._channel
        channel.posted += weight
        self._thread.post(channel, command, weight)
        if channel.level >= self._config.max_backlog_words:
            channel.blocked = True
            self._socket.hold()
            asyncio.get_running_loop().call_soon(self._make_room)  # it may have room by now

    # out: called for each turn of the engine thread that concerns this session

    def _deliver(self, events: list[FromServer]) -> None:
        if self._over.done():
            return
        if events:
            self._socket.heard = time.monotonic()
            last = events[-1]
            if type(last) is Error:
                self._outbox.send(events[:-1])
                self.end(Failure(last.code, last.text))
                return
            self._outbox.send(events)
            if type(last) is Done:
                self._over.set_result(None)
        if self._channel.blocked:
            self._make_room()

    def _make_room(self) -> None:
        """Read again once half of the limit is free."""
        channel = self._channel
        if channel.blocked and channel.level <= self._config.max_backlog_words // 2:
            channel.blocked = False
            self._socket.go_on()

    def _pause(self, paused: bool) -> None:
        self._thread.post(self._channel, Pause(paused))

    def _starved(self) -> None:
        seconds = self._config.slow_reader_timeout
        self.end(Failure("slow_reader", f"nothing was read for {seconds:g} s"))

    def _not_started(self) -> None:
        if not self._started:
            seconds = self._config.start_timeout
            self.end(Failure("start_timeout", f"no start within {seconds:g} s"))

    def _clock(self) -> float:
        """Milliseconds since the session opened."""
        return round((time.monotonic() - self._opened) * 1000, 1)

    async def _close(self) -> None:
        """Say why, then close; a client that does not answer is cut off."""
        failure, socket = self._failure, self._socket
        code, reason = (failure.close_code, failure.code) if failure else (1000, self._reason)
        log.info("session_closed session=%s reason=%s code=%d", self._name, reason, code)
        if failure:
            socket.send_now([encode(Error(failure.code, failure.text), 0.0)])
        try:
            async with asyncio.timeout(self._config.close_timeout):
                await socket.close(code, reason)
        except TimeoutError:
            socket.transport.abort()
