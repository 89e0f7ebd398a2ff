"""One websocket: frames in, events out, and how it closes.

This file knows when a client has to start, how fast it may send, and what is said at the end. What its messages mean is
up to the session, which may outlive it. It logs no text of a user.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from websockets.frames import CloseCode, Opcode

from streamtrans.messages import Error, FromServer, Start
from streamtrans_server.admission import Lease
from streamtrans_server.codec import decode, encode
from streamtrans_server.config import ServerConfig
from streamtrans_server.failure import Failure
from streamtrans_server.live_session import LiveSession
from streamtrans_server.logs import say, where
from streamtrans_server.outbox import Outbox
from streamtrans_server.rate import Rate
from streamtrans_server.websocket import Payload, Websocket

log = logging.getLogger("streamtrans.server.session")

LEAVING = (CloseCode.NORMAL_CLOSURE, CloseCode.GOING_AWAY)  # with these a client leaves for good


class Connection:
    """`await serve()` lasts as long as the socket is of use; `end` ends it early with a named error.

    begin: makes the session of a `start`. It raises Failure.
    """

    def __init__(
        self,
        socket: Websocket,
        lease: Lease | None,
        begin: Callable[[Start], LiveSession],
        config: ServerConfig,
        rate: float,
    ) -> None:
        self.session: LiveSession | None = None
        self._socket = socket
        self._lease = lease  # until there is a session, which takes it over
        self._begin = begin
        self._config = config
        self._outbox = Outbox(
            socket, self._clock, self._pause, self._starved, config.slow_reader_timeout
        )
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.failure: Failure | None = None
        self._reason = "done"
        self._closing = False
        self._blocked = self._throttled = False
        self._rate = Rate(rate, time.monotonic())

    async def serve(self) -> None:
        """Take and send messages to the end of the session, then close the websocket."""
        starting = asyncio.get_running_loop().call_later(
            self._config.start_timeout, self._not_started
        )
        self._socket.listen(self._receive)
        try:
            await self._over
            await self._outbox.flush()
        finally:
            self._closing = True
            starting.cancel()
            self._outbox.drop()
            if self.session is not None and (self.failure or not self.session.kept):
                self.session.stop(self)
        self._socket.deafen()
        await self._close()

    def resume(self, session: LiveSession, after: int) -> None:
        """Go on with a session that lost its connection. Raises Failure resume_lost."""
        session.attach(self, after)
        self.session = session

    def lost(self) -> None:
        """The socket is gone; free what it held before another client can be let in."""
        if self.session is not None:
            self.session.leave(self, for_good=self._left())
        elif self._lease is not None:
            self._lease.give_back()
        if not self._over.done():
            self._reason = "lost"
            self._over.set_result(None)

    def _left(self) -> bool:
        """Will the client not come back? It said so, or it has all there is, or it was sent away."""
        close = self._socket.protocol.close_rcvd
        return self.failure is not None or (close is not None and close.code in LEAVING)

    def end(self, failure: Failure) -> None:
        """End the session now, unless it closes already: only the error still goes out."""
        if self._closing:
            return
        self.failure = failure
        self._outbox.drop()
        self.finish()

    def finish(self) -> None:
        """The last event was sent."""
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
            binary, limit = opcode is Opcode.BINARY, self._config.max_message_bytes
            if not binary and len(frame) > limit:
                raise Failure("too_large", f"one message holds at most {limit} bytes")
            message = decode(frame, binary)
            if self.session is not None:
                self.session.take(message)
            elif isinstance(message, Start):
                self.session = self._begin(message)
                self.session.open(self)
            else:
                raise Failure("bad_order", "the first message must be start")
        except Failure as failure:
            self.end(failure)
        except (
            Exception
        ) as error:  # a mistake of ours is this session's alone, and the client's to hear
            say(
                log, logging.ERROR, "receive_failed", error=type(error).__name__, where=where(error)
            )
            self.end(Failure("internal", "the message could not be taken; open a new session"))
        if wait := self._rate.take(time.monotonic()):
            self._throttled = True
            self._regulate()
            asyncio.get_running_loop().call_later(wait, self._unthrottle)

    def block(self, blocked: bool) -> None:
        """Stop reading from the client, who feels it through TCP, or go on."""
        self._blocked = blocked
        self._regulate()

    def _unthrottle(self) -> None:
        self._throttled = False
        self._regulate()

    def _regulate(self) -> None:
        if self._closing:
            return
        if self._blocked or self._throttled:
            self._socket.hold()
        else:
            self._socket.go_on()

    # out

    def send(self, messages: Sequence[FromServer]) -> None:
        """Write these, or hold them while the client does not read."""
        if messages and not self._over.done():
            self._socket.heard = time.monotonic()
            self._outbox.send(messages)

    def _pause(self, paused: bool) -> None:
        if self.session is not None:
            self.session.pause(paused)

    def _starved(self) -> None:
        seconds = self._config.slow_reader_timeout
        self.end(Failure("slow_reader", f"nothing was read for {seconds:g} s"))

    def _not_started(self) -> None:
        if self.session is None:
            seconds = self._config.start_timeout
            self.end(Failure("start_timeout", f"no start within {seconds:g} s"))

    def _clock(self) -> float:
        return self.session.clock() if self.session is not None else 0.0

    async def _close(self) -> None:
        """Say why, then close; a client that does not answer is cut off."""
        failure, socket = self.failure, self._socket
        code, reason = (failure.close_code, failure.code) if failure else (1000, self._reason)
        name = self.session.name if self.session is not None else "-"
        say(log, logging.INFO, "connection_closed", session=name, reason=reason, code=int(code))
        if failure:
            socket.send_now([encode(Error(failure.code, failure.text), 0.0)])
        try:
            async with asyncio.timeout(self._config.close_timeout):
                await socket.close(code, reason)
        except TimeoutError:
            socket.transport.abort()
