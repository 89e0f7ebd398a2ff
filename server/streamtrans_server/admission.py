"""Who may come in: a count of the connections, and whether the server takes new ones at all.

This file knows why a handshake is refused. It does not know HTTP or the engine.
"""

from __future__ import annotations

import asyncio


class Admission:
    """Slots, taken in the handshake and given back when the socket is lost."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.taken = 0
        self.warmed = False
        self.draining = False
        self.failed = False
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def refusal(self) -> str | None:
        """Why the server is not ready, or None when it is."""
        if self.failed:
            return "the engine has failed"
        if self.draining:
            return "draining"
        return None if self.warmed else "warming up"

    def take(self) -> str | None:
        """Take a slot. Returns why not, or None when the slot is taken."""
        if refusal := self.refusal:
            return refusal
        if self.taken >= self.slots:
            return f"all {self.slots} sessions are taken"
        self.taken += 1
        self._empty.clear()
        return None

    def give_back(self) -> None:
        self.taken -= 1
        if not self.taken:
            self._empty.set()

    async def emptied(self) -> None:
        """Returns once no connection is left."""
        await self._empty.wait()
