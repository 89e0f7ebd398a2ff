"""The server: which paths answer, who is let in, how it starts and how it drains.

This file knows HTTP paths, sessions by their tokens and the life of the server. It does not know messages.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict
from http import HTTPStatus
from urllib.parse import parse_qsl

import msgspec
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers, MultipleValuesError
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from streamtrans.messages import PROTOCOL_VERSION, Start
from streamtrans_server.access import Account, Accounts, origin_allowed, presented
from streamtrans_server.admission import Admission, Refusal
from streamtrans_server.config import ServerConfig
from streamtrans_server.connection import Connection
from streamtrans_server.dialects import DIALECTS, NATIVE_PATH, Asked
from streamtrans_server.engine_host import EngineHost
from streamtrans_server.failure import Failure
from streamtrans_server.handshakes import Handshakes
from streamtrans_server.listener import host_in_url, listen, tls_of
from streamtrans_server.live_session import LiveSession
from streamtrans_server.logs import say
from streamtrans_server.metrics import CONTENT_TYPE, Metrics
from streamtrans_server.static import StaticFiles
from streamtrans_server.websocket import Websocket

log = logging.getLogger("streamtrans.server")
wire_log = logging.getLogger("streamtrans.server.websockets")
wire_log.setLevel(logging.WARNING)  # below INFO it logs frames, and frames hold what people say

MODELS_PATH = "/v1/models"  # what a client may ask for, before it takes a session
TOKEN_VARIABLE = "STREAMTRANS_TOKEN"
LATER = (
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.TOO_MANY_REQUESTS,
)  # with these a client may try again
LOOK = 0.25  # of the shortest time limit between two looks for sessions that exceed it


class App:
    """One model behind one listening socket. Raises ConfigError and OSError for files it cannot use."""

    def __init__(self, host: EngineHost, config: ServerConfig, metrics: Metrics) -> None:
        self.config, self.metrics = config, metrics
        self.admission = Admission(
            min(config.max_sessions, host.about.slots), config.max_sessions_per_address
        )
        self.static = StaticFiles()
        self.sessions: dict[str, LiveSession] = {}  # by name
        self._offer = host.about.offer
        default = Account(
            "anyone", config.max_sessions_per_token, float(config.max_messages_per_second)
        )
        self._accounts = Accounts.load(config.tokens_file, os.environ.get(TOKEN_VARIABLE), default)
        self._tls = tls_of(config)
        self._host = host
        self._connections: set[Connection] = set()
        self._handshakes = Handshakes(config.max_handshakes)
        self._add_gauges()

    def _add_gauges(self) -> None:
        gauge, sessions = self.metrics.gauge, self.sessions
        gauge("sessions", "Slots that are taken.", lambda: self.admission.taken)
        gauge("session_slots", "Slots there are.", lambda: self.admission.slots)
        gauge(
            "sessions_detached",
            "Sessions that lost their connection and wait for it.",
            lambda: sum(session.detached for session in sessions.values()),
        )
        gauge(
            "backlog_words",
            "Words and commands that wait for the engine.",
            lambda: sum(session.backlog for session in sessions.values()),
        )
        gauge(
            "backlog_audio_seconds",
            "Sound that waits to be heard.",
            lambda: sum(session.unheard_ms for session in sessions.values()) / 1000,
        )
        gauge("queue", "Commands that no engine has taken yet.", lambda: self._host.queued)

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Listen, warm the engine, then yield the address; on exit close what is left."""
        config = self.config
        listener = listen(config)
        async with serve(
            self._handle,
            sock=listener,
            ssl=self._tls,
            ssl_handshake_timeout=config.handshake_timeout if self._tls else None,
            process_request=self._answer,
            select_subprotocol=_subprotocol,
            create_connection=self._handshakes.connection,  # type: ignore[arg-type]  # any callable
            compression=None,
            open_timeout=config.handshake_timeout,
            max_size=config.max_frame_bytes,
            write_limit=config.write_buffer_bytes,
            ping_interval=config.ping_interval,
            ping_timeout=config.ping_timeout,
            close_timeout=config.close_timeout,
            server_header=None,
            logger=wire_log,
        ):
            port = listener.getsockname()[1]
            watch = asyncio.create_task(self._watch_times())
            try:
                await self._host.start(self._engine_failed)
                self.admission.warmed = True
                scheme = "wss" if self._tls else "ws"
                yield f"{scheme}://{host_in_url(config.host)}:{port}{NATIVE_PATH}"
            finally:
                watch.cancel()
                self.admission.draining = True
                self._end_all(Failure("draining", "the server is shutting down"))
                await self.admission.emptied()
                await self._host.stop()

    async def drain(self, seconds: float) -> None:
        """Let nobody in any more and give those who are in `seconds` to finish."""
        self.admission.draining = True
        say(log, logging.INFO, "draining", sessions=self.admission.taken, seconds=seconds)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.admission.emptied()

    # the handshake

    def _answer(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer a plain request or refuse the handshake; None accepts it."""
        assert isinstance(connection, Websocket)
        path, _, query = request.path.partition("?")
        if path in DIALECTS:
            try:
                asked = dict(parse_qsl(query, keep_blank_values=True))
                self._admit(connection, request.headers, path, asked)
            except (
                MultipleValuesError,
                ValueError,
            ):  # a header twice, or an origin that is no address
                refusal = Refusal(HTTPStatus.BAD_REQUEST, "bad_request", "a header cannot be read")
            except Refusal as refused:
                refusal = refused
            else:
                return None
            self.metrics.refusals.labels(refusal.reason).inc()
            return self._refuse(connection, refusal)
        if path == "/healthz":
            return connection.respond(HTTPStatus.OK, "alive\n")
        if path == "/readyz":
            if why := self.admission.refusal:
                not_ready = Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "not_ready", why)
                return self._refuse(connection, not_ready)
            return connection.respond(HTTPStatus.OK, "ready\n")
        if path == MODELS_PATH:
            offers = {"version": PROTOCOL_VERSION, "models": [asdict(self._offer)]}
            return _page(msgspec.json.encode(offers), "application/json")
        if path == "/metrics":
            return _page(self.metrics.text(), CONTENT_TYPE)
        return self.static.find(path) or connection.respond(
            HTTPStatus.NOT_FOUND, f"the path is {NATIVE_PATH}\n"
        )

    def _admit(self, socket: Websocket, headers: Headers, path: str, query: dict[str, str]) -> None:
        """Take a slot, unless the client comes back to a session that has one. Raises Refusal."""
        if not origin_allowed(
            headers.get("Origin"), headers.get("Host"), self.config.allowed_origins
        ):
            raise Refusal(HTTPStatus.FORBIDDEN, "origin", "this origin is not allowed")
        account = self._accounts.find(presented(headers, query))
        if account is None:
            raise Refusal(HTTPStatus.UNAUTHORIZED, "token", "an API token is needed")
        socket.account = account
        socket.dialect = DIALECTS[path](Asked(query, self._offer, self.config))
        if path == NATIVE_PATH and "resume" in query:
            socket.returning = query["resume"], _number(query.get("after", ""))
            if self._find(socket) is not None:
                return
        lease = self.admission.take(account, _address(socket))
        socket.lease, socket.on_lost = lease, lease.give_back

    def _refuse(self, connection: ServerConnection, refusal: Refusal) -> Response:
        response = connection.respond(refusal.status, f"{refusal.text}\n")
        if refusal.status is HTTPStatus.UNAUTHORIZED:
            response.headers["WWW-Authenticate"] = "Bearer"
        elif refusal.status in LATER:
            response.headers["Retry-After"] = str(self.config.retry_after)
        return response

    def _find(self, socket: Websocket) -> LiveSession | None:
        """The kept session whose token the client brought, if it is the client's own."""
        assert socket.returning is not None and socket.account is not None
        name, _, secret = socket.returning[0].partition(".")
        session = self.sessions.get(name)
        if session is None or not session.opens_with(secret):
            return None
        return session if session.lease.account.name == socket.account.name else None

    # a connection

    async def _handle(self, socket: ServerConnection) -> None:
        assert isinstance(socket, Websocket) and socket.account is not None
        self._handshakes.done(socket)
        lease, account = socket.lease, socket.account

        def begin(start: Start) -> LiveSession:
            assert lease is not None
            session = LiveSession(
                start, lease, self._host, self._offer, self.config, self._session_over
            )
            self.sessions[session.name] = session
            self.metrics.sessions_opened.inc()
            return session

        rate = account.max_messages_per_second
        assert socket.dialect is not None
        connection = Connection(socket, socket.dialect, lease, begin, self.config, rate)
        socket.on_lost = connection.lost
        self._connections.add(connection)
        try:
            if socket.returning is not None:
                self._resume(connection, socket)
            elif self.admission.draining:
                connection.end(Failure("draining", "the server is shutting down"))
            await connection.serve()
        finally:
            self._connections.discard(connection)
            if connection.failure is not None:
                self.metrics.errors.labels(connection.failure.code).inc()

    def _resume(self, connection: Connection, socket: Websocket) -> None:
        assert socket.returning is not None
        try:
            session = self._find(socket)
            if session is None:
                raise Failure("resume_lost", "no such session is kept; open a new one")
            connection.resume(session, socket.returning[1])
        except Failure as failure:
            connection.end(failure)
        outcome = "lost" if connection.failure else "resumed"
        self.metrics.resumes.labels(outcome).inc()

    def _session_over(self, session: LiveSession) -> None:
        del self.sessions[session.name]

    # limits of time

    async def _watch_times(self) -> None:
        idle, total = self.config.idle_timeout, self.config.max_session_seconds
        while True:
            await asyncio.sleep(min(idle, total or idle) * LOOK)
            for connection in list(self._connections):
                session = connection.session
                if connection.silent_for > idle:
                    connection.end(Failure("idle_timeout", f"nothing came for {idle:g} s"))
                elif total and session is not None and session.age > total:
                    connection.end(Failure("time_limit", f"a session lasts {total:g} s at most"))

    def _end_all(self, failure: Failure) -> None:
        for connection in list(self._connections):
            connection.end(failure)
        for session in list(self.sessions.values()):
            if session.detached:
                session.close()

    def _engine_failed(self) -> None:
        self.admission.failed = True


def _subprotocol(socket: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """Browsers want one of those they offer; what holds a key is never chosen."""
    assert isinstance(socket, Websocket) and socket.dialect is not None
    known = socket.dialect.subprotocols
    return next((name for name in offered if name in known), None)


def _page(body: bytes, content_type: str) -> Response:
    headers = Headers()
    headers["Content-Type"] = content_type
    headers["Content-Length"] = str(len(body))
    headers["Connection"] = "close"
    return Response(HTTPStatus.OK.value, HTTPStatus.OK.phrase, headers, body)


def _address(socket: Websocket) -> str:
    address = socket.remote_address
    return str(address[0]) if address else ""


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0
