"""A TCP line between clients and a server that breaks at random, in the middle of frames. It knows bytes only."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

CHUNK = 4096


class Line:
    """`upstream` says where the server is now; connections are aborted after a random number of bytes.

    mean: bytes from the server after which a connection breaks, on the average; None for a sound line.
    """

    def __init__(
        self, upstream: Callable[[], tuple[str, int]], chance: random.Random, mean: float | None
    ) -> None:
        self.cuts = 0
        self.sound = mean is None
        self._upstream, self._chance, self._mean = upstream, chance, mean or 0.0

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[tuple[str, int]]:
        """Listen on a free port of this machine; the address."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        async with server:
            yield server.sockets[0].getsockname()[:2]

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            up_reader, up_writer = await asyncio.open_connection(*self._upstream())
        except OSError:
            writer.transport.abort()
            return
        left = float("inf") if self.sound else self._chance.expovariate(1 / self._mean)
        ways = [
            asyncio.create_task(self._carry(reader, up_writer, float("inf"))),
            asyncio.create_task(self._carry(up_reader, writer, left)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            pass  # the line is taken down
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for end in (writer, up_writer):
                end.transport.abort()

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, left: float
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(CHUNK):
                if len(data) > left and not self.sound:
                    writer.write(data[: int(left)])
                    self.cuts += 1
                    return
                left -= len(data)
                writer.write(data)
                await writer.drain()
