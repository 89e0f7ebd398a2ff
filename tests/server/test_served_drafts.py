"""Drafts on the wire: beside the events, never in their way, never kept; the first thing that is left out."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from typing import Any

from fake_engine import FakeDrafts, FakeEngine, FakeSession, GatedEngine
from fake_speech import speech
from harness import SENTENCE, START, complete, get, in_loop, of_type, rest, send, served, until
from streamtrans_server.outbox import Outbox
from websockets.asyncio.client import ClientConnection, connect

from streamtrans.messages import Draft, Lag, Target

DRAFTS: dict[str, Any] = {**START, "drafts": True}


async def heard(peer: ClientConnection, kind: str) -> dict[str, Any]:
    """The next message of this kind."""
    while True:
        message: dict[str, Any] = json.loads(await peer.recv())
        if message["type"] == kind:
            return message


def without(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [message for message in messages if message["type"] != "draft"]


@in_loop
async def test_a_draft_follows_what_is_read_and_has_no_number() -> None:
    async with served() as server, connect(server.url) as peer:
        await send(peer, DRAFTS, {"type": "text", "text": "the cat sat "})
        assert (await heard(peer, "target"))["text"] == "THE"
        draft = await heard(peer, "draft")
        assert draft == {"type": "draft", "source": [], "target": ["CAT?", "SAT?"]}
        await send(peer, {"type": "text", "text": "on the mat. "}, {"type": "end"})
        answers = without(await rest(peer))
        assert [message["seq"] for message in answers] == list(range(5, 5 + len(answers)))
        assert answers[-1]["type"] == "done"
        _, _, metrics = await get(server.url, "/metrics")
        assert "streamtrans_drafts_sent_total 1.0" in metrics


@in_loop
async def test_who_asks_for_none_gets_none_and_costs_none() -> None:
    async with served() as server, connect(server.url) as peer:
        await send(peer, START, {"type": "text", "text": SENTENCE})
        assert await heard(peer, "segment")
        assert server.engine.drafts.steps == 0
        await send(peer, {"type": "text", "text": "half a "}, {"type": "end"})
        assert of_type(await rest(peer), "draft") == []


@in_loop
async def test_an_operator_may_forbid_them() -> None:
    async with served(drafts=False) as server, connect(server.url) as peer:
        await send(peer, DRAFTS, {"type": "text", "text": "the cat sat "})
        assert await heard(peer, "target")
        await asyncio.sleep(0.3)
        await send(peer, {"type": "end"})
        assert of_type(await rest(peer), "draft") == []
        assert server.engine.drafts.steps == 0


@in_loop
async def test_a_few_a_second_and_none_twice() -> None:
    """Fifty words, one each 20 ms: five drafts a second at most, the last of them the latest."""
    async with served() as server, connect(server.url) as peer:
        await send(peer, DRAFTS)
        reading = asyncio.create_task(rest(peer))
        begin = time.monotonic()
        for number in range(50):
            await send(peer, {"type": "text", "text": f"w{number} "})
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.3)
        most = (time.monotonic() - begin) / 0.2 + 2
        steps = server.engine.drafts.steps
        await asyncio.sleep(0.3)
        assert server.engine.drafts.steps == steps  # nothing changed
        await send(peer, {"type": "end"})
        answers = await reading
        drafts = of_type(answers, "draft")
        assert 2 <= len(drafts) <= most
        assert drafts[-1]["target"] == ["W48?", "W49?"]
        assert all(one != two for one, two in zip(drafts, drafts[1:], strict=False))
        assert complete(without(answers)[1:]) == [f"W{number}" for number in range(50)]


@in_loop
async def test_the_word_that_goes_on_is_a_draft_of_the_source() -> None:
    async with served() as server, connect(server.url) as peer:
        await send(peer, {**DRAFTS, "kind": "audio", "rate": 16000})
        sound = speech("one two")
        await peer.send(sound[: 2 * 16 * 200])  # 40 ms of `two` are in it
        assert (await heard(peer, "draft"))["source"] == ["two"]
        await peer.send(sound[2 * 16 * 200 :])
        assert (await heard(peer, "source"))["text"] == "two"


@in_loop
async def test_a_session_that_lags_loses_its_drafts_before_its_policy() -> None:
    engine = GatedEngine()
    async with served(engine, lag_ms=50) as server, connect(server.url) as peer:
        await send(peer, {**DRAFTS, "lag_policy": "wait-1"}, {"type": "text", "text": "one "})
        assert (await heard(peer, "draft"))["target"] == ["ONE?"]
        engine.gate = False
        await send(peer, {"type": "text", "text": "two three "})
        assert isinstance(await heard(peer, "lag"), dict)
        engine.gate = True
        await send(peer, {"type": "text", "text": "four "})
        await until(lambda: b"drafts_skipped_total 0.0" not in server.app.metrics.text())
        await send(peer, {"type": "end"})
        answers = await rest(peer)
        assert of_type(answers, "draft") == [] and of_type(answers, "changed") == []
        assert [event["text"] for event in of_type(answers, "target")][0] == "ONE"


@in_loop
async def test_drafts_come_back_with_the_session_and_are_not_kept() -> None:
    async with served() as server:
        async with connect(server.url) as peer:
            await send(peer, {**DRAFTS, "keep": True}, {"type": "text", "text": "the cat sat "})
            token = (await heard(peer, "ready"))["token"]
            assert await heard(peer, "draft")
            (session,) = server.app.sessions.values()
            assert all(not isinstance(event, Draft) for event in session._events.after(0) or ())
            peer.transport.abort()
        await until(lambda: session.detached)
        assert not session._channel.drafts
        async with connect(f"{server.url}?resume={token}&after=0") as peer:
            missed = [json.loads(await peer.recv()) for _ in range(5)]
            assert [message["type"] for message in missed] == ["ready", *["source"] * 3, "target"]
            assert (await heard(peer, "draft"))["target"] == [
                "CAT?",
                "SAT?",
            ]  # though nothing is sent
            await send(peer, {"type": "text", "text": "on "})
            assert (await heard(peer, "draft"))["target"] == ["SAT?", "ON?"]


@in_loop
async def test_a_draft_that_was_on_its_way_to_another_connection_is_made_again() -> None:
    async with served() as server, connect(server.url) as lost:
        await send(lost, {**DRAFTS, "keep": True}, {"type": "text", "text": "the cat sat "})
        token = (await heard(lost, "ready"))["token"]
        assert await heard(lost, "draft")
        async with connect(f"{server.url}?resume={token}&after=4") as peer:
            assert (await heard(peer, "draft"))["target"] == ["CAT?", "SAT?"]


@in_loop
async def test_a_reader_that_reads_again_gets_the_draft_it_lacks() -> None:
    async with served() as server, connect(server.url) as peer:
        await send(peer, DRAFTS, {"type": "text", "text": "the cat sat "})
        draft = await heard(peer, "draft")
        (session,) = server.app.sessions.values()
        session.pause(True)
        session.pause(False)
        assert await heard(peer, "draft") == draft


class LateEngine(FakeEngine):
    """Opens sessions once `gate` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()

    def open(self, *arguments: Any, **named: Any) -> FakeSession:
        self.gate.wait()
        return super().open(*arguments, **named)


