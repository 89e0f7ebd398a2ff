"""What goes out of a connection: written at once while the client reads, held while it does not.

This file knows when the client reads and what to do while it does not. It does not know what the
messages say. It is bounded: with the first message that is held the session is paused, so what can
still come is what the engine made of the words it had, at most the backlog. Drafts are not held, but pause the session,
too: who resumes it makes them anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from streamtrans.messages import Draft, FromServer
from streamtrans_server.websocket import Websocket

Item = FromServer | bytes  # a message, or a frame that is one already


class Outbox:
    """`send` never blocks. `frames` gives messages their form, `pause` stops and resumes their source, `starved` is
    called when the client took nothing for `timeout` seconds."""

    def __init__(
        self,
        socket: Websocket,
        frames: Callable[[Sequence[Item]], list[bytes]],
        pause: Callable[[bool], None],
        starved: Callable[[], None],
        timeout: float,
    ) -> None:
        self._socket = socket
        self._frames = frames
        self._pause = pause
        self._starved = starved
        self._timeout = timeout
        self._held: list[Item] = []
        self._stall: asyncio.Task[None] | None = None

    @property
    def stalled(self) -> bool:
        """Does the client not read?"""
        return self._stall is not None

    def send(self, messages: Sequence[Item]) -> None:
        """Write the messages in one piece, or keep them, but for drafts, until the client reads again."""
        if self._stall is None and not self._socket.paused:
            self._write(messages)
            return
        self._held += [message for message in messages if not isinstance(message, Draft)]
        if self._stall is None:
            self._pause(True)
            self._stall = asyncio.create_task(self._wait_out())

    async def flush(self) -> None:
        """Returns once nothing is held: it was written, or dropped, or the client starved it."""
        if self._stall is not None:
            await asyncio.wait((self._stall,))

    def drop(self) -> None:
        """Forget what is held."""
        self._held.clear()
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    def _write(self, messages: Sequence[Item]) -> None:
        self._socket.send_now(self._frames(messages))

    async def _wait_out(self) -> None:
        if not await self._writable():
            self._starved()
            return
        held, self._held = self._held, []
        self._write(held)
        self._stall = None
        self._pause(False)

    async def _writable(self) -> bool:
        """Wait until the client has read enough; False when it takes nothing for `timeout`."""
        transport = self._socket.transport
        left = transport.get_write_buffer_size()
        while True:
            try:
                async with asyncio.timeout(self._timeout):
                    await self._socket.drain()
                return True
            except TimeoutError:
                before, left = left, transport.get_write_buffer_size()
                if left >= before:
                    return False
