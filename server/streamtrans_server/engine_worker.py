"""One engine in a process of its own, as the server's process sees it.

This file knows the worker's life and which channel has which number. It does not know other workers.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import socket as sockets
import time
from collections.abc import Callable
from itertools import count

from streamtrans.messages import Command
from streamtrans_server.channel import Channel
from streamtrans_server.engine_host import BROKEN, About, Close, Control, Open
from streamtrans_server.engine_process import Broken, Load, Order, Turn, work
from streamtrans_server.frames import frame, read, wait
from streamtrans_server.logs import say
from streamtrans_server.metrics import EngineMetrics

log = logging.getLogger("streamtrans.server.worker")

PATIENCE = 10.0  # s for a worker to end when it is told to


class WorkerLost(RuntimeError):
    """The process of an engine ended by itself."""


class EngineWorker:
    """See `EngineHost`. `load` runs in the new process; it must be something that can be pickled."""

    def __init__(
        self, load: Load, lag_ms: float, logs: tuple[str, str], metrics: EngineMetrics
    ) -> None:
        self._metrics = metrics
        self._socket, theirs = sockets.socketpair()
        self._process = multiprocessing.get_context("spawn").Process(
            target=work, args=(load, theirs, lag_ms, logs), name="engine", daemon=True
        )
        self._process.start()
        theirs.close()
        self._numbers = count()
        self._channels: dict[int, Channel] = {}
        self._known: dict[Channel, int] = {}
        self._orders: list[Order] = []
        self._queued = 0  # in the worker
        self._lost = self._stopping = False

    @property
    def sessions(self) -> int:
        """How many channels are open here."""
        return len(self._known)

    @property
    def queued(self) -> int:
        """See `EngineHost`."""
        return self._queued + len(self._orders)

    def load(self) -> About:
        """Wait until the engine is loaded. Raises what loading raised, and WorkerLost."""
        about = self._accepted(self._expect(lambda: wait(self._socket)))
        assert isinstance(about, About)
        return about

    async def start(self, on_failed: Callable[[], None]) -> None:
        """See `EngineHost`; after `load`."""
        self._on_failed = on_failed
        self._reader, self._writer = await asyncio.open_unix_connection(sock=self._socket)
        try:
            self._accepted(await read(self._reader))
        except EOFError as error:
            raise self._death() from error
        self._listening = asyncio.create_task(self._listen())

    def post(self, channel: Channel, command: Command | Control, weight: int = 0) -> None:
        """See `EngineHost`."""
        if isinstance(command, Open):
            if self._lost:
                asyncio.get_running_loop().call_soon(lambda: channel.deliver([BROKEN]))
                return
            number = self._known[channel] = next(self._numbers)
            self._channels[number] = channel
        number = self._known.get(channel, -1)
        if number < 0:
            return  # closed, or lost with the worker
        if not self._orders:
            asyncio.get_running_loop().call_soon(self._send)
        self._orders.append((number, command, weight, time.monotonic(), channel.drafts))
        if isinstance(command, Close):
            del self._channels[number], self._known[channel]

    async def stop(self) -> None:
        """See `EngineHost`."""
        self._stopping = True
        if hasattr(self, "_writer"):
            self._send()
            self._writer.close()
        else:
            self._socket.close()
        await asyncio.to_thread(self._process.join, PATIENCE)
        if self._process.is_alive():
            await asyncio.to_thread(self.kill)

    def kill(self) -> None:
        """End it at once."""
        self._socket.close()
        self._process.kill()
        self._process.join()

    def _send(self) -> None:
        orders, self._orders = self._orders, []
        if orders and not self._lost:
            self._writer.write(frame(orders))

    async def _listen(self) -> None:
        try:
            while True:
                message = await read(self._reader)
                if isinstance(message, Turn):
                    self._hear(message)
                else:
                    assert isinstance(message, Broken)
                    self._on_failed()
        except EOFError:
            if not self._stopping:
                self._bury()

    def _hear(self, turn: Turn) -> None:
        self._queued = turn.queued
        for name, values in turn.notes:
            getattr(self._metrics, name)(*values)
        for number, level in turn.levels.items():
            if channel := self._channels.get(number):
                channel.fed, channel.fed_bytes, channel.backlog, channel.waiting_ms = level
                if channel.blocked and number not in turn.events:
                    channel.deliver([])
        for number, events in turn.events.items():
            if channel := self._channels.get(number):
                channel.deliver(events)

    def _bury(self) -> None:
        """The process is gone: its sessions are over, and there will be no others."""
        self._lost = True
        say(log, logging.ERROR, "engine_process_lost", sessions=self.sessions)
        self._on_failed()
        channels, self._channels = self._channels, {}
        self._known.clear()
        for channel in channels.values():
            channel.deliver([BROKEN])

    def _expect(self, get: Callable[[], object]) -> object:
        try:
            return get()
        except EOFError as error:
            raise self._death() from error

    def _death(self) -> WorkerLost:
        self._process.join(PATIENCE)
        return WorkerLost(
            f"an engine process ended before it was ready (exit {self._process.exitcode})"
        )

    def _accepted(self, message: object) -> object:
        if isinstance(message, Exception):
            raise message
        return message
