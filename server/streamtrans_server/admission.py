"""Who may come in: how many sessions there are, whose they are, and whether the server takes new ones at all.

This file knows why a handshake is refused and with which HTTP status. It does not know sockets or the engine.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from http import HTTPStatus

from streamtrans_server.access import Account


class Refusal(Exception):
    """A handshake is refused: `reason` is one word for the metrics, `text` tells the client."""

    def __init__(self, status: HTTPStatus, reason: str, text: str) -> None:
        super().__init__(text)
        self.status, self.reason, self.text = status, reason, text


class Lease:
    """One slot, held by a connection and then by its session. Giving it back twice is giving it back once."""

    def __init__(self, admission: Admission, account: Account, address: str) -> None:
        self.account, self.address = account, address
        self._admission = admission
        self._held = True

    def give_back(self) -> None:
        if self._held:
            self._held = False
            self._admission._gave_back(self)


class Admission:
    """Slots, taken in the handshake and given back when the session is over and its socket is lost.

    per_address: sessions at once from one address, 0 without limit.
    """

    def __init__(self, slots: int, per_address: int = 0) -> None:
        self.slots = slots
        self.taken = 0
        self.warmed = False
        self.draining = False
        self.failed = False
        self._per_address = per_address
        self._addresses: Counter[str] = Counter()
        self._accounts: Counter[str] = Counter()
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

    def take(self, account: Account, address: str) -> Lease:
        """Take a slot. Raises Refusal."""
        if why := self.refusal:
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "not_ready", why)
        if self.taken >= self.slots:
            raise Refusal(
                HTTPStatus.SERVICE_UNAVAILABLE, "full", f"all {self.slots} sessions are taken"
            )
        if 0 < self._per_address <= self._addresses[address]:
            text = f"at most {self._per_address} sessions from one address"
            raise Refusal(HTTPStatus.TOO_MANY_REQUESTS, "address_limit", text)
        if 0 < account.max_sessions <= self._accounts[account.name]:
            text = f"at most {account.max_sessions} sessions with this token"
            raise Refusal(HTTPStatus.TOO_MANY_REQUESTS, "token_limit", text)
        self.taken += 1
        self._addresses[address] += 1
        self._accounts[account.name] += 1
        self._empty.clear()
        return Lease(self, account, address)

    def _gave_back(self, lease: Lease) -> None:
        self.taken -= 1
        for counts, key in ((self._addresses, lease.address), (self._accounts, lease.account.name)):
            counts[key] -= 1
            if not counts[key]:
                del counts[key]
        if not self.taken:
            self._empty.set()

    async def emptied(self) -> None:
        """Returns once no session and no connection is left."""
        await self._empty.wait()
