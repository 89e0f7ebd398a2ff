"""The process: logs, signals and the event loop around the server.

This file knows how a server starts and ends. It does not know what is served.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

from streamtrans_server.app import App
from streamtrans_server.config import ServerConfig
from streamtrans_server.engine_host import EngineHost
from streamtrans_server.engine_pool import EnginePool
from streamtrans_server.engine_process import Load
from streamtrans_server.engine_thread import EngineThread
from streamtrans_server.logs import configure
from streamtrans_server.metrics import EngineMetrics, Metrics


def hosted(load: Load, config: ServerConfig, metrics: EngineMetrics) -> EngineHost:
    """An engine in this process or, where there are several workers, one in the process of each. Raises what `load`
    raises.
    """
    if config.workers == 1:
        return EngineThread(load(), config.lag_ms, metrics)
    logs = config.log_format, config.log_level
    return EnginePool(load, config.workers, config.max_sessions, config.lag_ms, logs, metrics)


async def serve_until_signal(app: App) -> None:
    """Serve until SIGTERM or SIGINT, then drain; a second signal cuts the draining short."""
    stops: asyncio.Queue[None] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stops.put_nowait, None)
    async with app.serving() as address:
        print(f"listening on {address}", flush=True)
        await stops.get()
        draining = asyncio.create_task(app.drain(app.config.drain_seconds))
        hurry = asyncio.create_task(stops.get())
        await asyncio.wait((draining, hurry), return_when=asyncio.FIRST_COMPLETED)
        draining.cancel()
        hurry.cancel()


def run(load: Load, config: ServerConfig) -> None:
    """Serve in this thread until a signal ends it. load: what makes an engine, of `config.max_sessions` slots or, for
    each of several workers, of its share; with those it must be something that can be pickled.

    Raises what `load` raises, WarmUpFailed when the engine cannot translate, ConfigError when a file that the
    configuration names cannot be used, and OSError when the address is taken.
    """
    configure(config.log_format, config.log_level)
    metrics = Metrics()
    host = hosted(load, config, metrics)
    try:
        app = App(host, config, metrics)
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(serve_until_signal(app))
    finally:
        host.kill()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:  # not made for this platform
        return asyncio.new_event_loop
    return uvloop.new_event_loop
