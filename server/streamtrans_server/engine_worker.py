"""One engine in a process of its own, as the server's process sees it.

This file knows the worker's life and which channel has which number. It does not know other workers.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import multiprocessing
import socket as sockets
import time
from collections.abc import Callable
from itertools import count

from streamtrans.messages import Command, FromServer
from streamtrans_server.channel import Channel
from streamtrans_server.engine_host import BROKEN, About, Close, Control, Open
from streamtrans_server.engine_process import Broken, Load, Order, Turn, work
from streamtrans_server.frames import frame, read, wait
from streamtrans_server.logs import log_failure, say
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
        atexit.register(self.kill)  # or Python would wait for it
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
        try:
            about = _accepted(wait(self._socket))
        except EOFError as error:
            raise self._death() from error
        assert isinstance(about, About)
        return about

    async def start(self, on_failed: Callable[[], None]) -> None:
        """See `EngineHost`; after `load`."""
        self._on_failed = on_failed
        self._reader, self._writer = await asyncio.open_unix_connection(sock=self._socket)
        try:
            warm = await read(self._reader)
        except EOFError as error:
            raise await asyncio.to_thread(self._death) from error
        _accepted(warm)
        self._listening = asyncio.create_task(self._listen())

    def post(self, channel: Channel, command: Command | Control, weight: int = 0) -> None:
        """See `EngineHost`."""
        if isinstance(command, Open):
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
        await asyncio.to_thread(self.kill)

    def kill(self) -> None:
        """See `EngineHost`."""
        atexit.unregister(self.kill)
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
        except Exception as error:
            log_failure(log, "engine_process_unheard", error)
            self._process.kill()
            self._bury()

    def _hear(self, turn: Turn) -> None:
        self._queued = turn.queued
        for name, values in turn.notes:
            getattr(self._metrics, name)(*values)
        for number, level in turn.levels.items():
            if channel := self._channels.get(number):
                channel.fed, channel.fed_bytes, channel.backlog, channel.waiting_ms = level
                if channel.blocked and number not in turn.events:
                    _deliver(channel, [])
        for number, events in turn.events.items():
            if channel := self._channels.get(number):
                _deliver(channel, events)

    def _bury(self) -> None:
        """The process is gone: its sessions are over, and there will be no others."""
        self._lost = True
        say(log, logging.ERROR, "engine_process_lost", sessions=self.sessions)
        self._on_failed()
        channels, self._channels = self._channels, {}
        self._known.clear()
        self._orders.clear()
        self._queued = 0
        for channel in channels.values():
            _deliver(channel, [BROKEN])

    def _death(self) -> WorkerLost:
        if self._stopping:
            return WorkerLost("an engine process was stopped before it was ready")
        self._process.join(PATIENCE)
        return WorkerLost(
            f"an engine process ended before it was ready (exit {self._process.exitcode})"
        )


def _accepted(message: object) -> object:
    if isinstance(message, Exception):
        raise message
    return message


def _deliver(channel: Channel, events: list[FromServer]) -> None:
    """What goes wrong with one session is not to hurt the others."""
    try:
        channel.deliver(events)
    except Exception as error:
        log_failure(log, "deliver_failed", error)
