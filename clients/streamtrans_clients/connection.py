"""A session with a streamtrans server, for asyncio.

This file knows the verbs of a session and how it ends. It does not know where text comes from or
what becomes of the events. Read while you write: a server does not take more text from a client
that does not read.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as connect_websocket
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

from streamtrans.messages import Done, End, Event, Flush, Mark, Ready, SetPolicy, Text
from streamtrans_clients import wire
from streamtrans_clients.errors import lost, refused

CLOSE_TIMEOUT = 2.0  # s


class Session:
    """Verbs go out, typed events come in by iteration, which ends after `Done`.

    Every verb and the iteration raise SessionFailed when the session has failed; the reason is
    told by the iteration.
    """

    def __init__(self, socket: ClientConnection, ready: Ready) -> None:
        self._socket = socket
        self._done = False
        self.ready = ready

    async def send_text(self, text: str, at: float | None = None) -> None:
        """A piece of source text of any size; `at` is the source clock in ms, else the server's."""
        await self._send(Text(text, at))

    async def flush(self) -> None:
        """Have all that was sent translated and committed, and go on."""
        await self._send(Flush())

    async def mark(self, id: str) -> None:
        """Ask for `Marked` with this id once all that was sent is READ."""
        await self._send(Mark(id))

    async def set_policy(self, policy: str) -> None:
        """Change the policy, for example to wait-5."""
        await self._send(SetPolicy(policy))

    async def end(self) -> None:
        """No more text: the rest of the events comes, then `Done`."""
        await self._send(End())

    async def abort(self) -> None:
        """Leave without waiting for the rest."""
        await self._socket.close()

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        if self._done:
            raise StopAsyncIteration
        try:
            event = wire.event(await self._socket.recv())
        except ConnectionClosed as error:
            raise lost(error) from error
        self._done = isinstance(event, Done)
        return event

    async def _send(self, message: msgspec.Struct) -> None:
        try:
            await self._socket.send(wire.frame(message))
        except ConnectionClosed as error:
            raise lost(error) from error


@asynccontextmanager
async def connect(
    url: str,
    source: str = "en",
    target: str = "fr",
    policy: str | None = None,
    proxy: str | None = None,
) -> AsyncIterator[Session]:
    """Open a session.

    Raises Refused when the handshake is refused, SessionFailed when `url` is none of a streamtrans
    server or the server does not take the languages or the policy, OSError when there is no server,
    TimeoutError when it does not answer.
    """
    try:
        socket = await connect_websocket(
            url, compression=None, proxy=proxy, close_timeout=CLOSE_TIMEOUT
        )
    except (InvalidHandshake, InvalidURI) as error:
        raise refused(error) from error
    async with socket:
        try:
            await socket.send(wire.start(source, target, policy))
            ready = wire.ready(await socket.recv())
        except ConnectionClosed as error:
            raise lost(error) from error
        yield Session(socket, ready)
