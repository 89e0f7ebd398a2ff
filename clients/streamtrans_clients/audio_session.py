"""A session that hears: frames of PCM go out, events come in, over as many connections as it takes.

This file knows frames, the order of messages and how to come back. It does not know where sound comes from.
What is said while the connection is lost waits here. When the server itself was lost, a new session hears again what
the old one had not confirmed: at most a second twice, nothing lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass

from msgspec.structs import replace
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from streamtrans.messages import (
    PROTOCOL_VERSION,
    Ack,
    Changed,
    Done,
    End,
    Error,
    Event,
    Mark,
    Marked,
    Ready,
    Segment,
    Source,
    Start,
    Target,
)
from streamtrans_clients import wire
from streamtrans_clients.dial import Dial
from streamtrans_clients.errors import Refused, SessionFailed, lost

MARK_EVERY = 10  # frames
LONGEST_WAITING = 10 * 60.0  # s of sound that wait for a connection; then the oldest is given up
FIRST_DELAY, LONGEST_DELAY = 0.1, 2.0  # s between two attempts to come back
OWN = "heard-"  # marks of this file begin so
GONE = frozenset({"resume_lost", "draining", "connection_lost", "overloaded"})


@dataclass(frozen=True)
class Line:
    """The connection: is it there, and why not."""

    open: bool
    text: str


class AudioSession:
    """`hear` each frame, iterate over `events` beside it, `end` when nothing more is said.

    rate: samples a second. patience: seconds for which a lost connection is tried again.
    """

    def __init__(
        self, dial: Dial, source: str, target: str, rate: int, policy: str | None, patience: float
    ) -> None:
        self._dial, self._rate, self._patience = dial, rate, patience
        self._start = Start(
            PROTOCOL_VERSION, source, target, "audio", policy, keep=patience > 0, rate=rate
        )
        self._log: deque[bytes | Mark | End] = deque()  # sent, but not known to be heard
        self._dropped = 0  # messages before these, of the session on the server
        self._handed = 0  # messages given to the socket
        self._more = asyncio.Event()
        self._frames = 0
        self._key: str | None = None
        self._seq = 0  # last event of the session on the server
        self._told = 0  # last event handed on
        self._words = {Source: 0, Target: 0}  # handed on
        self._base = {Source: 0, Target: 0}  # words before the session on the server began
        self._heard = 0.0  # ms of sound that is no longer in the log
        self._base_ms = 0.0  # ms of sound before the session on the server began

    # out

    def hear(self, frame: bytes) -> None:
        """A frame of s16le mono PCM; it goes out when it can."""
        self._log.append(frame)
        self._frames += 1
        if self._frames % MARK_EVERY == 0:
            self._log.append(Mark(f"{OWN}{self._frames}"))
        self._more.set()

    def end(self) -> None:
        """Nothing more will be said: the rest of the events comes, then `Done`."""
        self._log.append(End())
        self._more.set()

    @property
    def waiting_ms(self) -> float:
        """Sound that the server has not confirmed."""
        return sum(self._ms(entry) for entry in self._log)

    def _ms(self, entry: bytes | Mark | End) -> float:
        return len(entry) / 2 / self._rate * 1000 if isinstance(entry, bytes) else 0.0

    async def _send(self, socket: ClientConnection) -> None:
        with contextlib.suppress(ConnectionClosed):  # the reader hears of it
            while True:
                self._more.clear()
                while self._handed - self._dropped < len(self._log):
                    entry = self._log[self._handed - self._dropped]
                    self._handed += 1
                    await socket.send(entry if isinstance(entry, bytes) else wire.frame(entry))
                await self._more.wait()

    # in

    async def events(self) -> AsyncGenerator[Event | Line, None]:
        """To `Done`. A lost connection and its return are told as `Line`.

        Raises SessionFailed and Refused; OSError and TimeoutError when the first connection does not come about.
        """
        socket, ready = await self._dial.open(self._start)
        while True:
            self._key = ready.token
            yield Line(True, f"{ready.model} at {self._rate} Hz")
            sending = asyncio.create_task(self._send(socket))
            try:
                async for event in self._received(socket):
                    yield event
                    if isinstance(event, Done):
                        return
            except SessionFailed as failure:
                if self._key is None or failure.code not in GONE:
                    raise
                yield Line(False, failure.text)
                if failure.code != "connection_lost":
                    self._restart()
            finally:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
                socket.transport.abort() if self._key else await socket.close()
            socket, ready = await self._come_back()

    async def _received(self, socket: ClientConnection) -> AsyncIterator[Event]:
        try:
            async for data in socket:
                event = wire.event(data)
                assert not isinstance(event, Error)
                if event.seq != self._seq + 1:
                    raise SessionFailed("bad_server", f"event {event.seq} came after {self._seq}")
                self._seq = event.seq
                if isinstance(event, Marked) and event.id.startswith(OWN):
                    self._forget(event.id)
                    await socket.send(wire.frame(Ack(self._seq)))
                    continue
                self._told += 1
                yield self._placed(event)
        except ConnectionClosed as error:
            raise lost(error) from error
        raise SessionFailed("connection_lost", "the connection was closed before the end")

    def _placed(self, event: Event) -> Event:
        """The event with the numbers and the clock of the whole session."""
        event = replace(event, seq=self._told)
        if isinstance(event, (Source, Target)):
            kind = type(event)
            self._words[kind] += 1
            event = replace(
                event, index=event.index + self._base[kind], at=event.at + self._base_ms
            )
            if isinstance(event, Target):
                event = replace(event, read=event.read + self._base[Source])
        elif isinstance(event, Changed):
            event = replace(event, index=event.index + self._base[Source])
        elif isinstance(event, (Segment, Done)):
            event = replace(
                event,
                source_words=event.source_words + self._base[Source],
                target_words=event.target_words + self._base[Target],
            )
        return event

    def _forget(self, mark: str) -> None:
        """All before this mark was heard."""
        while self._log:
            entry = self._pop()
            if isinstance(entry, Mark) and entry.id == mark:
                return

    def _pop(self) -> bytes | Mark | End:
        entry = self._log.popleft()
        self._dropped += 1
        self._heard += self._ms(entry)
        return entry

    # back

    def _restart(self) -> None:
        """The session on the server is gone; the next one begins with what is not known to be heard."""
        self._key, self._seq = None, 0
        self._dropped = self._handed = 0
        self._base, self._base_ms = dict(self._words), self._heard

    async def _come_back(self) -> tuple[ClientConnection, Ready]:
        deadline = asyncio.get_running_loop().time() + self._patience
        delay = FIRST_DELAY
        while True:
            while self.waiting_ms > LONGEST_WAITING * 1000:
                self._pop()
            try:
                if self._key is None:
                    return await self._dial.open(self._start)
                socket, ready = await self._dial.resume(self._key, self._seq)
                self._handed = ready.received
                self._dropped = min(
                    self._dropped, ready.received
                )  # the server never counts what was given up
                return socket, ready
            except SessionFailed as failure:
                if failure.code not in GONE:
                    raise
                if failure.code == "resume_lost":
                    self._restart()
                    continue
                why: Exception = failure
            except (Refused, OSError, TimeoutError) as error:
                why = error
            if asyncio.get_running_loop().time() + delay > deadline:
                raise SessionFailed("connection_lost", f"no way back: {why}") from why
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))
            delay = min(2 * delay, LONGEST_DELAY)
