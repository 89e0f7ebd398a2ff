"""Both directions are bounded, and a bound costs nobody a word."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fake_engine import FakeEngine, FakeSession, GatedEngine
from harness import (
    LIMIT,
    SENTENCE,
    START,
    complete,
    finish,
    in_loop,
    rest,
    send,
    served,
    small_socket,
    started,
    until,
)
from streamtrans_server.failure import Failure
from streamtrans_server.outbox import Outbox
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from streamtrans.messages import Command

SMALL = {"write_buffer_bytes": 2048, "socket_buffer_bytes": 2048, "max_backlog_words": 50}
PIECE = "word " * 10


@asynccontextmanager
async def deaf(url: str) -> AsyncIterator[ClientConnection]:
    """A started peer whose socket fills up when `recv` is not called."""
    small = small_socket(url)
    options: dict[str, Any] = {"max_queue": 1, "ping_interval": None, "write_limit": 1024}
    async with connect(url, sock=small, compression=None, close_timeout=0.1, **options) as peer:
        await send(peer, START)
        assert json.loads(await peer.recv())["type"] == "ready"
        yield peer


async def flood(peer: ClientConnection) -> None:
    try:
        for _ in itertools.count():
            await send(peer, {"type": "text", "text": PIECE})
    except ConnectionClosed:
        return


@pytest.fixture
def most_held(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The largest number of events an outbox ever held, in a list of one."""
    most = [0]
    plain = Outbox.send

    def send_and_look(self: Outbox, messages: Any) -> None:
        plain(self, messages)
        most[0] = max(most[0], len(self._held))

    monkeypatch.setattr(Outbox, "send", send_and_look)
    return most


@in_loop
async def test_a_reader_that_stops_is_bounded_paused_and_closed(most_held: list[int]) -> None:
    """It floods and never reads: its session is paused, its words pile up to the limit and no
    further, everybody else is served, and in the end it is told why it was closed."""
    async with served(slow_reader_timeout=0.5, **SMALL) as server, deaf(server.url) as peer:
        (session,) = server.engine.sessions
        flooding = asyncio.create_task(flood(peer))
        await until(lambda: session.paused)
        async with started(server.url) as other:
            for _ in range(20):
                await send(other, {"type": "text", "text": SENTENCE})
            assert await finish(other) == (SENTENCE * 20).upper().split()
        await until(lambda: session.closed)
        answers = await rest(peer)
        await flooding
        assert answers[-1]["code"] == "slow_reader"
        assert peer.close_code == 1008
        assert server.engine.most_queued <= 50 + 10
        assert 0 < most_held[0] <= 2 * (50 + 10)
        await server.app.admission.emptied()


@in_loop
async def test_a_reader_that_never_comes_back_is_cut_off() -> None:
    options = {**SMALL, "slow_reader_timeout": 0.2, "close_timeout": 0.2}
    async with served(**options) as server, deaf(server.url) as peer:
        flooding = asyncio.create_task(flood(peer))
        await server.app.admission.emptied()
        assert server.engine.sessions == []
        peer.transport.abort()
        await flooding


@in_loop
async def test_a_slow_reader_gets_everything_once(most_held: list[int]) -> None:
    """It reads one message for every one it sends, so a dozen events wait for it at any time."""
    words = [f"w{number}" for number in range(1500)]

    async def write(peer: ClientConnection) -> None:
        for start in range(0, len(words), 10):
            await send(peer, {"type": "text", "text": " ".join(words[start : start + 10]) + " "})
        await send(peer, {"type": "end"})

    async with served(**SMALL) as server, deaf(server.url) as peer:
        (session,) = server.engine.sessions
        writing = asyncio.create_task(write(peer))
        await until(lambda: session.paused)
        answers = []
        async for message in peer:
            answers.append(json.loads(message))
            await asyncio.sleep(0)
        await writing
        assert complete(answers) == [word.upper() for word in words]
        assert most_held[0] > 0


class SlowEngine(FakeEngine):
    """One session takes a step in each tick, so that a flood is always ahead of it."""

    def __init__(self) -> None:
        super().__init__(batch=1)


@in_loop
async def test_a_flood_loses_nothing_and_is_held_back() -> None:
    words = [f"w{number}" for number in range(3000)]
    async with served(SlowEngine(), max_backlog_words=40) as server, started(server.url) as peer:
        for word in words:
            await send(peer, {"type": "text", "text": word + " "})
        assert await finish(peer) == [word.upper() for word in words]
        assert server.engine.most_queued <= 40 + 10


@in_loop
async def test_a_flood_of_marks_and_flushes_is_held_back_too() -> None:
    """They bring no words, so a bound on words alone would let them pile up in the engine."""
    marks: list[dict[str, Any]] = [{"type": "mark", "id": str(number)} for number in range(500)]
    async with served(SlowEngine(), max_backlog_words=40) as server, started(server.url) as peer:
        for mark in marks:
            await send(peer, mark, {"type": "flush"}, {"type": "policy", "policy": "wait-2"})
        await send(peer, {"type": "end"})
        answers = await rest(peer)
        assert [event["id"] for event in answers if event["type"] == "marked"] == [
            mark["id"] for mark in marks
        ]
        assert server.engine.most_queued <= 40 + 10


@in_loop
async def test_a_session_that_falls_behind_is_told() -> None:
    engine = GatedEngine()
    async with served(engine, lag_ms=30) as server, started(server.url) as peer:
        engine.gate = False
        await send(peer, {"type": "text", "text": "one two "})
        lag = json.loads(await peer.recv())
        engine.gate = True
        await send(peer, {"type": "end"})
        answers = [lag, *await rest(peer)]
    assert (lag["type"], lag["seq"]) == ("lag", 1)
    assert 30 <= lag["ms"] < 20_000
    assert complete(answers) == ["ONE", "TWO"]


class StuckEngine(FakeEngine):
    """Takes nothing unless it is free."""

    def __init__(self) -> None:
        super().__init__()
        self.free = threading.Event()
        self.free.set()

    def feed(self, session: FakeSession, command: Command) -> None:
        assert self.free.wait(LIMIT)
        super().feed(session, command)


@in_loop
async def test_text_without_white_space_is_held_back_as_well() -> None:
    """A text counted as many words as white space parts, and 8 kB without any were one, though an engine has to cut
    them into hundreds: 200 such texts, sent in one go, kept the thread from everybody else for seconds.
    """
    engine = StuckEngine()
    async with served(engine, max_backlog_words=50) as server, started(server.url) as peer:
        (session,) = server.app.sessions.values()
        engine.free.clear()
        try:
            for _ in range(10):
                await send(peer, {"type": "text", "text": "x" * 63 + " "})
            await until(lambda: session._channel.blocked)
        finally:
            engine.free.set()
        assert await finish(peer) == ["X" * 63] * 10


class RestlessEngine(FakeEngine):
    """Finishes a session in spite of its slow reader."""

    def pause(self, session: FakeSession, paused: bool) -> None:
        pass


@in_loop
async def test_draining_does_not_wait_for_a_done_session_that_does_not_read(
    most_held: list[int],
) -> None:
    """All is translated and `done` waits to be read; the shutdown must not take 30 s for that."""
    async with served(RestlessEngine(), **SMALL) as server, deaf(server.url) as peer:
        (session,) = server.engine.sessions
        while not most_held[0]:
            await send(peer, {"type": "text", "text": PIECE})
            await until(lambda: not session.backlog)
        await send(peer, {"type": "end"})
        await until(lambda: session.closed)
        server.app._end_all(Failure("draining", "now"))
        assert (await rest(peer))[-1]["code"] == "draining"
