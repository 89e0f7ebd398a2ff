"""How a websocket to a server comes about: a new session, or one that is kept there.

This file knows the handshake and the first message. It does not know what is said after, nor when to try again.
"""

from __future__ import annotations

import ssl as tls
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as connect_websocket
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

from streamtrans.messages import Ready, Start
from streamtrans_clients import wire
from streamtrans_clients.errors import lost, refused

CLOSE_TIMEOUT = 2.0  # s


@dataclass(frozen=True)
class Dial:
    """Where the server is, and what it wants to see."""

    url: str
    token: str | None = None
    proxy: str | None = None
    ssl: tls.SSLContext | None = None

    async def open(self, start: Start) -> tuple[ClientConnection, Ready]:
        """A new session. Raises Refused, SessionFailed, OSError, TimeoutError."""
        async with self._socket(self.url) as socket:
            await socket.send(wire.frame(start))
            return socket, wire.ready(await socket.recv())

    async def resume(self, key: str, after: int) -> tuple[ClientConnection, Ready]:
        """The session that is kept under this key, from the event after number `after`."""
        async with self._socket(wire.returning(self.url, key, after)) as socket:
            return socket, wire.ready(await socket.recv())

    @asynccontextmanager
    async def _socket(self, url: str) -> AsyncIterator[ClientConnection]:
        """A socket that is closed when the block fails, and left open when it does not."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else None
        try:
            socket = await connect_websocket(
                url,
                compression=None,
                proxy=self.proxy,
                ssl=self.ssl,
                close_timeout=CLOSE_TIMEOUT,
                additional_headers=headers,
            )
        except (InvalidHandshake, InvalidURI) as error:
            raise refused(error) from error
        try:
            yield socket
        except ConnectionClosed as error:
            raise lost(error) from error
        except BaseException:
            socket.transport.abort()
            raise
