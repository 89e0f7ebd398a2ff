"""One session of a load: it says its items on time and notes how late each committed word comes.

Sans-I/O protocols and callbacks, no task, so that the generator costs little beside the server. This file does not
know the wire; who subclasses it does.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import cast


class Speaker(asyncio.Protocol):
    """items: one of them every `interval` s, from the opening of the session until loop time `until`, then the end.

    lags: s from the moment the item that lets a word be committed was sent to the arrival of the word. over: done when
    the server has answered the end, or something failed; `fault` says what.
    """

    def __init__(self, items: Iterator[str | bytes], interval: float, until: float) -> None:
        self._items, self._interval, self._until = items, interval, until
        self._loop = asyncio.get_running_loop()
        self._sent: list[float] = []
        self.lags: list[float] = []
        self.fault: str | None = None
        self._transport: asyncio.Transport | None = None
        self.over: asyncio.Future[None] = self._loop.create_future()

    # --- what the wire is for -----------------------------------------------------------------------

    def greet(self) -> None:
        """The connection is there: ask for a session, and call `start` once it is open."""
        raise NotImplementedError

    def say(self, item: str | bytes) -> None:
        """Send one item."""
        raise NotImplementedError

    def finish(self) -> None:
        """Send the end of the source, and call `finished` once the server has answered."""
        raise NotImplementedError

    # --- what all wires share -----------------------------------------------------------------------

    @property
    def sent(self) -> int:
        """How many items were sent."""
        return len(self._sent)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.greet()

    def connection_lost(self, error: Exception | None) -> None:
        self.failed("connection lost")

    def write(self, data: bytes) -> None:
        """Bytes for the server."""
        assert self._transport, "written before the connection was made"
        self._transport.write(data)

    def close(self) -> None:
        """Leave, whatever is still under way."""
        if self._transport:
            self._transport.abort()

    def start(self) -> None:
        """The session is open: the source begins now."""
        self._turn(self._loop.time() + self._interval)

    def _turn(self, due: float) -> None:
        self._loop.call_at(due, self._speak, due)

    def _speak(self, due: float) -> None:
        """On an absolute schedule. The end comes with the last item, so that it is no later than what it lets go."""
        if self.over.done():
            return
        self.say(next(self._items))
        self._sent.append(time.perf_counter())
        if due + self._interval <= self._until:
            self._turn(due + self._interval)
        else:
            self.finish()

    def committed(self, item: int, words: int = 1) -> None:
        """So many words came now; all items up to number `item` let them be committed."""
        now = time.perf_counter()
        self.lags += [now - self._sent[max(0, min(item, self.sent - 1))]] * words

    def finished(self) -> None:
        """The server has answered the end."""
        if not self.over.done():
            self.over.set_result(None)

    def failed(self, fault: str) -> None:
        """This session is lost; the first fault counts."""
        if not self.over.done():
            self.fault = fault
            self.over.set_result(None)
