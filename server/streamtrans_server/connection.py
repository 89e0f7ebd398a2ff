"""One websocket: frames in, events out, and how it closes.

This file knows when a client has to start, how fast it may send, and when it is over. How messages look is up to the
dialect, what they mean up to the session, which may outlive the connection. It logs no text of a user.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

from websockets.frames import CloseCode, Opcode

from streamtrans.messages import Audio, FromClient, FromServer, Start
from streamtrans_server.admission import Lease
from streamtrans_server.config import ServerConfig
from streamtrans_server.dialects import Dialect
from streamtrans_server.dialects.dialect import Payload
from streamtrans_server.failure import Failure
from streamtrans_server.live_session import LiveSession
from streamtrans_server.logs import say, where
from streamtrans_server.outbox import Item, Outbox
from streamtrans_server.rate import Rate
from streamtrans_server.websocket import Websocket

log = logging.getLogger("streamtrans.server.session")

LEAVING = (CloseCode.NORMAL_CLOSURE, CloseCode.GOING_AWAY)  # with these a client leaves for good


class Connection:
    """`await serve()` lasts as long as the socket is of use; `end` ends it early with a named error.

    begin: makes the session of a `start`. It raises Failure.
    """

    def __init__(
        self,
        socket: Websocket,
        dialect: Dialect,
        lease: Lease | None,
        begin: Callable[[Start], LiveSession],
        config: ServerConfig,
        rate: float,
    ) -> None:
        self.session: LiveSession | None = None
        self._socket = socket
        self._dialect = dialect
        self._lease = lease  # until there is a session, which takes it over
        self._begin = begin
        self._config = config
        self._outbox = Outbox(
            socket, self._frames, self._pause, self._starved, config.slow_reader_timeout
        )
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.failure: Failure | None = None
        self._reason = "done"
        self._closing = False
        self._listening = False
        self._blocked = self._throttled = self._unread = False
        self._rate = Rate(rate, time.monotonic())

    async def serve(self) -> None:
        """Take and send messages to the end of the session, then close the websocket."""
        starting = asyncio.get_running_loop().call_later(
            self._config.start_timeout, self._not_started
        )
        self._begin_to_listen()
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

    def _begin_to_listen(self) -> None:
        """A session that opens by itself is `ready` before its client is heard."""
        if self._dialect.start is None or self.session is not None or self._over.done():
            self._listen()
            return
        self._socket.heard = time.monotonic()
        self._socket.hold()
        with self._guarded("receive_failed"):
            self._pass_on(self._dialect.start)

    def _listen(self) -> None:
        self._listening = True
        self._socket.listen(self._receive)

    def resume(self, session: LiveSession, after: int) -> None:
        """Go on with a session that lost its connection. Raises Failure resume_lost."""
        self.session = session  # before the events that were missed go out: they tell its clock
        try:
            session.attach(self, after)
        except Failure:
            self.session = None
            raise

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
        with self._guarded("receive_failed"):
            for item in self._dialect.hear(opcode, frame):
                if isinstance(item, bytes):
                    self._reply(item)
                else:
                    self._pass_on(item)
        if wait := self._rate.take(time.monotonic()):
            self._throttled = True
            self._regulate()
            asyncio.get_running_loop().call_later(wait, self._unthrottle)

    @contextlib.contextmanager
    def _guarded(self, what: str) -> Iterator[None]:
        """What goes wrong ends this session alone, and its client hears of it; `what` is for the log."""
        try:
            yield
        except Failure as failure:
            self.end(failure)
        except Exception as error:  # a mistake of ours
            found = {"error": type(error).__name__, "where": where(error)}
            say(log, logging.ERROR, what, **found)
            self.end(Failure("internal", "the message could not be taken; open a new session"))

    def _pass_on(self, message: FromClient | Audio) -> None:
        if self.session is not None:
            self.session.take(message)
        elif isinstance(message, Start):
            self.session = self._begin(message)
            self.session.open(self)
        else:
            raise Failure("bad_order", "the first message must be start")

    def _reply(self, frame: bytes) -> None:
        """Who does not read what he is answered is asked nothing more."""
        self._outbox.send((frame,))
        if self._outbox.stalled:
            self._unread = True
            self._regulate()

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
        if self._blocked or self._throttled or self._unread:
            self._socket.hold()
        else:
            self._socket.go_on()

    # out

    def send(self, messages: Sequence[FromServer]) -> None:
        """Write these, or hold them while the client does not read."""
        if messages and not self._over.done():
            self._socket.heard = time.monotonic()
            self._outbox.send(messages)
            if not self._listening and not self._over.done():
                self._listen()

    def _frames(self, items: Sequence[Item]) -> list[bytes]:
        frames: list[bytes] = []
        clock = self.session.clock() if self.session is not None else 0.0
        with self._guarded("send_failed"):
            for whole, group in groupby(items, key=_is_frame):
                part = list(group)
                frames += part if whole else self._dialect.tell(part, clock)  # type: ignore[arg-type]
        return frames

    def _pause(self, paused: bool) -> None:
        if not paused and self._unread:
            self._unread = False
            self._regulate()
        if self.session is not None:
            self.session.pause(paused)

    def _starved(self) -> None:
        seconds = self._config.slow_reader_timeout
        self.end(Failure("slow_reader", f"nothing was read for {seconds:g} s"))

    def _not_started(self) -> None:
        if self.session is None:
            seconds = self._config.start_timeout
            self.end(Failure("start_timeout", f"no start within {seconds:g} s"))

    async def _close(self) -> None:
        """Say why, then close; a client that does not answer is cut off."""
        failure, socket = self.failure, self._socket
        code, said = CloseCode.NORMAL_CLOSURE, self._reason
        if failure is not None:
            code, said = failure.close_code, failure.code
        name = self.session.name if self.session is not None else "-"
        say(log, logging.INFO, "connection_closed", session=name, reason=said, code=int(code))
        reason = self._dialect.reason(failure) if failure else said
        if failure:
            socket.send_now(self._dialect.farewell(failure))
        try:
            async with asyncio.timeout(self._config.close_timeout):
                await socket.close(code, reason)
        except TimeoutError:
            socket.transport.abort()


def _is_frame(item: Item) -> bool:
    return isinstance(item, bytes)
