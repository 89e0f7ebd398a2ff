"""The process: logs, signals and the event loop around the server.

This file knows how a process starts and ends. It does not know what is served.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

from streamtrans.engine import Engine
from streamtrans_server.app import App
from streamtrans_server.config import ServerConfig
from streamtrans_server.logs import configure


async def serve_until_signal(engine: Engine, config: ServerConfig) -> None:
    """Serve until SIGTERM or SIGINT, then drain; a second signal cuts the draining short."""
    app = App(engine, config)
    stops: asyncio.Queue[None] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stops.put_nowait, None)
    async with app.serving() as address:
        print(f"listening on {address}", flush=True)
        await stops.get()
        draining = asyncio.create_task(app.drain(config.drain_seconds))
        hurry = asyncio.create_task(stops.get())
        await asyncio.wait((draining, hurry), return_when=asyncio.FIRST_COMPLETED)
        draining.cancel()
        hurry.cancel()


def run(engine: Engine, config: ServerConfig) -> None:
    """Serve in this thread until a signal ends it.

    Raises WarmUpFailed when the engine cannot translate, ConfigError when a file that the configuration names cannot be
    used, and OSError when the address is taken.
    """
    configure(config.log_format, config.log_level)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(serve_until_signal(engine, config))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:  # not made for this platform
        return asyncio.new_event_loop
    return uvloop.new_event_loop
