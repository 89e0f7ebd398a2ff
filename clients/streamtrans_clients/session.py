"""A session with a streamtrans server, for asyncio; `connection.py` opens it.

This file knows the verbs of a session, how it ends, and how it goes on when the connection or the server is lost. It
does not know where text comes from or what becomes of the events. Read while you write: a server does not take more
text from a client that does not read.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from msgspec.structs import replace
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from streamtrans.messages import (
    Ack,
    Audio,
    Command,
    Done,
    Draft,
    End,
    Event,
    Flush,
    Mark,
    Ready,
    SetPolicy,
    Start,
    Text,
)
from streamtrans_clients import wire
from streamtrans_clients.dial import Dial
from streamtrans_clients.errors import SessionFailed, lost
from streamtrans_clients.patience import RETRIED, patiently
from streamtrans_clients.record import Record

ACK_EVERY = 32  # events
REPLAYS = 3  # after internal errors in a row: what the engine cannot do it will not do
PIECE = 32_768  # bytes of one frame of audio
BROKEN = frozenset(
    {1001, 1006, 1011, 1012, 1013}
)  # close codes after which it is worth coming back


@dataclass(frozen=True)
class Line:
    """The connection: is it there, and why not."""

    open: bool
    text: str = ""


class Session:
    """Verbs go out, typed events come in by iteration, which ends after `Done`.

    Every verb and the iteration raise SessionFailed when the session has failed; the reason is
    told by the iteration. `ready` is the first answer of the server.
    """

    def __init__(
        self,
        dial: Dial,
        start: Start,
        socket: ClientConnection,
        ready: Ready,
        patience: float,
        on_line: Callable[[Line], None] | None = None,
    ) -> None:
        self.ready = ready
        self.reconnects = self.replays = 0  # how often it came back, and to a new server session
        self._dial, self._start, self._patience = dial, start, patience
        self._socket: ClientConnection | None = socket
        self._key = ready.token
        self._returns = ready.token is not None and patience > 0
        self._on_line = on_line or _nobody
        self._record = Record(start.policy, start.rate)
        self._handed = 0  # messages given to the socket
        self._acked = self._ack_due = 0
        self._opened = time.monotonic()
        self._at = 0.0
        self._done = False
        self._draft_gone = False  # the line was lost, and the last draft with it
        self._internal = 0  # internal errors since the last event
        self._failure: SessionFailed | None = None
        self._sending = asyncio.Lock()
        self._returning = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._retry: asyncio.Task[None] | None = None

    async def send_text(self, text: str, at: float | None = None) -> None:
        """A piece of source text of any size; `at` is the source clock in ms.

        Without `at` it is the time since the session opened.
        """
        self._at = max(self._at, self._clock()) if at is None else at
        await self._send(Text(text, self._at))

    async def send_audio(self, data: bytes) -> None:
        """Sound as it is heard, any number of bytes: 16-bit little-endian PCM, one channel, at the session's rate."""
        piece = min(PIECE, int(self.ready.limits.get("max_audio_bytes", PIECE)))
        for start in range(0, len(data), piece):
            await self._send(Audio(data[start : start + piece]))

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
        """No more source: the rest of the events comes, then `Done`."""
        await self._send(End())

    async def abort(self) -> None:
        """Leave without waiting for the rest."""
        self._stay_away()
        if self._socket is not None:
            await self._socket.close()

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        if self._done:
            raise StopAsyncIteration
        while True:
            if self._draft_gone:
                self._draft_gone = False
                return Draft((), ())
            event = await self._receive()
            if event is not None:
                self._internal = 0
                self._done = isinstance(event, Done)
                return event

    async def close(self) -> None:
        """Give the connection back; `connect` does it."""
        self._stay_away()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._socket is not None:
            await self._socket.close()

    def _clock(self) -> float:
        return round((time.monotonic() - self._opened) * 1000, 1)

    # in

    async def _receive(self) -> Event | None:
        """The next event, or None when there was none for the reader."""
        socket = self._socket
        if socket is None:
            await self._come_back(None, None)
            return None
        try:
            event = wire.event(await socket.recv())
        except ConnectionClosed as error:
            await self._come_back(socket, error)
            self._push_aside()
            return None
        except SessionFailed as failure:
            self._internal += failure.code == "internal"
            if failure.code not in RETRIED or self._internal > REPLAYS:
                self._failure = failure
                raise
            await self._come_back(socket, failure)
            self._push_aside()
            return None
        if socket is not self._socket:
            return None  # it was given up meanwhile, and its successor brings this event
        placed = self._record.received(event)
        if self._record.server_seq - self._acked >= ACK_EVERY and self._key:
            self._acked = self._ack_due = self._record.server_seq
            self._push_aside()
        return placed

    # out

    async def _send(self, message: Command) -> None:
        if self._failure is not None:
            raise self._failure
        self._record.sent(message)
        await self._push()

    async def _push(self) -> None:
        """Give the socket all that is not yet given."""
        async with self._sending:
            while True:
                socket = self._socket
                if socket is None:
                    await self._come_back(None, None)
                    continue
                if self._ack_due:
                    ack, self._ack_due = Ack(self._ack_due), 0
                    with contextlib.suppress(ConnectionClosed):
                        await socket.send(wire.frame(ack))
                    continue
                message = self._record.number(self._handed + 1)
                if message is None:
                    return
                try:
                    await socket.send(wire.frame(message))
                except ConnectionClosed as error:
                    await self._come_back(socket, error)
                    continue
                if socket is self._socket:
                    self._handed += 1

    def _push_aside(self) -> None:
        """Push while the reader goes on reading, or both sides might wait for each other."""
        task = asyncio.create_task(self._push_quietly())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _push_quietly(self) -> None:
        with contextlib.suppress(SessionFailed):  # the reader hears of it
            await self._push()

    # back

    async def _come_back(
        self, socket: ClientConnection | None, why: ConnectionClosed | SessionFailed | None
    ) -> None:
        """Replace `socket`, which is lost. Raises SessionFailed when the session is over."""
        async with self._returning:
            if self._socket is not socket:
                return
            if self._failure is not None:
                raise self._failure
            if isinstance(why, ConnectionClosed):
                code = why.rcvd.code if why.rcvd else 1006
                why = lost(why)
                if not self._returns or code not in BROKEN:
                    raise why
            if not self._returns:
                raise why or SessionFailed("connection_lost", "the session was left")
            self._socket = None
            self._draft_gone = self._start.drafts
            if socket is not None:
                socket.transport.abort()
            self._on_line(Line(False, why.text if why else "there is none"))
            try:
                await self._retried()
            except SessionFailed as failure:
                self._failure = failure
                raise
            self.reconnects += 1
            self._on_line(Line(True))

    async def _retried(self) -> None:
        """Until there is a socket. Raises SessionFailed when none comes in time or the session is left."""
        self._retry = asyncio.create_task(patiently(self._try_again, self._patience))
        [failure] = await asyncio.gather(self._retry, return_exceptions=True)
        if not self._returns:
            raise SessionFailed("connection_lost", "the session was left")
        if failure is not None:
            raise failure

    def _stay_away(self) -> None:
        """No way back from here on; a socket that is being opened is given up."""
        self._returns = False
        if self._retry is not None:
            self._retry.cancel()

    async def _try_again(self) -> None:
        try:
            if self._key is not None:
                return await self._resume(self._key)
        except SessionFailed as failure:
            if failure.code != "resume_lost":
                raise
            self._key = None
        await self._replay()

    async def _resume(self, key: str) -> None:
        socket, ready = await self._dial.resume(key, self._record.server_seq)
        self._handed, self._acked = ready.received, self._record.server_seq
        self._socket = socket

    async def _replay(self) -> None:
        """A new session gets the source of the open segment, and the committed words to begin with."""
        record = self._record
        start = replace(self._start, policy=record.policy, prefix=record.prefix)
        clock = self._clock()
        socket, ready = await self._dial.open(start)
        record.restart(clock)
        self._handed = self._acked = self._ack_due = 0
        self._key, self._socket = ready.token, socket
        self.replays += 1


def _nobody(line: Line) -> None:
    """Hears of the connection."""