@in_loop
async def test_a_client_that_is_away_while_its_session_opens_has_drafts_when_it_is_back() -> None:
    engine = LateEngine()
    async with served(engine) as server:
        engine.gate.clear()
        async with connect(server.url) as peer:
            await send(peer, {**DRAFTS, "keep": True})
            await until(lambda: bool(server.app.sessions))
            (session,) = server.app.sessions.values()
            peer.transport.abort()
        await until(lambda: session.detached)
        engine.gate.set()
        async with connect(f"{server.url}?resume={session._ready.token}&after=0") as peer:
            await send(peer, {"type": "text", "text": "the cat sat "})
            while not (words := (await heard(peer, "draft"))["target"]):
                pass  # an empty one may come before the text is READ
            assert words == ["CAT?", "SAT?"]


class Blocked:
    """A socket that is full, until `drained` is set."""

    paused = True

    def __init__(self) -> None:
        self.drained = asyncio.Event()
        self.transport = self
        self.written: list[Any] = []

    def get_write_buffer_size(self) -> int:
        return 1

    async def drain(self) -> None:
        await self.drained.wait()

    def send_now(self, frames: list[Any]) -> None:
        self.written += frames


@in_loop
async def test_a_reader_that_stops_finds_no_drafts_later() -> None:
    stalls: list[bool] = []
    socket: Any = Blocked()
    outbox = Outbox(socket, list, stalls.append, print, 1.0)
    outbox.send([Draft((), ("a",))])
    assert outbox._held == [] and stalls == [True]  # once it reads again the draft is made anew
    target, lag = Target(1, "A", 0, 1, 0.0), Lag(2, 5.0)
    outbox.send([Draft((), ("a",)), target])
    outbox.send([Draft((), ("b",)), lag])
    assert outbox._held == [target, lag] and stalls == [True]
    socket.drained.set()
    await outbox.flush()
    assert socket.written == [target, lag] and stalls == [True, False]


class Endless(FakeDrafts):
    """Never done."""

    going = True

    def step(self) -> list[tuple[FakeSession, Draft]]:
        self.steps += 1
        return []


@in_loop
async def test_a_draft_that_goes_on_holds_up_no_word() -> None:
    engine = FakeEngine()
    engine.drafts = Endless()
    async with served(engine) as server, connect(server.url) as peer:
        await send(peer, DRAFTS, {"type": "text", "text": SENTENCE})
        assert await heard(peer, "segment")
        await send(peer, {"type": "end"})
        assert await heard(peer, "done")
        assert engine.drafts.steps > 0
