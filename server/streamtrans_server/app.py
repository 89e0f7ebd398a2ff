"""The server: who is let in, which paths answer, how it starts and how it drains.

This file knows HTTP paths, signals and the life of the process. It does not know messages.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket as sockets
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict
from http import HTTPStatus

import msgspec
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from streamtrans.engine import Engine
from streamtrans.messages import PROTOCOL_VERSION
from streamtrans_server.admission import Admission
from streamtrans_server.config import ServerConfig
from streamtrans_server.connection import Connection, Offer
from streamtrans_server.engine_thread import EngineThread
from streamtrans_server.failure import Failure
from streamtrans_server.static import StaticFiles
from streamtrans_server.websocket import Websocket

log = logging.getLogger("streamtrans.server")
wire_log = logging.getLogger("streamtrans.server.websockets")
wire_log.setLevel(logging.INFO)  # below it websockets logs frames, and frames hold what people say

PATH = "/v1/translate"
MODELS_PATH = "/v1/models"
IDLE_LOOK = 0.25  # of idle_timeout between two looks for idle sessions


class App:
    """One engine behind one listening socket."""

    def __init__(self, engine: Engine, config: ServerConfig) -> None:
        self.config = config
        self.admission = Admission(min(config.max_sessions, engine.max_sessions))
        model = engine.model
        self._offer = Offer(
            model.name, model.source, model.target, model.kind, engine.default_policy
        )
        self.static = StaticFiles()
        self._thread = EngineThread(engine, config.lag_ms, self._engine_failed)
        self._connections: set[Connection] = set()

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Listen, warm the engine, then yield the address; on exit close what is left."""
        config = self.config
        listener = _listener(config)
        async with serve(
            self._handle,
            sock=listener,
            process_request=self._admit,
            create_connection=Websocket,
            compression=None,
            max_size=config.max_message_bytes,
            write_limit=config.write_buffer_bytes,
            ping_interval=config.ping_interval,
            ping_timeout=config.ping_timeout,
            close_timeout=config.close_timeout,
            logger=wire_log,
        ):
            port = listener.getsockname()[1]
            watch = asyncio.create_task(self._end_idle())
            try:
                await self._thread.start()
                self.admission.warmed = True
                yield f"ws://{_host_in_url(config.host)}:{port}{PATH}"
            finally:
                watch.cancel()
                self.admission.draining = True
                self._end_all(Failure("draining", "the server is shutting down"))
                await self.admission.emptied()
                await self._thread.stop()

    async def drain(self, seconds: float) -> None:
        """Let nobody in any more and give those who are in `seconds` to finish."""
        self.admission.draining = True
        log.info("draining sessions=%d seconds=%g", self.admission.taken, seconds)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.admission.emptied()

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer a plain request or refuse the handshake; None accepts it with a slot taken."""
        path = request.path.partition("?")[0]
        if path == "/healthz":
            return connection.respond(HTTPStatus.OK, "alive\n")
        if path == "/readyz":
            refusal = self.admission.refusal
            return (
                self._refuse(connection, refusal)
                if refusal
                else connection.respond(HTTPStatus.OK, "ready\n")
            )
        if path == MODELS_PATH:
            return self._models(connection)
        if path != PATH:
            if found := self.static.find(path):
                return found
            return connection.respond(HTTPStatus.NOT_FOUND, f"the path is {PATH}\n")
        if refusal := self.admission.take():
            return self._refuse(connection, refusal)
        assert isinstance(connection, Websocket)
        connection.on_lost = self.admission.give_back
        return None

    def _models(self, connection: ServerConnection) -> Response:
        """What a client may ask for, before it takes a session."""
        offers = {"version": PROTOCOL_VERSION, "models": [asdict(self._offer)]}
        response = connection.respond(HTTPStatus.OK, msgspec.json.encode(offers).decode())
        del response.headers["Content-Type"]
        response.headers["Content-Type"] = "application/json"
        return response

    def _refuse(self, connection: ServerConnection, why: str) -> Response:
        response = connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, f"{why}\n")
        response.headers["Retry-After"] = str(self.config.retry_after)
        return response

    async def _handle(self, socket: ServerConnection) -> None:
        assert isinstance(socket, Websocket)
        connection = Connection(socket, self._thread, self._offer, self.config)

        def lost() -> None:
            connection.lost()
            self.admission.give_back()

        socket.on_lost = lost
        self._connections.add(connection)
        try:
            if self.admission.draining:
                connection.end(Failure("draining", "the server is shutting down"))
            await connection.serve()
        finally:
            self._connections.discard(connection)

    async def _end_idle(self) -> None:
        timeout = self.config.idle_timeout
        while True:
            await asyncio.sleep(timeout * IDLE_LOOK)
            for connection in list(self._connections):
                if connection.silent_for > timeout:
                    connection.end(Failure("idle_timeout", f"nothing came for {timeout:g} s"))

    def _end_all(self, failure: Failure) -> None:
        for connection in list(self._connections):
            connection.end(failure)

    def _engine_failed(self) -> None:
        self.admission.failed = True


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

    Raises WarmUpFailed when the engine cannot translate and OSError when the address is taken.
    """
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(serve_until_signal(engine, config))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:  # not made for this platform
        return asyncio.new_event_loop
    return uvloop.new_event_loop


def _listener(config: ServerConfig) -> sockets.socket:
    """A listening socket whose connections have small kernel buffers, so that a client which does
    not read is noticed after kilobytes and not megabytes."""
    family = sockets.AF_INET6 if ":" in config.host else sockets.AF_INET
    listener = sockets.create_server(
        (config.host, config.port), family=family, backlog=config.max_sessions
    )
    for option in (sockets.SO_SNDBUF, sockets.SO_RCVBUF):
        listener.setsockopt(sockets.SOL_SOCKET, option, config.socket_buffer_bytes)
    return listener


def _host_in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
