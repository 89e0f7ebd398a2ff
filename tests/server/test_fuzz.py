"""Anything may come over a socket, in any order, cut anywhere: the answer is events or one named error, and nobody else
notices. `make bench-fuzz` runs 10,000 examples."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import re
import threading
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest
import uvloop
from harness import SENTENCE, START, Served, served, started
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from streamtrans_server.failure import CLOSE_CODES
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from streamtrans.messages import FromServer

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "60"))
T = TypeVar("T")
LIMIT = 20.0  # s for one example

WORDS = st.text(alphabet="ab.\n \t\u00e9\u202f\U0001f600", max_size=40)
NUMBERS = st.one_of(st.integers(-2, 40), st.sampled_from([10**18, 2**63, -(10**30)]))
ODD: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.booleans(), NUMBERS, WORDS, st.lists(WORDS, max_size=2)
)
POLICIES = st.one_of(st.integers(0, 9).map(lambda k: f"wait-{k}"), WORDS)
MESSAGES: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.builds(lambda text: {"type": "text", "text": text}, WORDS),
    st.builds(lambda text: {"type": "text", "text": text + " "}, WORDS),
    st.builds(
        lambda text, at: {"type": "text", "text": text, "at": at}, WORDS, st.floats() | NUMBERS
    ),
    st.sampled_from(
        [
            {"type": "flush"},
            {"type": "end"},
            START,
            {**START, "keep": True},
            {**START, "drafts": True},
        ]
    ),
    st.builds(lambda id: {"type": "mark", "id": id}, WORDS),
    st.builds(lambda policy: {"type": "policy", "policy": policy}, POLICIES),
    st.builds(lambda seq: {"type": "ack", "seq": seq}, NUMBERS),
    st.builds(
        lambda p, k: {**START, "prefix": p, "lag_policy": k}, st.lists(WORDS, max_size=3), POLICIES
    ),
    st.dictionaries(
        st.sampled_from("type text at id seq policy version drafts".split()), ODD, max_size=4
    ),
)
STEPS: st.SearchStrategy[tuple[str, Any]] = st.one_of(
    MESSAGES.map(lambda message: ("message", message)),
    MESSAGES.map(lambda message: ("message", message)),
    MESSAGES.map(lambda message: ("torn", message)),
    st.binary(max_size=30).map(lambda data: ("binary", data)),
    st.binary(max_size=30).map(lambda data: ("text", data)),
    st.binary(min_size=1, max_size=40).map(lambda data: ("raw", data)),
    NUMBERS.map(lambda after: ("return", after)),
    st.just(("abort", None)),
)


class Aside:
    """A server in a thread, with one well-behaved session that lives through all examples."""

    def __init__(self) -> None:
        self.loop = uvloop.new_event_loop()
        self.server: Served
        self.witness: ClientConnection
        self._stack = contextlib.AsyncExitStack()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(LIMIT)

    async def open(self) -> None:
        options = {"resume_timeout": 0.05, "idle_timeout": 60, "max_message_bytes": 4096}
        self.server = await self._stack.enter_async_context(served(close_timeout=0.5, **options))
        self.witness = await self._stack.enter_async_context(started(self.server.url))

    def close(self) -> None:
        self.wait(self._stack.aclose())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


@pytest.fixture(scope="module")
def aside() -> Iterator[Aside]:
    aside = Aside()
    aside.wait(aside.open())
    yield aside
    aside.close()


class Stranger:
    """A client that says anything, and keeps what it was answered."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._token = "nobody.nothing"
        self._reading: asyncio.Task[None] | None = None
        self.answers: list[dict[str, Any]] = []

    async def connect(self, query: str = "") -> None:
        with contextlib.suppress(InvalidHandshake, OSError):
            self._peer = await connect(self._url + query, compression=None, close_timeout=0.5)
            self._reading = asyncio.create_task(self._read(self._peer))

    async def _read(self, peer: ClientConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for frame in peer:
                message = json.loads(frame)
                self.answers.append(message)
                self._token = message.get("token") or self._token

    async def step(self, kind: str, what: Any) -> None:
        peer = self._peer
        with contextlib.suppress(ConnectionClosed):
            if kind == "message":
                await peer.send(json.dumps(what))
            elif kind == "torn":
                await peer.send(json.dumps(what)[:-1])
            elif kind == "binary":
                await peer.send(what)
            elif kind == "text":
                await peer.send(what, text=True)
            elif kind == "raw" and not peer.transport.is_closing():
                peer.transport.write(what)
            elif kind == "abort":
                peer.transport.abort()
            elif kind == "return":
                await self.leave(abort=True)
                await self.connect(f"?resume={self._token}&after={what}")
        await asyncio.sleep(0)

    async def leave(self, abort: bool) -> None:
        if abort:
            self._peer.transport.abort()
        await self._peer.close()
        if self._reading is not None:
            await self._reading


async def example(aside: Aside, steps: list[tuple[str, Any]], begin: bool) -> list[dict[str, Any]]:
    stranger = Stranger(aside.server.url)
    await stranger.connect()
    if begin:
        await stranger.step("message", {**START, "keep": True, "drafts": True})
    for kind, what in steps:
        await stranger.step(kind, what)
    await stranger.leave(abort=len(steps) % 2 == 0)
    await unhurt(aside.witness)
    return stranger.answers


async def unhurt(witness: ClientConnection) -> None:
    """It says a sentence and gets every word of it, in order."""
    await witness.send(json.dumps({"type": "text", "text": SENTENCE}))
    words: list[str] = []
    while True:
        message = json.loads(await witness.recv())
        if message["type"] == "target":
            words.append(message["text"])
        elif message["type"] == "segment":
            break
    assert words == SENTENCE.upper().split()


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=st.lists(STEPS, max_size=12), begin=st.booleans())
def test_anything_in_any_order(
    aside: Aside,
    caplog: pytest.LogCaptureFixture,
    steps: list[tuple[str, Any]],
    begin: bool,
) -> None:
    caplog.clear()
    for answer in aside.wait(example(aside, steps, begin)):
        msgspec.convert(answer, FromServer)  # a documented message, and nothing else
        assert answer.get("code", "bad_json") in CLOSE_CODES
        assert "Traceback" not in answer.get("text", "")
    worst = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert [r.getMessage() for r in worst if not r.name.endswith("websockets")] == []


def test_nothing_is_left_behind(aside: Aside) -> None:
    """After all these strangers the one slot that is taken is the witness's."""

    async def settled() -> None:
        async with asyncio.timeout(LIMIT):
            while aside.server.app.admission.taken > 1 or len(aside.server.engine.sessions) > 1:
                await asyncio.sleep(0.01)

    aside.wait(settled())
    assert len(aside.server.app.sessions) == 1


def test_every_error_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()
    rows = {
        code: int(match[2])
        for match in re.finditer(r"^\| (`[a-z_`, ]+`) \| (\d{4}) \|", page, re.MULTILINE)
        for code in re.findall(r"`([a-z_]+)`", match[1])
    }
    assert rows == {code: int(close) for code, close in CLOSE_CODES.items()}
