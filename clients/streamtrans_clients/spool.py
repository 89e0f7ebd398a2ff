"""Sound that waits to be sent: as long as it must, up to a limit, then the oldest is given up.

This file knows frames of PCM. It does not know where they come from nor where they go.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

LONGEST = 10 * 60.0  # s


class Spool:
    """`put` frames and `end`, iterate over them beside it. rate: samples a second, of 16 bits."""

    def __init__(self, rate: int) -> None:
        self.given_up = 0.0  # s of sound
        self._second = 2 * rate  # bytes
        self._frames: deque[bytes] = deque()
        self._bytes = 0
        self._ended = False
        self._more = asyncio.Event()

    def put(self, frame: bytes) -> None:
        """One more frame; the oldest go when there are more than `LONGEST` s."""
        self._frames.append(frame)
        self._bytes += len(frame)
        while self._bytes > LONGEST * self._second:
            self.given_up += len(self._take()) / self._second
        self._more.set()

    def end(self) -> None:
        """No further frame; those that wait still come."""
        self._ended = True
        self._more.set()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while self._frames or not self._ended:
            if self._frames:
                yield self._take()
                continue
            self._more.clear()
            await self._more.wait()

    def _take(self) -> bytes:
        frame = self._frames.popleft()
        self._bytes -= len(frame)
        return frame
