"""A server around the fake engine in this process, and clients that speak raw JSON to it.

Real sockets on 127.0.0.1, port 0. This file knows the wire; it does not know the server's insides.
"""

from __future__ import annotations

import asyncio
import functools
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import uvloop
from fake_engine import FakeEngine
from streamtrans_server import App, ServerConfig, hosted
from streamtrans_server.metrics import Metrics
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

LIMIT = 40.0  # s for a whole test
START: dict[str, Any] = {"type": "start", "version": 1, "source": "en", "target": "fr"}
SENTENCE = "the cat sat on the mat. "


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


@dataclass
class Served:
    url: str
    app: App
    engine: FakeEngine


@asynccontextmanager
async def served(engine: Any = None, **options: Any) -> AsyncIterator[Served]:
    """A server on this engine, or on a fake one; on fake ones of their own where there are `workers`."""
    engine = engine or FakeEngine()
    config, metrics = ServerConfig(port=0, **options), Metrics()
    load = FakeEngine if config.workers > 1 else lambda: engine
    app = App(hosted(load, config, metrics), config, metrics)
    async with app.serving() as url:
        yield Served(url, app, engine)


async def send(peer: ClientConnection, *messages: dict[str, Any]) -> None:
    for message in messages:
        await peer.send(json.dumps(message))


@asynccontextmanager
async def started(url: str, policy: str | None = None) -> AsyncIterator[ClientConnection]:
    """A peer that has sent `start` and received `ready`."""
    async with connect(url, compression=None) as peer:
        await send(peer, START if policy is None else {**START, "policy": policy})
        assert json.loads(await peer.recv())["type"] == "ready"
        yield peer


async def rest(peer: ClientConnection) -> list[dict[str, Any]]:
    """All messages up to the close."""
    messages = []
    try:
        while True:
            messages.append(json.loads(await peer.recv()))
    except ConnectionClosed:
        return messages


async def finish(peer: ClientConnection) -> list[str]:
    """End the session; all its committed words. Asserts that nothing is missing or twice."""
    await send(peer, {"type": "end"})
    return complete(await rest(peer))


def complete(messages: list[dict[str, Any]]) -> list[str]:
    """The committed words of a session, after a check that its events are whole."""
    assert [message["seq"] for message in messages] == list(range(1, len(messages) + 1))
    last = messages[-1]
    words = {side: of_type(messages, side) for side in ("source", "target")}
    assert last["type"] == "done", last
    for side, events in words.items():
        assert [event["index"] for event in events] == list(range(last[f"{side}_words"]))
    return [event["text"] for event in words["target"]]


def of_type(messages: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [message for message in messages if message["type"] == kind]


async def get(url: str, path: str) -> tuple[int, dict[str, str], str]:
    """Status, headers and body of a plain HTTP request."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode())
    head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    first, *lines = head.split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return int(first.split()[1]), headers, body


def small_socket(url: str) -> socket.socket:
    """A connected socket that takes only a few kilobytes before it is full."""
    parts = urlsplit(url)
    small = socket.socket()
    small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    small.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2048)
    small.connect((parts.hostname, parts.port))
    small.setblocking(False)
    return small


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that tells nobody; the test's own limit ends it."""
    while not condition():
        await asyncio.sleep(0.002)
