"""A websocket server of a page: it answers each word with itself in capitals, or as it is told.

The clients are tested against the documented protocol, not against our server.
"""

from __future__ import annotations

import asyncio
import functools
import http
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import uvloop
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response

LIMIT = 20.0  # s for a whole test
READY: dict[str, Any] = {
    **{"type": "ready", "version": 1, "session": "s", "model": "en-fr", "kind": "text"},
    **{"source": "en", "target": "fr", "policy": "wait-1", "limits": {"max_text_bytes": 8192}},
}


class Capitals:
    """The happy server: wait-1, a segment at each full stop. Keeps what it received."""

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        self.seq = self.words = 0
        self.half = ""

    async def __call__(self, peer: ServerConnection) -> None:
        async for frame in peer:
            message = json.loads(frame)
            self.received.append(message)
            for answer in self.answers(message):
                await peer.send(json.dumps(answer))
            if message["type"] == "end":
                return

    def answers(self, message: dict[str, Any]) -> Iterator[dict[str, Any]]:
        kind = message["type"]
        if kind == "start":
            yield READY
        elif kind == "text":
            *words, self.half = (self.half + message["text"]).replace("\n", " ").split(" ")
            for word in filter(None, words):
                yield from self.word(word)
        elif kind == "mark":
            yield self.event("marked", id=message["id"])
        elif kind == "policy":
            yield self.event("changed", policy=message["policy"], index=self.words)
        else:
            if self.half:
                yield from self.word(self.half)
            self.half = ""
            kind = "segment" if kind == "flush" else "done"
            yield self.event(kind, source_words=self.words, target_words=self.words)

    def word(self, word: str, **times: float) -> Iterator[dict[str, Any]]:
        index = self.words
        self.words += 1
        yield self.event("source", **{"text": word, "index": index, "at": 1.0, **times})
        yield self.event("target", text=word.upper(), index=index, read=index + 1, at=1.0)
        if word.endswith("."):
            yield self.event("segment", source_words=self.words, target_words=self.words)

    def event(self, kind: str, **fields: Any) -> dict[str, Any]:
        self.seq += 1
        return {"type": kind, "seq": self.seq, **fields}


def says(*answers: Any, code: int = 1000, reason: str = "") -> Callable[..., Awaitable[None]]:
    """A server that answers `start` with these messages and closes."""

    async def handler(peer: ServerConnection) -> None:
        await peer.recv()
        for answer in answers:
            await peer.send(answer if isinstance(answer, str) else json.dumps(answer))
        await peer.close(code, reason)

    return handler


def overloaded(connection: ServerConnection, request: Request) -> Response:
    response = connection.respond(http.HTTPStatus.SERVICE_UNAVAILABLE, "draining\n")
    response.headers["Retry-After"] = "3"
    return response


Handler = Callable[[ServerConnection], Awaitable[None]]


@asynccontextmanager
async def serving(handler: Handler, **options: Any) -> AsyncIterator[str]:
    server: Server
    async with serve(handler, "127.0.0.1", 0, **options) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"ws://127.0.0.1:{port}/v1/translate"


@contextmanager
def serving_aside(handler: Handler, **options: Any) -> Iterator[str]:
    """The same in a thread, for clients that block."""
    ready: list[str] = []
    running = threading.Event()
    loop = uvloop.new_event_loop()
    over = asyncio.Event()

    async def run() -> None:
        async with serving(handler, **options) as url:
            ready.append(url)
            running.set()
            await over.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    try:
        assert running.wait(LIMIT)
        yield ready[0]
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
        loop.close()


def in_loop(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run an async test under uvloop."""

    @functools.wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        async def limited() -> None:
            async with asyncio.timeout(LIMIT):
                await test(*arguments, **named)

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(limited())

    return run
