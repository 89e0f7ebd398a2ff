"""Several engines in processes of their own, so that sessions share more than one core.

This file knows which worker has which session: a new one goes where there are fewest. It does not know how a worker
runs its engine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from streamtrans.messages import Command
from streamtrans_server.channel import Channel
from streamtrans_server.engine_host import BROKEN, About, Close, Control, Open
from streamtrans_server.engine_process import Load
from streamtrans_server.engine_worker import EngineWorker
from streamtrans_server.metrics import EngineMetrics


class EnginePool:
    """See `EngineHost`. `count` processes, each with an engine of its own from `load`; all are loaded at once.

    slots: sessions at once in all of them. Raises what loading raises. When one process fails, its sessions end with
    the error `internal` and the pool has failed; sessions of the others go on.
    """

    def __init__(
        self,
        load: Load,
        count: int,
        slots: int,
        lag_ms: float,
        logs: tuple[str, str],
        metrics: EngineMetrics,
    ) -> None:
        self._workers: list[EngineWorker] = []
        self._homes: dict[Channel, EngineWorker] = {}
        self._failed = False
        try:
            for _ in range(count):
                self._workers.append(EngineWorker(load, lag_ms, logs, metrics))
            offers = [worker.load() for worker in self._workers]
        except BaseException:
            self.kill()
            raise
        self.about: About = replace(offers[0], slots=min(slots, sum(o.slots for o in offers)))

    async def start(self, on_failed: Callable[[], None]) -> None:
        """See `EngineHost`."""

        def failed() -> None:
            if not self._failed:
                self._failed = True
                on_failed()

        await asyncio.gather(*(worker.start(failed) for worker in self._workers))

    def post(self, channel: Channel, command: Command | Control, weight: int = 0) -> None:
        """See `EngineHost`."""
        if isinstance(command, Open) and self._failed:
            asyncio.get_running_loop().call_soon(lambda: channel.deliver([BROKEN]))
        elif isinstance(command, Open):
            self._homes[channel] = min(self._workers, key=lambda worker: worker.sessions)
        if (home := self._homes.get(channel)) is not None:
            home.post(channel, command, weight)
        if isinstance(command, Close):
            self._homes.pop(channel, None)

    @property
    def queued(self) -> int:
        """See `EngineHost`."""
        return sum(worker.queued for worker in self._workers)

    async def stop(self) -> None:
        """See `EngineHost`."""
        await asyncio.gather(*(worker.stop() for worker in self._workers))

    def kill(self) -> None:
        """See `EngineHost`."""
        for worker in self._workers:
            worker.kill()
