"""Speech through the native protocol: words with their times, flow control, lag, and a return to the very sample."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fake_engine import FakeEngine, GatedEngine
from fake_speech import PAUSE_MS, STEP_MS, WORD_MS, speech
from harness import (
    START,
    complete,
    finish,
    get,
    in_loop,
    of_type,
    rest,
    send,
    served,
    started,
    until,
)
from streamtrans_server.arrivals import SpokenArrivals
from test_operations import metrics
from test_resume import back, take
from websockets.asyncio.client import ClientConnection, connect

HEAR = {**START, "kind": "audio", "rate": 16000, "policy": "wait-1"}
SAID = "one two three. four five. six seven eight nine. ten one two. "
WORDS = SAID.replace(".", "").upper().split()


@asynccontextmanager
async def hearing(url: str, **fields: Any) -> AsyncIterator[ClientConnection]:
    async with connect(url, compression=None) as peer:
        await send(peer, {**HEAR, **fields})
        assert json.loads(await peer.recv())["type"] == "ready"
        yield peer


def frames(sound: bytes, size: int = 3200) -> Iterator[bytes]:
    for start in range(0, len(sound), size):
        yield sound[start : start + size]


@in_loop
async def test_what_the_server_takes_is_told() -> None:
    async with served() as server, connect(server.url) as peer:
        (model,) = json.loads((await get(server.url, "/v1/models"))[2])["models"]
        await send(peer, HEAR)
        ready = json.loads(await peer.recv())
    assert model["kinds"] == ["text", "audio"]
    assert model["rates"] == [8000, 16000, 22050, 24000, 32000, 44100, 48000]
    assert ready["kind"] == "audio"
    assert ready["limits"]["max_audio_bytes"] == 262_144
    assert ready["limits"]["max_backlog_seconds"] == 30


@in_loop
async def test_a_server_that_does_not_hear_says_so() -> None:
    async with served(FakeEngine(kinds=("text",))) as server, connect(server.url) as peer:
        (model,) = json.loads((await get(server.url, "/v1/models"))[2])["models"]
        assert (model["kinds"], model["rates"]) == (["text"], [])
        await send(peer, HEAR)
        assert (await rest(peer))[-1]["code"] == "unsupported_kind"


@pytest.mark.parametrize("rate", [8000, 22050, 44100])
@in_loop
async def test_spoken_words_have_their_times(rate: int) -> None:
    async with served() as server, hearing(server.url, rate=rate) as peer:
        for frame in frames(speech("one two. three.", rate)):
            await peer.send(frame)
        await send(peer, {"type": "end"})
        messages = await rest(peer)
    assert complete(messages) == ["ONE", "TWO", "THREE"]
    sources = of_type(messages, "source")
    for word in sources:
        assert word["end"] - word["begin"] == pytest.approx(WORD_MS, abs=2)
        assert word["end"] <= word["at"]
    assert sources[2]["begin"] - sources[1]["end"] == pytest.approx(2 * PAUSE_MS + STEP_MS, abs=4)
    first, second = (segment["end"] for segment in of_type(messages, "segment"))
    assert sources[1]["end"] < first < sources[2]["begin"] < second


@pytest.mark.parametrize("seed", range(4))
@in_loop
async def test_any_cutting_says_the_same(seed: int) -> None:
    chance = random.Random(seed)
    sound = speech(SAID)
    async with served() as server:
        said = []
        for cut in (False, True):
            async with hearing(server.url, policy="wait-2") as peer:
                left = sound
                while left:
                    size = chance.choice((1, 2, 3, 641, 9001, 60_000)) if cut else len(left)
                    await peer.send(left[:size])
                    left = left[size:]
                await send(peer, {"type": "end"})
                said.append(await rest(peer))
    plain, cuts = ([{**m, "emitted": 0, "at": 0} for m in messages] for messages in said)
    assert plain == cuts
    assert complete(said[0]) == WORDS


class SlowEngine(FakeEngine):
    """One step of one session in a tick, and the most sound that waited for it."""

    def __init__(self) -> None:
        super().__init__(batch=1)
        self.most_ms = 0.0

    def tick(self, hear: bool = True) -> Any:
        self.most_ms = max([self.most_ms, *(session.waiting_ms for session in self.sessions)])
        return super().tick(hear)


@in_loop
async def test_a_file_at_once_is_held_back_and_whole() -> None:
    """A minute of speech as fast as the socket takes it: bounded in the server, no word lost."""
    sound = speech(SAID * 9)
    assert len(sound) / 32_000 > 30
    async with served(SlowEngine(), max_backlog_seconds=4) as server:
        async with hearing(server.url) as peer:
            reading = asyncio.create_task(rest(peer))
            for frame in frames(sound):
                await peer.send(frame)
            await send(peer, {"type": "end"})
            assert complete(await reading) == WORDS * 9
        assert 0 < server.engine.most_ms <= 4000 + 100


@in_loop
async def test_a_flood_of_crumbs_and_flushes_is_held_back() -> None:
    """A byte and a flush in turn bring no word and no second of sound, and yet must not pile up."""
    async with served(SlowEngine(), max_backlog_words=40) as server, hearing(server.url) as peer:
        for _ in range(500):
            await peer.send(b"\0")
            await send(peer, {"type": "flush"}, {"type": "flush"})
            await peer.send(b"")
        assert await finish(peer) == []
        assert server.engine.most_queued <= 2 * 40 + 10


@in_loop
async def test_flush_and_mark_keep_their_place_in_the_sound() -> None:
    async with served() as server, hearing(server.url, policy="wait-3") as peer:
        await peer.send(speech("one two"))
        await send(peer, {"type": "flush"}, {"type": "mark", "id": "here"})
        await peer.send(speech("three"))
        await send(peer, {"type": "end"})
        kinds = [message["type"] for message in await rest(peer)]
    assert kinds == [
        *("source", "source", "target", "target", "segment", "marked"),
        *("source", "target", "segment", "done"),
    ]


@in_loop
async def test_every_frame_counts_and_the_return_goes_on_with_the_next() -> None:
    pieces = list(frames(speech(SAID), 3201))  # frames that part samples
    async with served() as server:
        answers: list[dict[str, Any]] = []
        async with connect(server.url, compression=None) as peer:
            await send(peer, {**HEAR, "keep": True})
            token = json.loads(await peer.recv())["token"]
            for piece in pieces[:9]:
                await peer.send(piece)
            answers += await take(peer, 3)
            peer.transport.abort()
        received = 0
        while not answers or answers[-1]["type"] != "done":
            async with back(server.url, token, len(answers)) as peer:
                ready = json.loads(await peer.recv())
                assert received <= ready["received"] <= len(pieces)
                received = ready["received"]
                for piece in pieces[received : received + 11]:
                    await peer.send(piece)
                if received == len(pieces):
                    await send(peer, {"type": "end"})
                    answers += await rest(peer)
                    continue
                (session,) = server.app.sessions.values()
                due = min(received + 11, len(pieces))
                await until(lambda due=due, s=session: s._intake.received == due)  # type: ignore[misc]
                peer.transport.abort()
        assert complete(answers) == WORDS


@in_loop
async def test_sound_that_waits_is_lag() -> None:
    engine = GatedEngine()
    async with served(engine, lag_ms=30) as server, hearing(server.url) as peer:
        engine.gate = False
        await peer.send(speech("one two."))
        lag = json.loads(await peer.recv())
        engine.gate = True
        await send(peer, {"type": "end"})
        answers = [lag, *await rest(peer)]
    assert (lag["type"], lag["seq"]) == ("lag", 1)
    assert 30 <= lag["ms"] < 20_000
    assert complete(answers) == ["ONE", "TWO"]


@in_loop
async def test_silence_that_was_heard_is_no_lag() -> None:
    """Another session keeps the server awake: less than a frame of the first one is never heard."""
    async with served(lag_ms=30) as server, hearing(server.url) as peer:
        await peer.send(bytes(6500))
        async with started(server.url) as other:
            for _ in range(20):
                await send(other, {"type": "text", "text": "word "})
                await asyncio.sleep(0.02)  # time is the subject here
        await send(peer, {"type": "end"})
        assert [message["type"] for message in await rest(peer)] == ["done"]


@in_loop
async def test_frames_without_sound_leave_nothing_behind() -> None:
    engine = FakeEngine()
    async with served(engine) as server, hearing(server.url) as peer:
        for _ in range(200):
            await peer.send(b"")
        await peer.send(speech("one two."))
        (session,) = server.app.sessions.values()
        assert await finish(peer) == ["ONE", "TWO"]
    assert len(session._channel.arrivals._sound) <= 2  # type: ignore[attr-defined]


def test_a_word_arrived_with_the_sound_it_was_heard_in() -> None:
    arrivals = SpokenArrivals()
    for number in range(1, 5):
        arrivals.sound(100.0 * number, float(number))
    assert arrivals.oldest == 1.0
    arrivals.heard(80.0, 0)
    assert arrivals.oldest == 1.0
    arrivals.heard(240.0, 1)  # within the third piece
    assert arrivals.oldest == arrivals.first == 3.0
    arrivals.heard(400.0, 3)
    assert [arrivals.read() for _ in range(3)] == [3.0, 4.0, 4.0]
    assert arrivals.oldest is None


@in_loop
async def test_metrics_tell_how_much_was_heard_and_how_fast() -> None:
    sound = speech(SAID)
    async with served() as server, hearing(server.url) as peer:
        await peer.send(sound)
        await send(peer, {"type": "mark", "id": "m"})
        while json.loads(await peer.recv())["type"] != "marked":
            pass
        found = await metrics(server.url)
        heard = found["streamtrans_audio_seconds_total"]
        assert heard == pytest.approx(len(sound) / 32_000)  # what warmed the engine is not counted
        assert found["streamtrans_audio_speed"] > 1
        assert found["streamtrans_backlog_audio_seconds"] == 0
        assert found["streamtrans_translation_lag_seconds_count"] == len(WORDS)
        assert found["streamtrans_first_word_delay_seconds_count"] == 1
        await send(peer, {"type": "end"})
        assert (await rest(peer))[-1]["type"] == "done"
