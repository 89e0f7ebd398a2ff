"""A process that runs one engine for the server: commands come over a socket, events go back.

It says `About`, then `Warm`, then `Turn`s; or the exception that kept it from that. When the socket closes the server
is gone, and so is this. This file knows sessions by number. It does not know clients.
"""

from __future__ import annotations

import asyncio
import pickle
import signal
import socket as sockets
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from streamtrans.engine import Engine
from streamtrans.messages import Command, FromServer
from streamtrans_server.channel import Channel
from streamtrans_server.engine_host import About, Close, Control, Open
from streamtrans_server.engine_thread import EngineThread
from streamtrans_server.frames import frame, read
from streamtrans_server.logs import configure

INTERVAL = 0.05  # s, at most, until the server knows how far a session is of which there is nothing else to tell

Load = Callable[[], Engine]
Order = tuple[int, Command | Control, int, float, bool]  # number, command, weight, arrival, drafts
Level = tuple[int, int, int, float]  # fed, fed_bytes, backlog, waiting_ms of `Channel`
Note = tuple[str, tuple[float, ...]]  # a method of `EngineMetrics` and its arguments


class Warm:
    """The engine has done everything once."""


class Broken:
    """The engine has failed."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What is new: events and levels of sessions by number, in order, notes for the metrics, commands that wait."""

    events: dict[int, list[FromServer]]
    levels: dict[int, Level]
    notes: list[Note]
    queued: int


def work(load: Load, socket: sockets.socket, lag_ms: float, logs: tuple[str, str]) -> None:
    """Be a worker until the socket closes. Signals are for the server, which ends its workers when it has drained."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    configure(*logs)
    with suppress(OSError):  # the server is gone
        try:
            engine = load()
        except Exception as error:
            socket.sendall(frame(portable(error)))
            return
        socket.sendall(frame(About.of(engine)))
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    asyncio.run(_Worker(engine, lag_ms).serve(socket))


class _Worker:
    """Between the socket and the thread of the engine."""

    def __init__(self, engine: Engine, lag_ms: float) -> None:
        self._notes = Notes()
        self._thread = EngineThread(engine, lag_ms, self._notes)
        self._channels: dict[int, Channel] = {}
        self._told: dict[int, Level] = {}
        self._events: dict[int, list[FromServer]] = {}
        self._queued = 0  # as it was told

    async def serve(self, socket: sockets.socket) -> None:
        reader, self._writer = await asyncio.open_unix_connection(sock=socket)
        try:
            await self._thread.start(lambda: self._say(Broken()))
        except Exception as error:
            self._say(portable(error))
            await self._writer.drain()
            return
        self._say(Warm())
        both = [asyncio.create_task(some) for some in (self._listen(reader), self._keep_telling())]
        done, left = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        for task in left:
            task.cancel()
        await self._thread.stop()
        for task in done:
            task.result()

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        """Until the server is gone."""
        with suppress(EOFError):
            while True:
                for order in await read(reader):
                    self._take(*order)

    def _take(
        self, number: int, command: Command | Control, weight: int, arrived: float, drafts: bool
    ) -> None:
        if isinstance(command, Open):
            deliver = partial(self._deliver, number)
            self._channels[number] = Channel(deliver, command.rate, drafts)
        channel = self._channels.get(number)
        if channel is None:
            return
        channel.drafts = drafts
        self._thread.post(channel, command, weight, arrived)
        if isinstance(command, Close):
            del self._channels[number]
            self._told.pop(number, None)

    def _deliver(self, number: int, events: list[FromServer]) -> None:
        if not self._events:
            asyncio.get_running_loop().call_soon(self._tell)
        self._events.setdefault(number, []).extend(events)

    async def _keep_telling(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL)
            self._tell()

    def _tell(self) -> None:
        """Say what is new, if anything is."""
        events, self._events = self._events, {}
        levels = {}
        for number, channel in self._channels.items():
            level = (channel.fed, channel.fed_bytes, channel.backlog, channel.waiting_ms)
            if self._told.get(number) != level:
                self._told[number] = levels[number] = level
        notes, queued = self._notes.take(), self._thread.queued
        if events or levels or notes or queued != self._queued:
            self._queued = queued
            self._say(Turn(events, levels, notes, queued))

    def _say(self, message: object) -> None:
        self._writer.write(frame(message))


class Notes:
    """`EngineMetrics` that are kept until somebody takes them to the server's."""

    def __init__(self) -> None:
        self._notes: deque[Note] = deque()  # the engine's thread puts, the loop takes

    def take(self) -> list[Note]:
        return [self._notes.popleft() for _ in range(len(self._notes))]

    def stepped(self, seconds: float, sessions: int) -> None:
        self._notes.append(("stepped", (seconds, sessions)))

    def heard(self, seconds: float) -> None:
        self._notes.append(("heard", (seconds,)))

    def committed(self, lag: float) -> None:
        self._notes.append(("committed", (lag,)))

    def began(self, delay: float) -> None:
        self._notes.append(("began", (delay,)))

    def lagged(self) -> None:
        self._notes.append(("lagged", ()))

    def drafted(self) -> None:
        self._notes.append(("drafted", ()))

    def skipped_draft(self) -> None:
        self._notes.append(("skipped_draft", ()))


def portable(error: Exception) -> Exception:
    """The error, or its text if it cannot travel."""
    try:
        whole = str(pickle.loads(pickle.dumps(error))) == str(error)
    except Exception:
        whole = False
    return error if whole else RuntimeError(f"{type(error).__name__}: {error}")
