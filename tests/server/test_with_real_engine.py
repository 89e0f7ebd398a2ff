"""The real engine over a toy model behind the server: served is what the engine says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import fakes
import numpy as np
import pytest
import torch
from harness import START, finish, get, in_loop, of_type, rest, send, served, started, until
from streamtrans_clients import Session, connect
from websockets.asyncio.client import connect as connect_raw

from streamtrans.messages import Audio, End, Event, Segment, Source, Target, Text


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Two threads on two busy cores wait for each other: 96 ms a tick was seen against 3 ms."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def alone(text: str, policy: str) -> list[str]:
    engine = fakes.engine()
    events = fakes.speak(engine, engine.open(policy), Text(text, 0.0), End())
    return [event.text for event in events if isinstance(event, Target)]


@in_loop
async def test_sessions_at_once_say_what_each_says_alone() -> None:
    async def one(url: str, number: int) -> list[str]:
        async with started(url, f"wait-{1 + number}") as peer:
            for piece in texts[number].split(" "):
                await send(peer, {"type": "text", "text": piece + " "})
                await asyncio.sleep(0)
            return await finish(peer)

    texts = [" ".join(fakes.sentences(2, seed=number)) for number in range(4)]
    async with served(fakes.engine()) as server:
        said = await asyncio.gather(*(one(server.url, number) for number in range(4)))
        await server.app.admission.emptied()
        assert server.engine.sessions == 0
    assert said == [alone(text, f"wait-{1 + number}") for number, text in enumerate(texts)]
    assert all(said)


@in_loop
async def test_its_errors_have_names() -> None:
    async with served(fakes.engine()) as server:
        for bad, code in (
            ({"type": "policy", "policy": "nonsense"}, "bad_policy"),
            ({"type": "text", "text": "a", "at": -5}, "bad_clock"),
        ):
            async with started(server.url) as peer:
                await send(peer, {"type": "text", "text": "the old boat "}, bad)
                assert (await rest(peer))[-1]["code"] == code


ABUSE: list[str | bytes] = [
    "{",
    b"\x00\xff",
    '{"type": "text", "text": "\\ud800 "}',
    '{"type": "text", "text": "' + "\ufdfa" * 300 + ' "}',
    '{"type": "text", "text": "the old ", "at": 1e999}',
    '{"type": "policy", "policy": "wait-99999"}',
    '{"type": "mark", "id": "' + "x" * 300 + '"}',
    '{"type": "start", "version": 1, "source": "en", "target": "fr"}',
    "x" * 20_000,
]


@in_loop
async def test_abuse_harms_nobody_else() -> None:
    """Wrong, huge and torn messages in the middle of a sentence, then the door slammed: others hear nothing of it."""

    async def abuse(url: str, frame: str | bytes) -> None:
        async with started(url, "wait-1") as peer:
            await send(peer, {"type": "text", "text": "the old house sees "})
            await peer.send(frame)
            if "ufdfa" in ascii(frame):
                peer.transport.abort()  # the one among them that is allowed
            else:
                await rest(peer)

    async def behave(url: str, number: int) -> list[str]:
        async with started(url, "wait-2") as peer:
            for piece in texts[number].split(" "):
                await send(peer, {"type": "text", "text": piece + " "})
            return await finish(peer)

    texts = [" ".join(fakes.sentences(2, seed=30 + number)) for number in range(3)]
    async with served(fakes.engine(max_sessions=16)) as server:
        said, *_ = await asyncio.gather(
            asyncio.gather(*(behave(server.url, number) for number in range(3))),
            *(abuse(server.url, frame) for frame in ABUSE),
        )
        await server.app.admission.emptied()
        assert server.engine.sessions == 0 and not server.engine.ready
    assert said == [alone(text, "wait-2") for text in texts]


@in_loop
async def test_a_flood_of_everything_loses_nothing() -> None:
    text = " ".join(fakes.sentences(8))
    async with served(fakes.engine(), max_backlog_words=10) as server:
        async with started(server.url) as peer:
            reading = asyncio.create_task(rest(peer))
            for number, piece in enumerate(text.split(" ")):
                await send(
                    peer,
                    {"type": "text", "text": piece + " "},
                    {"type": "mark", "id": str(number)},
                    {"type": "policy", "policy": f"wait-{1 + number % 4}"},
                )
            await send(peer, {"type": "end"})
            answers = await reading
    kinds = [answer["type"] for answer in answers]
    words = len(text.split())
    assert kinds[-1] == "done"
    assert kinds.count("source") == kinds.count("marked") == kinds.count("changed") == words


def talk(seed: int) -> bytes:
    """Two sentences for an ear that knows noise, with pauses around them."""
    quiet = np.zeros(16_000, np.float32)
    parts = (quiet, fakes.noise(1.6, seed), quiet, fakes.noise(1.0, seed + 1), quiet)
    return fakes.pcm(np.concatenate(parts))


def heard_alone(sound: bytes, policy: str, pause: int | None = None) -> list[tuple[object, ...]]:
    engine = fakes.hearing_engine()
    session = engine.open(policy, rate=16_000, pause=pause)
    events = fakes.speak(engine, session, Audio(sound), End())
    return [told(event) for event in events if isinstance(event, (Source, Target, Segment))]


def told(event: Event) -> tuple[object, ...]:
    """What must be the same over any line: the sent frames decide when a word is READ, so `at` is not."""
    if isinstance(event, Source):
        assert event.begin is not None and event.end is not None
        return ("source", event.index, event.text, round(event.begin), round(event.end))
    if isinstance(event, Target):
        return ("target", event.index, event.text, event.read)
    assert isinstance(event, Segment) and event.end is not None
    return ("segment", event.source_words, event.target_words, round(event.end))


@in_loop
async def test_speech_over_the_wire_is_what_it_is_alone() -> None:
    """Three listeners at once, frames of any size as fast as they go; one of them changes connections."""

    async def one(url: str, number: int) -> list[tuple[object, ...]]:
        async with connect(url, policy="wait-2", kind="audio", rate=16_000) as session:
            reading = asyncio.create_task(collect(session))
            left, size = sounds[number], 2 * (501 + 777 * number) + 1
            while left:
                frame, left = left[:size], left[size:]
                await session.send_audio(frame)
                if number == 1 and session._socket is not None and len(left) % 7 == 0:
                    session._socket.transport.abort()
            await session.end()
            return await reading

    async def collect(session: Session) -> list[tuple[object, ...]]:
        kinds = (Source, Target, Segment)
        return [told(event) async for event in session if isinstance(event, kinds)]

    sounds = [talk(10 * number) for number in range(3)]
    async with served(fakes.hearing_engine(), max_backlog_seconds=4) as server:
        said = await asyncio.gather(*(one(server.url, number) for number in range(3)))
        await server.app.admission.emptied()
        assert server.engine.sessions == 0
    assert said == [heard_alone(sound, "wait-2") for sound in sounds]
    assert all(len(events) > 8 for events in said)


@pytest.mark.parametrize(("words", "pause"), [(2, None), (7, None), (7, 1000)])
@in_loop
async def test_a_lost_server_hears_the_open_segment_again_and_says_the_same(
    words: int, pause: int | None
) -> None:
    """Another engine process, as far as a client can tell: no session of the first one is known there."""
    sound = talk(3)
    events: list[tuple[object, ...]] = []
    async with served(fakes.hearing_engine()) as first:
        url = first.url
        async with connect(url, policy="wait-2", kind="audio", rate=16_000, pause=pause) as session:
            for start in range(0, len(sound), 3200):
                await session.send_audio(sound[start : start + 3200])
            while sum(event[0] == "source" for event in events) < words:
                event = await anext(session)
                if isinstance(event, (Source, Target, Segment)):
                    events.append(told(event))
            session._key = "unknown"
            assert session._socket is not None
            session._socket.transport.abort()
            await session.end()
            async for event in session:
                if isinstance(event, (Source, Target, Segment)):
                    events.append(told(event))
            assert session.replays == 1
    assert events == heard_alone(sound, "wait-2", pause)
    assert [event[0] for event in events].count("segment") == (1 if pause else 2)


@in_loop
async def test_a_direct_model_is_served_as_it_says_alone_and_takes_no_text() -> None:
    """Warmed by sound alone, offered as a model of audio."""
    sound, kinds, alone = talk(2), (Source, Target, Segment), fakes.direct_engine()
    events = fakes.speak(alone, alone.open("wait-2", rate=16_000), Audio(sound), End())
    async with served(fakes.direct_engine()) as server:
        async with connect(server.url, policy="wait-2", kind="audio", rate=16_000) as session:
            await session.send_audio(sound)
            await session.end()
            said = [told(event) async for event in session if isinstance(event, kinds)]
        (model,) = json.loads((await get(server.url, "/v1/models"))[2])["models"]
        assert model["kinds"] == ["audio"]
        async with connect_raw(server.url) as peer:
            await send(peer, START)
            assert (await rest(peer))[-1]["code"] == "unsupported_kind"
    assert said == [told(event) for event in events if isinstance(event, kinds)] and len(said) > 8


@in_loop
async def test_served_with_drafts_is_what_is_said_without() -> None:
    """The real engine, four sessions at once, two with drafts."""
    texts = [" ".join(fakes.sentences(2, seed=seed)) for seed in range(4)]

    async def one(url: str, number: int, start: dict[str, Any]) -> list[dict[str, Any]]:
        """Who wants drafts waits in the middle of a sentence for the first one."""
        answers: list[dict[str, Any]] = []

        async def read() -> None:
            async for frame in peer:
                answers.append(json.loads(frame))

        async with connect_raw(url) as peer:
            await send(peer, start)
            reading = asyncio.create_task(read())
            for word in texts[number].split():
                await send(peer, {"type": "text", "text": word + " ", "at": 0.0})
                if "drafts" in start and not word.endswith("."):
                    await until(lambda: bool(of_type(answers, "draft")))
            await send(peer, {"type": "end"})
            await reading
            return answers[1:]

    async with served(fakes.engine(), lag_ms=20_000) as server:
        plain = await asyncio.gather(*(one(server.url, i, START) for i in range(4)))
        both = (START, {**START, "drafts": True})
        mixed = await asyncio.gather(*(one(server.url, i, both[i % 2]) for i in range(4)))
    for one_plain, one_mixed, wants in zip(plain, mixed, (False, True) * 2, strict=True):
        assert bool(of_type(one_mixed, "draft")) is wants
        stamped = [{**event, "emitted": 0} for event in one_mixed if event["type"] != "draft"]
        assert stamped == [{**event, "emitted": 0} for event in one_plain]
