"""The page's files and a server of a page that speaks the protocol: it answers words with themselves in capitals.

It keeps sessions as the protocol says (token, received, after), can drop every connection or forget every session at a
word of the test, and keeps what it was sent. The page is tested against the documented protocol, not only our server.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from scripted_server import READY, Capitals, serving_aside
from streamtrans_server.static import StaticFiles
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

FRAMES_A_WORD = 5


class Kept(Capitals):
    """A session that outlives its connection; a word is heard in each five frames of audio."""

    def __init__(self, token: str) -> None:
        super().__init__()
        self.token = token
        self.kept: list[dict[str, Any]] = []
        self.frames: list[bytes] = []

    @property
    def taken(self) -> int:
        """Messages after start, acknowledgements not counted."""
        return len([m for m in self.received if m["type"] not in ("start", "ack")])

    @property
    def pcm(self) -> bytes:
        return b"".join(self.frames)

    def hears(self, frame: bytes) -> Iterator[dict[str, Any]]:
        self.received.append({"type": "audio"})
        self.frames.append(frame)
        if len(self.frames) % FRAMES_A_WORD == 0:
            number = len(self.frames) // FRAMES_A_WORD
            begin, end = (100.0 * n * FRAMES_A_WORD for n in (number - 1, number))
            yield from self.word(f"word{number}", begin=begin, end=end)


class Site:
    """kind: what the model takes. `keeps`: does it give out tokens?"""

    def __init__(self, kind: str = "text", keeps: bool = True) -> None:
        self.kind = kind
        self.keeps = keeps
        self.starts: list[dict[str, Any]] = []
        self.sessions: list[Kept] = []
        self.drop_after: int | None = None  # answers, then the connection is cut, once
        self._static = StaticFiles()
        self._peers: set[ServerConnection] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    # from the thread of the test

    @contextmanager
    def serving(self) -> Iterator[str]:
        with serving_aside(self, process_request=self.page) as url:
            yield url.replace("ws://", "http://").removesuffix("v1/translate")

    def drop(self, forget: bool = False, closed: bool = False) -> None:
        """Cut all connections; forget the sessions too; take no new connection until `reopen`."""
        self._closed = closed
        if forget:
            for session in self.sessions:
                session.token = ""
        assert self._loop is not None
        for peer in list(self._peers):
            self._loop.call_soon_threadsafe(peer.transport.abort)

    def reopen(self) -> None:
        self._closed = False

    @property
    def pcm(self) -> bytes:
        return b"".join(session.pcm for session in self.sessions)

    # in the server's thread

    def page(self, connection: ServerConnection, request: Request) -> Response | None:
        path = request.path.partition("?")[0]
        if path == "/v1/translate":
            return connection.respond(503, "closed\n") if self._closed else None  # type: ignore[arg-type]
        if path == "/v1/models":
            names = ("model", "source", "target", "policy")
            kinds = ["text"] if self.kind == "text" else ["text", "audio"]
            model = {name: READY[name] for name in names} | {"kinds": kinds}
            return connection.respond(200, json.dumps({"version": 1, "models": [model]}))  # type: ignore[arg-type]
        return self._static.find(path) or connection.respond(404, "")  # type: ignore[arg-type]

    async def __call__(self, peer: ServerConnection) -> None:
        self._loop = asyncio.get_running_loop()
        self._peers.add(peer)
        try:
            await self.converse(peer)
        except ConnectionClosed:
            pass  # a connection that the test has cut
        finally:
            self._peers.discard(peer)

    async def converse(self, peer: ServerConnection) -> None:
        assert peer.request is not None
        query = dict(parse_qsl(urlsplit(peer.request.path).query))
        session = self.resumed(query) if "resume" in query else await self.started(peer)
        if session is None:
            error = {"type": "error", "code": "resume_lost", "text": "no such session is kept"}
            await peer.send(json.dumps(error))
            return
        token = {"token": session.token} if self.keeps else {}
        ready = READY | {"kind": self.kind, "received": session.taken} | token
        await self.answer(peer, [ready, *session.kept[int(query.get("after", 0)) :]])
        async for frame in peer:
            if isinstance(frame, bytes):
                events = list(session.hears(frame))
            else:
                message = json.loads(frame)
                session.received.append(message)
                events = [] if message["type"] == "ack" else list(session.answers(message))
            session.kept += events
            await self.answer(peer, events)
            if events and events[-1]["type"] == "done":
                return

    async def started(self, peer: ServerConnection) -> Kept:
        start = json.loads(await peer.recv())
        self.starts.append(start)
        session = Kept(f"token{len(self.sessions)}")
        session.received.append(start)
        self.sessions.append(session)
        return session

    def resumed(self, query: dict[str, str]) -> Kept | None:
        found = [session for session in self.sessions if session.token == query["resume"]]
        return found[0] if found else None

    async def answer(self, peer: ServerConnection, messages: list[dict[str, Any]]) -> None:
        for message in messages:
            if self.drop_after == 0:
                self.drop_after = None
                peer.transport.abort()
                return
            if self.drop_after is not None:
                self.drop_after -= 1
            await peer.send(json.dumps(message))
